"""The graphs of the Neuron application: what each takes, answers, and keeps on the device. Plain torch.

Every graph answers (int32, float32, *states): NxD takes the structure of results from one graph for all. A state
that a graph reads must be among its results, changed or not, or NxD would look for it among the weights.
Axes as in graph/whisper; W words of BAN_BITS bans.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from neuron_whisper.graph import whisper
from neuron_whisper.graph.layers import Layers
from neuron_whisper.graph.logit_processor import AnswerTokens
from neuron_whisper.target.interfaces import N_RULES, OFF, ProgramSpec

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
# Columns of a decode row before its rules; and of a prompt before its rules, bans and tokens. One tensor a call:
# each input is a transfer of its own to every core.
TOKEN, POSITION, PARENT, ACTIVE, STEP_COLUMNS = range(5)
SLOT, SOT, LAST, PROMPT_COLUMNS = range(4)
LOGITS_COLUMNS = STEP_COLUMNS + N_RULES + 1  # one that nobody reads: NxD tells graphs apart by their inputs' shapes


class GatheringLayers(Layers, Protocol):
    """Layers, and the ranks' parts of a tensor joined."""

    def gather(self, part: Tensor, axis: int) -> Tensor: ...


MakeLayers = Callable[[], GatheringLayers]


# Bans of one int32 word: no more than float32 holds exactly, in which a device may divide integers.
BAN_BITS = 16


