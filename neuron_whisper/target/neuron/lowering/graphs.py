"""The graphs of the Neuron application: the inputs, outputs and device state of each. Plain torch.

Every graph returns (int32, float32, *states): NxD takes the structure of results from one graph for all. A state
that a graph reads must be among its results, changed or not, or NxD would look for it among the weights.
Axes as in graph/whisper; W words of SUPPRESSION_WORD_BITS tokens.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

import torch
from torch import Tensor, nn

from neuron_whisper.graph import whisper
from neuron_whisper.graph.layers import LayerBackend
from neuron_whisper.graph.logit_processor import SpecialTokenIds
from neuron_whisper.target.interfaces import MASKED_LOGIT, N_RULES, ProgramSpec
from neuron_whisper.target.neuron.lowering.layout import (
    LAST,
    LOGITS_COLUMNS,
    PROMPT_COLUMNS,
    SLOT,
    SOT,
    STEP_COLUMNS,
    SUPPRESSION_WORD_BITS,
    count_suppression_words,
    padded_context,
)
from neuron_whisper.target.neuron.lowering.operations import flat_positions, reorder_rows


class StatefulLayers(LayerBackend, Protocol):
    """A LayerBackend that also joins the ranks' parts of a tensor, and writes rows of states."""

    def gather(self, part: Tensor, axis: int) -> Tensor: ...

    def put_rows(self, state: Tensor, at: Tensor, rows: Tensor) -> Tensor:
        """state (N, ...) with its rows `at` (R,) int32 replaced by `rows` (R, ...), cast to its type."""


class DeviceState(nn.Module):
    """Tensors that stay on the device between calls, zero at first; `heads` are those of a rank.

    cross_k_i, cross_v_i (S, H, A, D) and self_k_i, self_v_i (S, B, H, P, D) per decoder layer, of P positions the last
    ones spare; suppression_bias (S, V), what a step adds to logits: 16 bit where activations are.
    """

    def __init__(self, spec: ProgramSpec, heads: int, vocab: int, dtype: torch.dtype) -> None:
        super().__init__()
        dims = spec.dims
        cross = (spec.slots, heads, dims.n_audio_ctx, dims.head_dim)
        past = (spec.slots, spec.beams, heads, padded_context(spec.text_context), dims.head_dim)
        self._layers = range(dims.n_text_layer)
        for i in self._layers:
            for name, shape in (("cross", cross), ("self", past)):
                for part in "kv":
                    zeros = torch.zeros(shape, dtype=dtype)
                    self.register_parameter(f"{name}_{part}_{i}", nn.Parameter(zeros, requires_grad=False))
        bias = torch.zeros((spec.slots, vocab), dtype=dtype)
        self.suppression_bias = nn.Parameter(bias, requires_grad=False)

    def cross_caches(self) -> list[whisper.KVPair]:
        # no get_parameter: while a graph is traced, other tensors replace the parameters
        return [(getattr(self, f"cross_k_{i}"), getattr(self, f"cross_v_{i}")) for i in self._layers]

    def self_caches(self) -> list[whisper.KVPair]:
        return [(getattr(self, f"self_k_{i}"), getattr(self, f"self_v_{i}")) for i in self._layers]


class NeuronGraph(nn.Module):
    """One graph: forward(*inputs) -> (int32, float32, *new values of the states that `aliased_prefixes` names)."""

    aliased_prefixes: tuple[str, ...] = ()

    def __init__(self, spec: ProgramSpec, layers: StatefulLayers, dtype: torch.dtype) -> None:
        super().__init__()
        self.spec = spec
        self.layers = layers
        self.states = DeviceState(spec, layers.text_heads, layers.vocab, dtype)
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
        with torch.device(inputs[0].device):  # the program creates its masks on the device of its inputs
            ints, floats, changed = self.run(*inputs)
            return ints, floats, *(changed.get(name, state) for name, state in self.aliased_states())

    def run(self, *inputs: Tensor) -> tuple[Tensor, Tensor, Mapping[str, Tensor]]:
        """(int32 output, float32 output, states that changed)."""
        raise NotImplementedError


