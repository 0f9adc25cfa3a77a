"""ReferenceSession: the program in plain PyTorch, with a thread per rank and collectives through a barrier."""

from __future__ import annotations

import threading
from collections import ChainMap
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from neuron_whisper.errors import DeviceError
from neuron_whisper.graph import whisper
from neuron_whisper.graph.layers import PlainLayers
from neuron_whisper.graph.logit_processor import SpecialTokenIds
from neuron_whisper.graph.padding_windows import load_padding_windows
from neuron_whisper.target.interfaces import (
    PrefillInputs,
    PrefillOutput,
    ProgramSpec,
    StepInputs,
    TopTokens,
    mask_logprobs,
    resolve_beam_parents,
    rows_in_use,
    suppression_bias,
)

T = TypeVar("T")


class Collectives:
    """All-reduce and all-gather between the threads of one process; every rank passes a tensor and gets the result."""

    def __init__(self, tp: int) -> None:
        self._parts: list[Tensor] = [torch.empty(0)] * tp
        self._barrier = threading.Barrier(tp)

    def _exchange(self, rank: int, part: Tensor) -> list[Tensor]:
        self._parts[rank] = part
        self._barrier.wait()
        parts = list(self._parts)
        self._barrier.wait()  # no rank overwrites a part before all have read it
        return parts

    def all_reduce(self, rank: int, part: Tensor) -> Tensor:
        # the same order on every rank: all ranks continue with the same bits
        parts = self._exchange(rank, part)
        total = parts[0]
        for other in parts[1:]:
            total = total + other
        return total

    def all_gather(self, rank: int, part: Tensor) -> Tensor:
        return torch.cat(self._exchange(rank, part), -1)

    def abort(self) -> None:
        """Make ranks that wait for a failed one fail too."""
        self._barrier.abort()


class _Rank:
    """One rank's parameters and its heads of every cache."""

    def __init__(self, spec: ProgramSpec, layers: PlainLayers, dtype: torch.dtype) -> None:
        dims, heads = spec.dims, layers.text_heads
        self.layers = layers
        self.layers_with_padding: PlainLayers | None = None  # made at the first window that ends in padding
        cross = (spec.slots, heads, dims.n_audio_ctx, dims.head_dim)
        past = (spec.slots, spec.beams, heads, spec.text_context, dims.head_dim)
        self.cross_caches, self.self_caches = (
            [(torch.zeros(shape, dtype=dtype), torch.zeros(shape, dtype=dtype)) for _ in range(dims.n_text_layer)]
            for shape in (cross, past)
        )

    def slot_cross(self, slot: int) -> list[whisper.KVPair]:
        return [(k[slot : slot + 1], v[slot : slot + 1]) for k, v in self.cross_caches]