def ban_words(vocab: int) -> int:
    """int32 words that hold a bit for every token."""
    return -(-vocab // BAN_BITS)


class States(nn.Module):
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
        words = torch.zeros((spec.slots, ban_words(dims.n_vocab)), dtype=torch.int32)
        self.banned = nn.Parameter(words, requires_grad=False)

    def cross(self) -> list[whisper.KeysValues]:
        # no get_parameter: while a graph is traced, other tensors stand where the parameters are
        return [(getattr(self, f"cross_k_{i}"), getattr(self, f"cross_v_{i}")) for i in self._layers]

    def past(self) -> list[whisper.KeysValues]:
        return [(getattr(self, f"self_k_{i}"), getattr(self, f"self_v_{i}")) for i in self._layers]


class Graph(nn.Module):
    """One graph: forward(*inputs) -> (int32, float32, *new values of the states that `kept` names)."""

    kept: tuple[str, ...] = ()

    def __init__(self, spec: ProgramSpec, layers: GatheringLayers, dtype: torch.dtype) -> None:
        super().__init__()
        self.spec = spec
        self.layers = layers
        self.states = States(spec, layers.text_heads, dtype)
        self.program = whisper.Program(spec.dims, AnswerTokens.of(spec), spec.choices)

    def aliases(self) -> dict[Tensor, int]:
        """State -> the index of the result that is its new value."""
        return {state: 2 + i for i, (_, state) in enumerate(self.kept_states())}

    def kept_states(self) -> Iterator[tuple[str, nn.Parameter]]:
        """States this graph reads or writes, in the order of its results."""
        for name, state in self.states.named_parameters():
            if name.startswith(self.kept):
                yield name, state

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        with torch.device(inputs[0].device):  # the program makes its masks where its inputs are
            ints, floats, changed = self.run(*inputs)
            return ints, floats, *(changed.get(name, state) for name, state in self.kept_states())

    def run(self, *inputs: Tensor) -> tuple[Tensor, Tensor, Mapping[str, Tensor]]:
        """(int32 answer, float32 answer, states that changed)."""
        raise NotImplementedError

    def bans(self, words: Tensor) -> Tensor:
        """(S, W) words -> (S, V) to add to logits."""
        # No >>: with a tensor of distances torch_xla 2.9 answers 0 for all but the first.
        bits = torch.stack([(words // 2**bit) % 2 for bit in range(BAN_BITS)], 2)  # (S, W, BAN_BITS)
        known = bits.flatten(1)[:, : self.spec.dims.n_vocab].float() * OFF
        return torch.nn.functional.pad(known, (0, self.layers.vocab - self.spec.dims.n_vocab))


class Encode(Graph):
    """(mel (N, n_mels, 2A), slots (N,)) -> (1 where all is finite (N,), largest magnitude of the last keys (N,))."""

    kept = ("cross",)

    def run(self, *inputs: Tensor) -> tuple[Tensor, Tensor, Mapping[str, Tensor]]:
        mel, slots = inputs
        fresh = whisper.encode(self.program, self.layers, mel)
        changed = {}
        for i, (rows, states) in enumerate(zip(fresh, self.states.cross(), strict=True)):
            for part, row, state in zip("kv", rows, states, strict=True):
                changed[f"cross_{part}_{i}"] = state.index_copy(0, slots.long(), row.to(state.dtype))
        largest = fresh[-1][0].abs().flatten(1).amax(1).float()
        return (largest < float("inf")).to(torch.int32), largest, changed


class Prefill(Graph):
    """(1, PROMPT_COLUMNS + N_RULES + W + T) int32 -> (tokens (1, K), languages + no-speech + log-probabilities)."""

    kept = ("cross", "self", "banned")

    def run(self, *inputs: Tensor) -> tuple[Tensor, Tensor, Mapping[str, Tensor]]:
        (ask,) = inputs
        rules_end = PROMPT_COLUMNS + N_RULES
        bans_end = rules_end + ban_words(self.spec.dims.n_vocab)
        slot, words = ask[0, SLOT : SLOT + 1].long(), ask[:, rules_end:bans_end]
        cross = [(k.index_select(0, slot), v.index_select(0, slot)) for k, v in self.states.cross()]
        languages, no_speech, best, logprobs, fresh = whisper.prefill(
            self.program,
            self.layers,
            cross,
            ask[:, bans_end:],
            ask[0, SOT : LAST + 1],
            ask[:, PROMPT_COLUMNS:rules_end],
            self.bans(words),
        )
        changed = {"banned": self.states.banned.index_copy(0, slot, words)}
        for i, (rows, states) in enumerate(zip(fresh, self.states.past(), strict=True)):
            for part, row, state in zip("kv", rows, states, strict=True):
                beams = row.to(state.dtype).unsqueeze(1).expand(-1, self.spec.beams, -1, -1, -1)  # (1, B, H, T, D)
                rest = state.index_select(0, slot)[:, :, :, row.shape[2] :]
                changed[f"self_{part}_{i}"] = state.index_copy(0, slot, torch.cat((beams, rest), 3))
        return best, torch.cat((languages, no_speech, logprobs[0])), changed


class Step(Graph):
    """(R, STEP_COLUMNS + N_RULES or more) int32 -> two answers of R rows; each continues its parent's past."""

    kept = ("cross", "self", "banned")

    def answer(self, *inputs: Any) -> tuple[Tensor, Tensor, list[whisper.KeysValues]]:
        """inputs of whisper.decode after the layers -> (int32 answer, float32 answer, fresh rows)."""
        raise NotImplementedError

    def run(self, *inputs: Tensor) -> tuple[Tensor, Tensor, Mapping[str, Tensor]]:
        (steps,) = inputs
        shape = (self.spec.slots, self.spec.beams)
        tokens, positions, parents, active = (steps[:, column].reshape(shape) for column in range(STEP_COLUMNS))
        past = self.states.past()
        if self.spec.beams > 1:
            own = torch.arange(self.spec.rows, dtype=torch.int32).view(shape)
            first = own - own % self.spec.beams
            source = torch.where(active > 0, first + parents, own).flatten().long()
            past = [(_select(k, source), _select(v, source)) for k, v in past]
        ints, floats, fresh = self.answer(
            past,
            self.states.cross(),
            tokens,
            positions,
            steps[:, STEP_COLUMNS : STEP_COLUMNS + N_RULES],
            self.bans(self.states.banned),
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


class Decode(Step):
    """(R, STEP_COLUMNS + N_RULES) int32 -> (tokens (R, K), log-probabilities (R, K))."""

    def answer(self, *inputs: Any) -> tuple[Tensor, Tensor, list[whisper.KeysValues]]:
        return whisper.decode(self.program, self.layers, *inputs)


class Logits(Step):
    """(R, LOGITS_COLUMNS) int32 -> (tokens that were fed (S, B), log-probabilities of all (R, n_vocab))."""

    def answer(self, *inputs: Any) -> tuple[Tensor, Tensor, list[whisper.KeysValues]]:
        logprobs, fresh = whisper.logits(self.program, self.layers, *inputs)
        _, _, tokens, *_ = inputs
        return tokens, logprobs, fresh


class Align(Graph):
    """(slot (1,), tokens (1, T)) -> (first token (1,), weights of the alignment heads (heads, T, A))."""

    kept = ("cross",)

    def run(self, *inputs: Tensor) -> tuple[Tensor, Tensor, Mapping[str, Tensor]]:
        slot, tokens = inputs
        cross = [(k.index_select(0, slot.long()), v.index_select(0, slot.long())) for k, v in self.states.cross()]
        local, wanted = self.layers.text_heads, self.spec.alignment_heads
        used = sorted({layer for layer, _ in wanted})
        # All heads of the layers used: which of them are wanted differs from rank to rank, the graph does not.
        pairs = [(layer, head) for layer in used for head in range(local)]
        weights = whisper.align(self.program, self.layers, cross, tokens, pairs)
        weights = self.layers.gather(weights.view(len(used), local, *weights.shape[1:]), 1)
        return tokens[0, :1], torch.stack([weights[used.index(layer), head] for layer, head in wanted]), {}


def _select(state: Tensor, rows: Tensor) -> Tensor:
    """(S, B, ...) with its rows, slot * B + beam, taken from `rows` (R,)."""
    return state.flatten(0, 1).index_select(0, rows).view_as(state)


def example_inputs(spec: ProgramSpec, dtype: torch.dtype) -> dict[str, tuple[type[Graph], list[tuple[Tensor, ...]]]]:
    """Tag -> (graph, an example of its inputs per bucket), in the order NxD must have them.

    decode first: it alone is one bucket and reads every state, and NxD takes states and results from the first.
    """
    dims = spec.dims

    def ints(*shape: int) -> Tensor:
        return torch.zeros(shape, dtype=torch.int32)

    prompt = PROMPT_COLUMNS + N_RULES + ban_words(dims.n_vocab)
    graphs: dict[str, tuple[type[Graph], list[tuple[Tensor, ...]]]] = {
        "decode": (Decode, [(ints(spec.rows, STEP_COLUMNS + N_RULES),)]),
        "logits": (Logits, [(ints(spec.rows, LOGITS_COLUMNS),)]),
        "prefill": (Prefill, [(ints(1, prompt + bucket),) for bucket in spec.prompt_buckets]),
        "encode": (
            Encode,
            [(torch.zeros(n, dims.n_mels, dims.n_frames, dtype=dtype), ints(n)) for n in spec.encode_batches],
        ),
    }
    if spec.align_buckets and spec.alignment_heads:
        graphs["align"] = (Align, [(ints(1), ints(1, bucket)) for bucket in spec.align_buckets])
    return graphs