class EncodeGraph(NeuronGraph):
    """(mel (N, n_mels, 2A), slots (N,)) -> (last layer's keys: are finite (N,), largest magnitude (N,))."""

    aliased_prefixes = ("cross",)

    def run(self, *inputs: Tensor) -> tuple[Tensor, Tensor, Mapping[str, Tensor]]:
        mel, slots = inputs
        fresh = whisper.encode(self.config, self.layers, mel)
        changed = {}
        for i, (rows, states) in enumerate(zip(fresh, self.states.cross_caches(), strict=True)):
            for part, row, state in zip("kv", rows, states, strict=True):
                changed[f"cross_{part}_{i}"] = self.layers.put_rows(state, slots, row)
        largest = fresh[-1][0].abs().flatten(1).amax(1).float()
        finite = largest <= torch.full((), torch.finfo(torch.float32).max)  # nor is a NaN
        return finite.to(torch.int32), largest, changed


class PrefillGraph(NeuronGraph):
    """(1, PROMPT_COLUMNS + N_RULES + W + T) int32 -> (tokens (1, K), languages + no-speech + log-probabilities)."""

    aliased_prefixes = ("cross", "self", "suppression_bias")

    def run(self, *inputs: Tensor) -> tuple[Tensor, Tensor, Mapping[str, Tensor]]:
        (packed,) = inputs
        rules_end = PROMPT_COLUMNS + N_RULES
        words_end = rules_end + count_suppression_words(self.spec.dims.n_vocab)
        slot = packed[0, SLOT : SLOT + 1]
        bias = self._unpack_suppression(packed[:, rules_end:words_end])
        cross = [(k.index_select(0, slot), v.index_select(0, slot)) for k, v in self.states.cross_caches()]
        prompt = whisper.PromptTensors(
            tokens=packed[:, words_end:],
            sot_and_last=packed[0, SOT : LAST + 1],
            rules=packed[:, PROMPT_COLUMNS:rules_end],
            suppression_bias=bias,
        )
        languages, no_speech, top_tokens, logprobs, fresh = whisper.prefill(self.config, self.layers, cross, prompt)
        changed = {"suppression_bias": self.layers.put_rows(self.states.suppression_bias, slot, bias)}
        for i, (rows, states) in enumerate(zip(fresh, self.states.self_caches(), strict=True)):
            for part, row, state in zip("kv", rows, states, strict=True):
                beams = row.to(state.dtype).unsqueeze(1).expand(-1, self.spec.beams, -1, -1, -1)  # (1, B, H, T, D)
                rest = state.index_select(0, slot)[:, :, :, row.shape[2] :]
                changed[f"self_{part}_{i}"] = self.layers.put_rows(state, slot, torch.cat((beams, rest), 3))
        return top_tokens, torch.cat((languages, no_speech, logprobs[0])), changed

    def _unpack_suppression(self, words: Tensor) -> Tensor:
        """(1, W) words -> (1, V) to add to logits, in the type of the state."""
        # By division of whole numbers in float32: exact below 2^24, and shifts with a tensor of distances are wrong
        # in torch_xla 2.9.
        powers = torch.tensor([float(2**bit) for bit in range(SUPPRESSION_WORD_BITS)])
        shifted = torch.floor(words.float().unsqueeze(2) / powers)  # (1, W, bits)
        half = torch.full((), 0.5)
        bits = shifted - torch.floor(shifted * half) / half
        # computed before the bits become a row: as (W, bits) they fill the device's lanes
        dtype = self.states.suppression_bias.dtype
        bias = bits.to(dtype) * torch.full((), MASKED_LOGIT, dtype=dtype)
        known = bias.flatten(1)[:, : self.spec.dims.n_vocab]
        return torch.nn.functional.pad(known, (0, self.layers.vocab - self.spec.dims.n_vocab))


