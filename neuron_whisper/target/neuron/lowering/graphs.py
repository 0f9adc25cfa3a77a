"""The graphs of the Neuron application: what each takes, answers, and keeps on the device. Plain torch.

Every graph answers (int32, float32, *states): NxD takes the structure of results from one graph for all. A state
that a graph reads must be among its results, changed or not, or NxD would look for it among the weights.
Axes as in graph/whisper; W words of SUPPRESSION_WORD_BITS bans.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from neuron_whisper.graph import whisper
from neuron_whisper.graph.layers import LayerBackend
from neuron_whisper.graph.logit_processor import SpecialTokenIds
from neuron_whisper.target.interfaces import MASKED_LOGIT, N_RULES, ProgramSpec

TORCH_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
# Columns of a decode row before its rules; and of a prompt before its rules, bans and tokens. One tensor a call:
# each input is a transfer of its own to every core.
TOKEN, POSITION, PARENT, ACTIVE, STEP_COLUMNS = range(5)
SLOT, SOT, LAST, PROMPT_COLUMNS = range(4)
LOGITS_COLUMNS = STEP_COLUMNS + N_RULES + 1  # one that nobody reads: NxD tells graphs apart by their inputs' shapes


class GatheringLayers(LayerBackend, Protocol):
    """Layers, and the ranks' parts of a tensor joined."""

    def gather(self, part: Tensor, axis: int) -> Tensor: ...


MakeLayers = Callable[[], GatheringLayers]


# Bans of one int32 word: no more than float32 holds exactly, in which a device may divide integers.
SUPPRESSION_WORD_BITS = 16