class ReferenceSession:
    """Session over `ranks`, one mapping of parameter shards each."""

    def __init__(
        self, spec: ProgramSpec, ranks: Sequence[Mapping[str, Tensor]], *, dtype: torch.dtype = torch.float32
    ) -> None:
        self._spec, self._dtype = spec, dtype
        self._config = whisper.GraphConfig(spec.dims, SpecialTokenIds.from_spec(spec), spec.choices)
        tp = len(ranks)
        self._collectives = Collectives(tp)
        self._parameters = ranks
        self._ranks = [
            _Rank(spec, self._make_layers(parameters, tp, rank), dtype) for rank, parameters in enumerate(ranks)
        ]
        self._suppression_bias = torch.zeros(spec.slots, self._ranks[0].layers.vocab)
        self._beam_widths = np.ones(spec.slots, np.int32)
        self._is_open = True
        self._threads = ThreadPoolExecutor(tp, thread_name_prefix="rank")

    def _make_layers(self, parameters: Mapping[str, Tensor], tp: int, rank: int) -> PlainLayers:
        return PlainLayers(
            self._spec.dims,
            parameters,
            tp=tp,
            rank=rank,
            all_reduce=lambda part: self._collectives.all_reduce(rank, part),
            all_gather=lambda part: self._collectives.all_gather(rank, part),
        )

    @property
    def spec(self) -> ProgramSpec:
        return self._spec

    def _run_on_ranks(self, work: Callable[[_Rank], T]) -> list[T]:
        """Run `work` on every rank at once; the results by rank."""
        if not self._is_open:
            raise DeviceError("the session is closed")

        def run(rank: _Rank) -> T:
            try:
                with torch.inference_mode():
                    return work(rank)
            except BaseException:
                self._collectives.abort()
                raise

        return [future.result() for future in [self._threads.submit(run, rank) for rank in self._ranks]]

    def encode(self, slots: Sequence[int], mel: NDArray[np.float32]) -> None:
        self._spec.check_frames(mel.shape[-1])
        ends_in_padding = self._spec.skip_padding and mel.shape[-1] < self._spec.dims.n_frames
        windows = torch.from_numpy(mel).to(self._dtype)

        def run(rank: _Rank) -> None:
            if ends_in_padding:
                fresh = whisper.encode_audio(self._config, self._add_padding(rank), windows)
            else:
                fresh = whisper.encode(self._config, rank.layers, windows)
            for (past_k, past_v), (k, v) in zip(rank.cross_caches, fresh, strict=True):
                past_k[list(slots)], past_v[list(slots)] = k, v

        self._run_on_ranks(run)

    def _add_padding(self, rank: _Rank) -> PlainLayers:
        """The rank's layers with the parameters of whisper.encode_audio."""
        if rank.layers_with_padding is None:
            dims, index = self._spec.dims, self._ranks.index(rank)
            windows = load_padding_windows(dims.n_mels, dims.n_frames)
            in_dtype = ((torch.from_numpy(mel).to(self._dtype), frames) for mel, frames in windows)
            padding = whisper.find_padding(self._config, rank.layers, in_dtype)
            parameters = ChainMap(padding, cast("MutableMapping[str, Tensor]", self._parameters[index]))
            rank.layers_with_padding = self._make_layers(parameters, len(self._ranks), index)
        return rank.layers_with_padding

    def prefill(self, slot: int, inputs: PrefillInputs) -> PrefillOutput:
        self._spec.check_beams(inputs.beams)
        length = len(inputs.prompt)
        padded = np.zeros((1, self._spec.bucket_for(length)), np.int32)
        padded[0, :length] = inputs.prompt
        self._beam_widths[slot] = inputs.beams
        bias = suppression_bias(inputs.suppressed)
        self._suppression_bias[slot, : len(bias)] = torch.from_numpy(bias)
        prompt = whisper.PromptTensors(
            tokens=torch.from_numpy(padded),
            sot_and_last=torch.tensor([inputs.sot_index, length - 1]),
            rules=torch.from_numpy(inputs.rules).unsqueeze(0),
            suppression_bias=self._suppression_bias[slot : slot + 1],
        )

        def run(rank: _Rank) -> tuple[Tensor, Tensor, Tensor, Tensor]:
            *outputs, fresh = whisper.prefill(self._config, rank.layers, rank.slot_cross(slot), prompt)
            for (past_k, past_v), (k, v) in zip(rank.self_caches, fresh, strict=True):
                past_k[slot, :, :, :length], past_v[slot, :, :, :length] = k[:, :, :length], v[:, :, :length]
            languages, no_speech, top_tokens, logprobs = outputs
            return languages, no_speech, top_tokens, logprobs

        languages, no_speech, top_tokens, logprobs = self._run_on_ranks(run)[0]
        return PrefillOutput(
            language_logprobs=languages.numpy(),
            no_speech_prob=float(no_speech[0]),
            top_tokens=TopTokens.from_graph_output(top_tokens.numpy(), logprobs.numpy()),
        )

    def decode(self, inputs: StepInputs) -> TopTokens:
        def graph(rank: _Rank, step: whisper.StepTensors) -> tuple[tuple[Tensor, Tensor], list[whisper.KVPair]]:
            top_tokens, logprobs, fresh = whisper.decode(
                self._config, rank.layers, rank.self_caches, rank.cross_caches, step
            )
            return (top_tokens, logprobs), fresh

        in_use, (top_tokens, logprobs) = self._run_step(graph, inputs)
        return TopTokens.from_graph_output(top_tokens.numpy(), logprobs.numpy()).mask_rows(in_use)

    def logits(self, inputs: StepInputs) -> NDArray[np.float32]:
        def graph(rank: _Rank, step: whisper.StepTensors) -> tuple[Tensor, list[whisper.KVPair]]:
            return whisper.logits(self._config, rank.layers, rank.self_caches, rank.cross_caches, step)

        in_use, logprobs = self._run_step(graph, inputs)
        return np.where(in_use.reshape(-1, 1), mask_logprobs(logprobs.numpy()), np.float32(-np.inf))

    def _run_step(
        self, graph: Callable[[_Rank, whisper.StepTensors], tuple[T, list[whisper.KVPair]]], inputs: StepInputs
    ) -> tuple[NDArray[np.bool_], T]:
        """(rows in use (S, B), the graph's output); its fresh rows are written into the self-K/V."""
        in_use = rows_in_use(inputs.active, self._beam_widths, self._spec.beams)
        source = resolve_beam_parents(inputs.parents, in_use)
        slots, beams = np.indices(in_use.shape)
        positions = inputs.positions.reshape(in_use.shape)
        live = torch.from_numpy(in_use)
        s, b, p = (torch.from_numpy(x)[live] for x in (slots, beams, positions))
        step = whisper.StepTensors(
            tokens=torch.from_numpy(inputs.tokens.reshape(in_use.shape)),
            positions=torch.from_numpy(positions),
            rules=torch.from_numpy(inputs.rules),
            suppression_bias=self._suppression_bias,
        )

        def run(rank: _Rank) -> T:
            for keys, values in rank.self_caches:
                keys[:], values[:] = keys[slots, source], values[slots, source]
            output, fresh = graph(rank, step)
            for (past_k, past_v), (k, v) in zip(rank.self_caches, fresh, strict=True):
                past_k[s, b, :, p], past_v[s, b, :, p] = k[live], v[live]
            return output

        return in_use, self._run_on_ranks(run)[0]

    def align(self, slot: int, tokens: NDArray[np.int32]) -> NDArray[np.float32]:
        heads = self._spec.alignment_heads
        per_rank = self._ranks[0].layers.text_heads
        prompt = torch.from_numpy(tokens).unsqueeze(0)
        owned = [
            [(index, (layer, head % per_rank)) for index, (layer, head) in enumerate(heads) if head // per_rank == r]
            for r in range(len(self._ranks))
        ]
        index_of = {id(rank): i for i, rank in enumerate(self._ranks)}

        def run(rank: _Rank) -> Tensor:
            mine = [pair for _, pair in owned[index_of[id(rank)]]]
            return whisper.align(self._config, rank.layers, rank.slot_cross(slot), prompt, mine)

        out = np.zeros((len(heads), len(tokens), self._spec.dims.n_audio_ctx), np.float32)
        for pairs, weights in zip(owned, self._run_on_ranks(run), strict=True):
            out[[index for index, _ in pairs]] = weights.numpy()
        return out

    def prompt_logits(self, slot: int, tokens: NDArray[np.int32]) -> NDArray[np.float32]:
        """(T, n_vocab) logits after every token of tokens (T,): for parity tests."""
        prompt = torch.from_numpy(tokens).unsqueeze(0)
        outputs = self._run_on_ranks(
            lambda rank: whisper.prompt_logits(self._config, rank.layers, rank.slot_cross(slot), prompt)
        )
        return outputs[0].numpy()

    def close(self) -> None:
        self._is_open = False
        self._threads.shutdown()