class StepGraph(NeuronGraph):
    """(R, STEP_COLUMNS + N_RULES or more) int32 -> two outputs of R rows; each continues its parent's past."""

    aliased_prefixes = ("cross", "self", "suppression_bias")

    def run_step(
        self, past: Sequence[whisper.KVPair], step: whisper.StepTensors
    ) -> tuple[Tensor, Tensor, list[whisper.KVPair]]:
        """(int32 output, float32 output, fresh rows)."""
        raise NotImplementedError

    def run(self, *inputs: Tensor) -> tuple[Tensor, Tensor, Mapping[str, Tensor]]:
        (packed,) = inputs
        shape = (self.spec.slots, self.spec.beams)
        tokens, positions, parents, active = (packed[:, column].reshape(shape) for column in range(STEP_COLUMNS))
        caches = self.states.self_caches()
        in_use = active.bool()
        if self.spec.beams > 1:
            own = torch.arange(self.spec.rows, dtype=torch.int32).view(shape)
            first = torch.arange(0, self.spec.rows, self.spec.beams, dtype=torch.int32).unsqueeze(1)
            source = torch.where(in_use, first + parents, own).flatten()
            caches = [(reorder_rows(k, source), reorder_rows(v, source)) for k, v in caches]
        context = self.spec.text_context
        step = whisper.StepTensors(
            tokens=tokens,
            positions=positions,
            rules=packed[:, STEP_COLUMNS : STEP_COLUMNS + N_RULES],
            suppression_bias=self.states.suppression_bias,
        )
        past = [(k[:, :, :, :context], v[:, :, :, :context]) for k, v in caches]
        ints, floats, fresh = self.run_step(past, step)
        # rows that are not in use write where nothing reads
        at = torch.where(in_use, positions, torch.full((), context, dtype=torch.int32))
        at = flat_positions(at.unsqueeze(2).expand(*shape, self.layers.text_heads), padded_context(context))
        changed = {}
        for i, (rows, states) in enumerate(zip(fresh, caches, strict=True)):
            for part, row, state in zip("kv", rows, states, strict=True):
                width = state.shape[-1]
                written = self.layers.put_rows(state.reshape(-1, width), at, row.reshape(-1, width))
                changed[f"self_{part}_{i}"] = written.view(state.shape)
        return ints, floats, changed


class DecodeGraph(StepGraph):
    """(R, STEP_COLUMNS + N_RULES) int32 -> (tokens (R, K), log-probabilities (R, K))."""

    def run_step(
        self, past: Sequence[whisper.KVPair], step: whisper.StepTensors
    ) -> tuple[Tensor, Tensor, list[whisper.KVPair]]:
        return whisper.decode(self.config, self.layers, past, self.states.cross_caches(), step)


class LogitsGraph(StepGraph):
    """(R, LOGITS_COLUMNS) int32 -> (the input tokens (S, B), log-probabilities of all (R, n_vocab))."""

    def run_step(
        self, past: Sequence[whisper.KVPair], step: whisper.StepTensors
    ) -> tuple[Tensor, Tensor, list[whisper.KVPair]]:
        logprobs, fresh = whisper.logits(self.config, self.layers, past, self.states.cross_caches(), step)
        return step.tokens, logprobs, fresh


class AlignGraph(NeuronGraph):
    """(slot (1,), tokens (1, T)) -> (first token (1,), weights of the alignment heads (heads, T, A))."""

    aliased_prefixes = ("cross",)

    def run(self, *inputs: Tensor) -> tuple[Tensor, Tensor, Mapping[str, Tensor]]:
        slot, tokens = inputs
        cross = [(k.index_select(0, slot), v.index_select(0, slot)) for k, v in self.states.cross_caches()]
        local_heads, heads = self.layers.text_heads, self.spec.alignment_heads
        used = sorted({layer for layer, _ in heads})
        # All heads of these layers: which are alignment heads differs from rank to rank, the graph does not.
        pairs = [(layer, head) for layer in used for head in range(local_heads)]
        weights = whisper.align(self.config, self.layers, cross, tokens, pairs)
        weights = self.layers.gather(weights.view(len(used), local_heads, *weights.shape[1:]), 1)
        return tokens[0, :1], torch.stack([weights[used.index(layer), head] for layer, head in heads]), {}


def example_inputs(
    spec: ProgramSpec, dtype: torch.dtype
) -> dict[str, tuple[type[NeuronGraph], list[tuple[Tensor, ...]]]]:
    """Tag -> (graph, an example of its inputs per bucket), in the order that NxD needs.

    decode first: it alone has one bucket and reads every state, and NxD takes states and results from the first.
    """
    dims = spec.dims

    def ints(*shape: int) -> Tensor:
        return torch.zeros(shape, dtype=torch.int32)

    prompt = PROMPT_COLUMNS + N_RULES + count_suppression_words(dims.n_vocab)
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
