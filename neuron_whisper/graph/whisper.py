"""The program: encode, encode_audio, prefill, decode, logits, align as pure functions of (layers, caches, inputs).

Axes: N windows, S slots, B beams, H heads of this rank, D head width, A audio positions (1500), C past
positions, T prompt tokens, V padded vocabulary, K most probable tokens.
A cache is a list over decoder layers of (keys, values). Functions return *fresh* rows, which the target writes into
its caches.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from neuron_whisper.graph.layers import LayerBackend
from neuron_whisper.graph.logit_processor import (
    SpecialTokenIds,
    log_probabilities,
    mask_logits,
    no_speech_probability,
    split_vocab,
    token_ids,
    top_k_tokens,
)
from neuron_whisper.model.dims import WhisperDims
from neuron_whisper.target.interfaces import MIN_COMPUTED_PADDING_FRAMES

KVPair = tuple[Tensor, Tensor]
# Finite: a row whose past is empty must not become 0/0, and 16-bit types must hold it.
ATTENTION_MASK = -1e4
PADDING = "padding."  # before the names of parameters that no checkpoint has: keys and values of padding


@dataclass(frozen=True, slots=True)
class GraphConfig:
    """The sizes and special tokens that the functions need besides parameters."""

    dims: WhisperDims
    special_ids: SpecialTokenIds
    top_k: int

    @property
    def scale(self) -> float:
        """Applied to queries before the product: a 16-bit q.k of unscaled factors can overflow.

        openai/whisper scales both by head_dim ** -0.25; the product is the same, and 1/8 (head_dim 64) is exact
        in every type.
        """
        return float(self.dims.head_dim**-0.5)


@dataclass(frozen=True, slots=True)
class PromptTensors:
    """A padded prompt of one slot.

    tokens (1, T); sot_and_last (2,) are the positions whose output is returned; rules (1, N_RULES);
    suppression_bias (1, V) is added to logits.
    """

    tokens: Tensor
    sot_and_last: Tensor
    rules: Tensor
    suppression_bias: Tensor


@dataclass(frozen=True, slots=True)
class StepTensors:
    """One token for every row.

    tokens, positions (S, B); rules (S*B, N_RULES); suppression_bias (S, V) is added to logits; window_lengths (S,) are
    the positions of each slot's window, where they are not all A.
    """

    tokens: Tensor
    positions: Tensor
    rules: Tensor
    suppression_bias: Tensor
    window_lengths: Tensor | None = None


def _split_heads(x: Tensor, heads: int) -> Tensor:
    """(N, T, H*D) -> (N, H, T, D)"""
    return x.view(x.shape[0], x.shape[1], heads, -1).transpose(1, 2)


def _split_queries(x: Tensor, heads: int) -> Tensor:
    """As _split_heads, by way of (N, H, D, T).

    OpenVINO 2026.4 mixes up the axes of the plain form in bfloat16 where T equals H (8 beams of whisper-base).
    """
    return x.transpose(1, 2).reshape(x.shape[0], heads, -1, x.shape[1]).transpose(2, 3)


def _join_heads(x: Tensor) -> Tensor:
    """(N, H, T, D) -> (N, T, H*D)"""
    return x.transpose(1, 2).reshape(x.shape[0], x.shape[2], -1)


def _additive_mask(attended: Tensor) -> Tensor:
    """What is added to scores: 0 where they are `attended`, else ATTENTION_MASK."""
    return torch.where(attended, torch.zeros(()), torch.full((), ATTENTION_MASK))


def _mlp(layers: LayerBackend, block: str, x: Tensor) -> Tensor:
    hidden = F.gelu(layers.column(f"{block}.mlp.0", layers.norm(f"{block}.mlp_ln", x)))
    return x + layers.row(f"{block}.mlp.2", hidden)


def encode(config: GraphConfig, layers: LayerBackend, mel: Tensor, *, repeat_to_full: bool = True) -> list[KVPair]:
    """mel (N, n_mels, 2A) -> cross-K/V per decoder layer, (N, H, A, D) each.

    With `repeat_to_full` those of a shorter mel, whose positions divide A, are repeated to fill caches of one length.
    Softmax gives a key that occurs r times r times its weight and divides all weights by r, so attention equals that
    over the shorter window.
    """
    cross = []
    for _, value in _project_cross(config, layers, _run_encoder(config, layers, mel)):
        repeats = config.dims.n_audio_ctx // value.shape[1] if repeat_to_full else 1
        cross.append(_split_heads(value.repeat(1, repeats, 1) if repeats > 1 else value, layers.text_heads))
    return _to_cross_pairs(cross)


def encode_audio(config: GraphConfig, layers: LayerBackend, mel: Tensor) -> list[KVPair]:
    """As encode, of a window that is padding behind mel (N, n_mels, 2T): zeros up to 2A.

    Only T positions are computed. What attention reads of the others are the layers' PADDING parameters, the mean of
    what windows of a voice have there (find_padding); so attention is over all A positions, as the model was trained.
    """
    dims = config.dims

    def append_padding(name: str, values: Tensor) -> Tensor:
        padding = layers.parameter(PADDING + name)[values.shape[1] :].to(values.dtype).unsqueeze(0)
        if values.shape[0] > 1:
            padding = padding.expand(values.shape[0], -1, -1)
        return torch.cat((values, padding), 1)

    cross = []
    for name, value in _project_cross(config, layers, _run_encoder(config, layers, mel, append_padding)):
        full = append_padding(name, value)  # of a length that is known, whatever T is
        full = full.view(full.shape[0], dims.n_audio_ctx, layers.text_heads, dims.head_dim)
        cross.append(full.transpose(1, 2))
    return _to_cross_pairs(cross)


def find_padding(config: GraphConfig, layers: LayerBackend, windows: Iterable[tuple[Tensor, int]]) -> dict[str, Tensor]:
    """The PADDING parameters of encode_audio, (A, H*D) float32 each, by name.

    `windows` are mel (1, n_mels, 2A), zeros behind the frames of voice that each has. A position has the mean over
    the windows in which it is padding that encode_audio does not compute; before the first such position, its values.
    """
    contexts = config.dims.n_audio_ctx
    sums: dict[str, Tensor] = {}
    counts = torch.zeros(contexts, 1)
    for mel, frames in windows:
        first = min((frames + MIN_COMPUTED_PADDING_FRAMES + 1) // 2, contexts - 1)
        counts[first:] += 1

        def add(name: str, values: Tensor, first: int = first) -> Tensor:
            total = sums.setdefault(PADDING + name, torch.zeros(contexts, values.shape[2]))
            total[first:] += values[0, first:].float()
            return values

        for name, value in _project_cross(config, layers, _run_encoder(config, layers, mel, add)):
            add(name, value)
    known = int((counts[:, 0] > 0).int().argmax())
    for total in sums.values():
        total /= counts.clamp(min=1)
        total[:known] = total[known]
    return sums


def _run_encoder(
    config: GraphConfig, layers: LayerBackend, mel: Tensor, read: Callable[[str, Tensor], Tensor] | None = None
) -> Tensor:
    """mel (N, n_mels, 2T) -> (N, T, state). `read` gives for keys and values by name those that attention reads."""
    dims, heads = config.dims, layers.audio_heads
    width = dims.n_audio_state // dims.n_audio_head
    x = F.gelu(layers.conv("encoder.conv1", mel, stride=1))
    x = F.gelu(layers.conv("encoder.conv2", x, stride=2)).transpose(1, 2)  # (N, T, state)
    x = x + layers.parameter("encoder.positional_embedding")[: x.shape[1]].to(x.dtype)
    for i in range(dims.n_audio_layer):
        block = f"encoder.blocks.{i}"
        y = layers.norm(f"{block}.attn_ln", x)
        q = _split_heads(layers.column(f"{block}.attn.query", y) * float(width**-0.5), heads)
        k, v = layers.column(f"{block}.attn.key", y), layers.column(f"{block}.attn.value", y)
        if read is not None:
            k, v = (read(f"encoder.{i}.{part}", t) for part, t in (("key", k), ("value", v)))
        k, v = _split_heads(k, heads), _split_heads(v, heads)
        x = x + layers.row(f"{block}.attn.out", _join_heads(layers.attention(q, k, v)))
        x = _mlp(layers, block, x)
    return layers.norm("encoder.ln_post", x)


def _project_cross(config: GraphConfig, layers: LayerBackend, x: Tensor) -> Iterator[tuple[str, Tensor]]:
    """Encoder output (N, T, state) -> names and values (N, T, H*D) of the cross-K/V: key, value per decoder layer."""
    for i in range(config.dims.n_text_layer):
        for part in ("key", "value"):
            yield f"decoder.{i}.{part}", layers.column(f"decoder.blocks.{i}.cross_attn.{part}", x)


def _to_cross_pairs(values: Sequence[Tensor]) -> list[KVPair]:
    return [(k.contiguous(), v.contiguous()) for k, v in zip(values[::2], values[1::2], strict=True)]


def _project_qkv(config: GraphConfig, layers: LayerBackend, block: str, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """x (N, T, state) -> scaled queries, keys, values, (N, T, H*D) each."""
    y = layers.norm(f"{block}.attn_ln", x)
    q = layers.column(f"{block}.attn.query", y) * config.scale
    return q, layers.column(f"{block}.attn.key", y), layers.column(f"{block}.attn.value", y)


def _cross_attention(
    config: GraphConfig, layers: LayerBackend, block: str, x: Tensor, cross: KVPair, cross_mask: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """x (N, T, state), cross (N, H, A, D), cross_mask (N, 1, 1, A) additive -> (x after it, weights (N, H, T, A))."""
    k, v = cross
    y = layers.norm(f"{block}.cross_attn_ln", x)
    q = _split_queries(layers.column(f"{block}.cross_attn.query", y) * config.scale, layers.text_heads)
    scores = (q @ k.to(q.dtype).transpose(2, 3)).float()
    weights = torch.softmax(scores if cross_mask is None else scores + cross_mask, -1).to(q.dtype)
    attended = _join_heads(weights @ v.to(q.dtype))
    return x + layers.row(f"{block}.cross_attn.out", attended), weights


def _run_prompt(
    config: GraphConfig, layers: LayerBackend, cross: Sequence[KVPair], tokens: Tensor
) -> tuple[Tensor, list[KVPair], list[Tensor]]:
    """tokens (1, T) from position 0 -> (hidden (1, T, state), fresh rows per layer (1, H, T, D), cross weights)."""
    length = tokens.shape[1]
    x = layers.embed(tokens)
    x = x + layers.parameter("decoder.positional_embedding")[:length].to(x.dtype)
    causal = torch.full((length, length), ATTENTION_MASK, dtype=x.dtype).triu(1)
    fresh, weights = [], []
    for i in range(config.dims.n_text_layer):
        block = f"decoder.blocks.{i}"
        q, k, v = (_split_heads(t, layers.text_heads) for t in _project_qkv(config, layers, block, x))
        scores = (q @ k.transpose(2, 3)) + causal
        attended = torch.softmax(scores.float(), -1).to(v.dtype) @ v
        x = x + layers.row(f"{block}.attn.out", _join_heads(attended))
        x, attention = _cross_attention(config, layers, block, x, cross[i])
        x = _mlp(layers, block, x)
        fresh.append((k, v))
        weights.append(attention)
    return x, fresh, weights


def prefill(
    config: GraphConfig, layers: LayerBackend, cross: Sequence[KVPair], prompt: PromptTensors
) -> tuple[Tensor, Tensor, Tensor, Tensor, list[KVPair]]:
    """Run a prompt over the slot's cross-K/V (1, H, A, D).

    Returns (language log-probabilities (n_languages,), no_speech_prob (1,), top tokens (1, K),
    their log-probabilities (1, K), fresh rows per layer (1, H, T, D)). Rows after the prompt's end are padding:
    a later step attends only to positions before its own.
    """
    x, fresh, _ = _run_prompt(config, layers, cross, prompt.tokens)
    # two positions, before the vocabulary: the projection is the largest matrix of the decoder
    x = layers.norm("decoder.ln", x[0].index_select(0, prompt.sot_and_last))
    logits, special, blocks = layers.logits(x), config.special_ids, layers.vocab_blocks(1)  # (2, V)
    languages = logits[0, special.first_language : special.first_language + special.n_languages]
    at_sot, last = split_vocab(logits[:1], blocks), split_vocab(logits[1:], blocks)
    ids = token_ids(*last.shape[1:])
    no_speech = no_speech_probability(at_sot, ids, special)
    masked = mask_logits(last + split_vocab(prompt.suppression_bias, blocks), ids, prompt.rules, special)
    top_tokens, logprobs = top_k_tokens(layers, masked, ids, prompt.rules, special, config.top_k)
    return torch.log_softmax(languages.float(), -1), no_speech, top_tokens, logprobs, fresh


def decode(
    config: GraphConfig,
    layers: LayerBackend,
    past: Sequence[KVPair],
    cross: Sequence[KVPair],
    step: StepTensors,
) -> tuple[Tensor, Tensor, list[KVPair]]:
    """Run a step over past (S, B, H, C, D), already in the order of the beams' parents, and cross (S, H, A, D).

    Returns (top tokens (S*B, K), their log-probabilities (S*B, K), fresh rows per layer (S, B, H, D)).
    """
    masked, ids, fresh = _run_step(config, layers, past, cross, step)
    top_tokens, logprobs = top_k_tokens(layers, masked, ids, step.rules, config.special_ids, config.top_k)
    return top_tokens, logprobs, fresh


def logits(
    config: GraphConfig,
    layers: LayerBackend,
    past: Sequence[KVPair],
    cross: Sequence[KVPair],
    step: StepTensors,
) -> tuple[Tensor, list[KVPair]]:
    """As decode, but (log-probabilities of all tokens (S*B, n_vocab), fresh rows): for sampling."""
    masked, ids, fresh = _run_step(config, layers, past, cross, step)
    return log_probabilities(masked, ids, step.rules, config.special_ids), fresh


def _run_step(
    config: GraphConfig,
    layers: LayerBackend,
    past: Sequence[KVPair],
    cross: Sequence[KVPair],
    step: StepTensors,
) -> tuple[Tensor, Tensor, list[KVPair]]:
    """(logits masked by suppression and rules, as blocks of the vocabulary (S*B, N, W), its ids, fresh rows)"""
    dims, heads = config.dims, layers.text_heads
    slots, beams = step.tokens.shape
    context = past[0][0].shape[3]
    x = layers.embed(step.tokens)  # (S, B, state)
    x = x + F.embedding(step.positions, layers.parameter("decoder.positional_embedding"))
    # int32 and float32 throughout: a Python number beside a tensor would be an int64 or a float64 one
    position = torch.arange(context, dtype=torch.int32).view(1, 1, 1, 1, context)
    past_mask = _additive_mask(position < step.positions.view(slots, beams, 1, 1, 1))  # (S, B, 1, 1, C)
    cross_mask = None
    if step.window_lengths is not None:
        position = torch.arange(cross[0][0].shape[2], dtype=torch.int32).view(1, 1, 1, -1)
        cross_mask = _additive_mask(position < step.window_lengths.view(-1, 1, 1, 1))
    fresh = []
    for i in range(dims.n_text_layer):
        block = f"decoder.blocks.{i}"
        q, k, v = (t.view(slots, beams, heads, 1, dims.head_dim) for t in _project_qkv(config, layers, block, x))
        past_k, past_v = past[i]
        # past (+) fresh: two score matrices, one softmax, no copy of the past
        old = (q @ past_k.to(q.dtype).transpose(3, 4)).float() + past_mask  # (S, B, H, 1, C)
        new = (q * k).sum(-1, keepdim=True).float()  # (S, B, H, 1, 1)
        weights = torch.softmax(torch.cat((old, new), -1), -1).to(q.dtype)
        attended = weights[..., :context] @ past_v.to(q.dtype) + weights[..., context:] * v
        x = x + layers.row(f"{block}.attn.out", attended.reshape(slots, beams, -1))
        x, _ = _cross_attention(config, layers, block, x, cross[i], cross_mask)
        x = _mlp(layers, block, x)
        fresh.append((k.squeeze(3), v.squeeze(3)))
    # rows first, then the vocabulary: OpenVINO lays (S, B, V) out anew before it adds a (S, 1, V), and back after it
    logits = layers.logits(layers.norm("decoder.ln", x).reshape(-1, dims.n_text_state))  # (S*B, V)
    blocks = layers.vocab_blocks(slots * beams)
    logits, bias = split_vocab(logits, blocks), split_vocab(step.suppression_bias, blocks)
    if beams > 1:
        bias = bias.unsqueeze(1).expand(-1, beams, -1, -1).flatten(0, 1)
    ids = token_ids(*logits.shape[1:])
    return mask_logits(logits + bias, ids, step.rules, config.special_ids), ids, fresh


def prompt_logits(config: GraphConfig, layers: LayerBackend, cross: Sequence[KVPair], tokens: Tensor) -> Tensor:
    """tokens (1, T) -> the logits after each of them, (T, n_vocab) float32, for parity tests."""
    x, _, _ = _run_prompt(config, layers, cross, tokens)
    return layers.logits(layers.norm("decoder.ln", x[0]))[:, : config.dims.n_vocab].float()


def align(
    config: GraphConfig,
    layers: LayerBackend,
    cross: Sequence[KVPair],
    tokens: Tensor,
    heads: Sequence[tuple[int, int]],
) -> Tensor:
    """tokens (1, T) -> cross-attention weights of the (layer, head of this rank) pairs, (heads, T, A) float32."""
    _, _, weights = _run_prompt(config, layers, cross, tokens)
    if not heads:  # a rank may hold none of them
        return torch.zeros(0, tokens.shape[1], config.dims.n_audio_ctx)
    return torch.stack([weights[layer][0, head] for layer, head in heads]).float()