def suppression_words(vocab: int) -> int:
    """int32 words that hold a bit for every token."""
    return -(-vocab // SUPPRESSION_WORD_BITS)


class DeviceState(nn.Module):
    """What stays on the device between calls, zero at first; `heads` are those of a rank.

    cross_k_i, cross_v_i (S, H, A, D) and self_k_i, self_v_i (S, B, H, C, D) per decoder layer; banned (S, W), a bit
    per token.
    """

    def __init__(self, spec: ProgramSpec, heads: int, dtype: torch.dtype) -> None:
        super().__init__()
        dims = spec.dims
        cross = (spec.slots, heads, dims.n_audio_ctx, dims.head_dim)
        past = (spec.slots, spec.beams, heads, spec.text_context, dims.head_dim)
        self._layers = range(dims.n_text_layer)
        for i in self._layers:
            for name, shape in (("cross", cross), ("self", past)):
                for part in "kv":
                    zeros = torch.zeros(shape, dtype=dtype)
                    self.register_parameter(f"{name}_{part}_{i}", nn.Parameter(zeros, requires_grad=False))
        words = torch.zeros((spec.slots, suppression_words(dims.n_vocab)), dtype=torch.int32)
        self.banned = nn.Parameter(words, requires_grad=False)

    def cross_caches(self) -> list[whisper.KVPair]:
        # no get_parameter: while a graph is traced, other tensors stand where the parameters are
        return [(getattr(self, f"cross_k_{i}"), getattr(self, f"cross_v_{i}")) for i in self._layers]

    def self_caches(self) -> list[whisper.KVPair]:
        return [(getattr(self, f"self_k_{i}"), getattr(self, f"self_v_{i}")) for i in self._layers]


class NeuronGraph(nn.Module):
    """One graph: forward(*inputs) -> (int32, float32, *new values of the states that `aliased_prefixes` names)."""

    aliased_prefixes: tuple[str, ...] = ()

    def __init__(self, spec: ProgramSpec, layers: GatheringLayers, dtype: torch.dtype) -> None:
        super().__init__()
        self.spec = spec
        self.layers = layers
        self.states = DeviceState(spec, layers.text_heads, dtype)
        self.config = whisper.GraphConfig(spec.dims, SpecialTokenIds.from_spec(spec), spec.choices)

    def aliases(self) -> dict[Tensor, int]:
        """State -> the index of the result that is its new value."""
        return {state: 2 + i for i, (_, state) in enumerate(self.aliased_states())}

    def aliased_states(self) -> Iterator[tuple[str, nn.Parameter]]:
        """States this graph reads or writes, in the order of its results."""
        for name, state in self.states.named_parameters():
            if name.startswith(self.aliased_prefixes):
                yield name, state

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        with torch.device(inputs[0].device):  # the program makes its masks where its inputs are
            ints, floats, changed = self.run(*inputs)
            return ints, floats, *(changed.get(name, state) for name, state in self.aliased_states())

    def run(self, *inputs: Tensor) -> tuple[Tensor, Tensor, Mapping[str, Tensor]]:
        """(int32 answer, float32 answer, states that changed)."""
        raise NotImplementedError

    def suppression_bias(self, words: Tensor) -> Tensor:
        """(S, W) words -> (S, V) to add to logits."""
        # No >>: with a tensor of distances torch_xla 2.9 answers 0 for all but the first.
        bits = torch.stack(
            [(words // 2**bit) % 2 for bit in range(SUPPRESSION_WORD_BITS)], 2
        )  # (S, W, SUPPRESSION_WORD_BITS)
        known = bits.flatten(1)[:, : self.spec.dims.n_vocab].float() * MASKED_LOGIT
        return torch.nn.functional.pad(known, (0, self.layers.vocab - self.spec.dims.n_vocab))


class EncodeGraph(NeuronGraph):
    """(mel (N, n_mels, 2A), slots (N,)) -> (1 where all is finite (N,), largest magnitude of the last keys (N,))."""

    aliased_prefixes = ("cross",)

    def run(self, *inputs: Tensor) -> tuple[Tensor, Tensor, Mapping[str, Tensor]]:
        mel, slots = inputs
        fresh = whisper.encode(self.config, self.layers, mel)
        changed = {}
        for i, (rows, states) in enumerate(zip(fresh, self.states.cross_caches(), strict=True)):
            for part, row, state in zip("kv", rows, states, strict=True):
                changed[f"cross_{part}_{i}"] = state.index_copy(0, slots.long(), row.to(state.dtype))
        largest = fresh[-1][0].abs().flatten(1).amax(1).float()
        return (largest < float("inf")).to(torch.int32), largest, changed


class PrefillGraph(NeuronGraph):
    """(1, PROMPT_COLUMNS + N_RULES + W + T) int32 -> (tokens (1, K), languages + no-speech + log-probabilities)."""

    aliased_prefixes = ("cross", "self", "banned")

    def run(self, *inputs: Tensor) -> tuple[Tensor, Tensor, Mapping[str, Tensor]]:
        (ask,) = inputs
        rules_end = PROMPT_COLUMNS + N_RULES
        bans_end = rules_end + suppression_words(self.spec.dims.n_vocab)
        slot, words = ask[0, SLOT : SLOT + 1].long(), ask[:, rules_end:bans_end]
        cross = [(k.index_select(0, slot), v.index_select(0, slot)) for k, v in self.states.cross_caches()]
        languages, no_speech, best, logprobs, fresh = whisper.prefill(
            self.config,
            self.layers,
            cross,
            ask[:, bans_end:],
            ask[0, SOT : LAST + 1],
            ask[:, PROMPT_COLUMNS:rules_end],
            self.suppression_bias(words),
        )
        changed = {"banned": self.states.banned.index_copy(0, slot, words)}
        for i, (rows, states) in enumerate(zip(fresh, self.states.self_caches(), strict=True)):
            for part, row, state in zip("kv", rows, states, strict=True):
                beams = row.to(state.dtype).unsqueeze(1).expand(-1, self.spec.beams, -1, -1, -1)  # (1, B, H, T, D)
                rest = state.index_select(0, slot)[:, :, :, row.shape[2] :]
                changed[f"self_{part}_{i}"] = state.index_copy(0, slot, torch.cat((beams, rest), 3))
        return best, torch.cat((languages, no_speech, logprobs[0])), changed


class StepGraph(NeuronGraph):
    """(R, STEP_COLUMNS + N_RULES or more) int32 -> two answers of R rows; each continues its parent's past."""

    aliased_prefixes = ("cross", "self", "banned")

    def run_step(self, *inputs: Any) -> tuple[Tensor, Tensor, list[whisper.KVPair]]:
        """inputs of whisper.decode after the layers -> (int32 answer, float32 answer, fresh rows)."""
        raise NotImplementedError

    def run(self, *inputs: Tensor) -> tuple[Tensor, Tensor, Mapping[str, Tensor]]:
        (steps,) = inputs
        shape = (self.spec.slots, self.spec.beams)
        tokens, positions, parents, active = (steps[:, column].reshape(shape) for column in range(STEP_COLUMNS))
        past = self.states.self_caches()
        if self.spec.beams > 1:
            own = torch.arange(self.spec.rows, dtype=torch.int32).view(shape)
            first = own - own % self.spec.beams
            source = torch.where(active > 0, first + parents, own).flatten().long()
            past = [(_select_rows(k, source), _select_rows(v, source)) for k, v in past]
        ints, floats, fresh = self.run_step(
            past,
            self.states.cross_caches(),
            tokens,
            positions,
            steps[:, STEP_COLUMNS : STEP_COLUMNS + N_RULES],
            self.suppression_bias(self.states.banned),
        )
        live = (active > 0).view(*shape, 1, 1, 1)
        changed = {}
        for i, (rows, states) in enumerate(zip(fresh, past, strict=True)):
            for part, row, state in zip("kv", rows, states, strict=True):
                row = row.to(state.dtype).unsqueeze(3)  # (S, B, H, 1, D)
                at = positions.long().view(*shape, 1, 1, 1).expand(row.shape)
                # an idle row writes back what it holds
                changed[f"self_{part}_{i}"] = state.scatter(3, at, torch.where(live, row, state.gather(3, at)))
        return ints, floats, changed


class DecodeGraph(StepGraph):
    """(R, STEP_COLUMNS + N_RULES) int32 -> (tokens (R, K), log-probabilities (R, K))."""

    def run_step(self, *inputs: Any) -> tuple[Tensor, Tensor, list[whisper.KVPair]]:
        return whisper.decode(self.config, self.layers, *inputs)


class LogitsGraph(StepGraph):
    """(R, LOGITS_COLUMNS) int32 -> (tokens that were fed (S, B), log-probabilities of all (R, n_vocab))."""

    def run_step(self, *inputs: Any) -> tuple[Tensor, Tensor, list[whisper.KVPair]]:
        logprobs, fresh = whisper.logits(self.config, self.layers, *inputs)
        _, _, tokens, *_ = inputs
        return tokens, logprobs, fresh


class AlignGraph(NeuronGraph):
    """(slot (1,), tokens (1, T)) -> (first token (1,), weights of the alignment heads (heads, T, A))."""

    aliased_prefixes = ("cross",)

    def run(self, *inputs: Tensor) -> tuple[Tensor, Tensor, Mapping[str, Tensor]]:
        slot, tokens = inputs
        cross = [
            (k.index_select(0, slot.long()), v.index_select(0, slot.long())) for k, v in self.states.cross_caches()
        ]
        local, wanted = self.layers.text_heads, self.spec.alignment_heads
        used = sorted({layer for layer, _ in wanted})
        # All heads of the layers used: which of them are wanted differs from rank to rank, the graph does not.
        pairs = [(layer, head) for layer in used for head in range(local)]
        weights = whisper.align(self.config, self.layers, cross, tokens, pairs)
        weights = self.layers.gather(weights.view(len(used), local, *weights.shape[1:]), 1)
        return tokens[0, :1], torch.stack([weights[used.index(layer), head] for layer, head in wanted]), {}


def _select_rows(state: Tensor, rows: Tensor) -> Tensor:
    """(S, B, ...) with its rows, slot * B + beam, taken from `rows` (R,)."""
    return state.flatten(0, 1).index_select(0, rows).view_as(state)


def example_inputs(
    spec: ProgramSpec, dtype: torch.dtype
) -> dict[str, tuple[type[NeuronGraph], list[tuple[Tensor, ...]]]]:
    """Tag -> (graph, an example of its inputs per bucket), in the order NxD must have them.

    decode first: it alone is one bucket and reads every state, and NxD takes states and results from the first.
    """
    dims = spec.dims

    def ints(*shape: int) -> Tensor:
        return torch.zeros(shape, dtype=torch.int32)

    prompt = PROMPT_COLUMNS + N_RULES + suppression_words(dims.n_vocab)
    graphs: dict[str, tuple[type[NeuronGraph], list[tuple[Tensor, ...]]]] = {
        "decode": (DecodeGraph, [(ints(spec.rows, STEP_COLUMNS + N_RULES),)]),
        "logits": (LogitsGraph, [(ints(spec.rows, LOGITS_COLUMNS),)]),
        "prefill": (PrefillGraph, [(ints(1, prompt + bucket),) for bucket in spec.prompt_buckets]),
        "encode": (
            EncodeGraph,
            [(torch.zeros(n, dims.n_mels, dims.n_frames, dtype=dtype), ints(n)) for n in spec.encode_batches],
        ),
    }
    if spec.align_buckets and spec.alignment_heads:
        graphs["align"] = (AlignGraph, [(ints(1), ints(1, bucket)) for bucket in spec.align_buckets])
    return graphs
