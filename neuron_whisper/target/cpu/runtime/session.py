"""CpuSession: runs the OpenVINO graphs on slots; K/V buffers are shared with the compiled models. No torch."""

from __future__ import annotations

import mmap
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
from numpy.typing import NDArray

from neuron_whisper.errors import DeviceError, InvalidOption, TargetUnavailable
from neuron_whisper.target.cpu.lowering import graph_signatures
from neuron_whisper.target.cpu.runtime.kv_cache import KVCache
from neuron_whisper.target.interfaces import (
    N_RULES,
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

Array = NDArray[np.generic]


class CpuSession:
    """Session on OpenVINO's CPU plugin.

    Caches are numpy arrays per decoder layer (bfloat16 as its bits in uint16). Compiled models see views of
    them, so a step copies only the fresh rows. `device_s` are the seconds spent in OpenVINO since it was opened.
    """

    def __init__(self, directory: Path, spec: ProgramSpec, *, dtype: str, threads: int = 0) -> None:
        self._spec, self._directory = spec, directory
        self._core = ov.Core()
        self._threads = threads
        capabilities = self._core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        self._precision = "bf16" if dtype != "float32" and "BF16" in capabilities else "f32"
        self._is_16_bit = dtype != "float32"
        self._audio_contexts = np.full(spec.slots, spec.dims.n_audio_ctx, np.int32)  # positions of each slot's window
        self._allocate_caches()
        self._beam_widths = np.ones(spec.slots, np.int32)  # rows each slot decodes in, as its prefill was told
        self._suppression_bias = np.zeros((spec.slots, spec.dims.n_vocab), np.float32)
        self._models: dict[str, ov.CompiledModel] = {}
        self._requests: dict[str, ov.InferRequest] = {}
        self._steps: dict[tuple[str, int], StepRunner] = {}
        self.device_s = 0.0
        self._is_open = True
        with graph_signatures.weights_file(directory).open("rb") as file:
            self._mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)  # what OpenVINO could write to
        self._weights = ov.Tensor(np.frombuffer(self._mapped, np.uint8), shared_memory=True)
        with ThreadPoolExecutor() as several:  # OpenVINO compiles a graph on one core
            list(several.map(self._get_model, graph_signatures.graphs_at_open(spec)))

    @property
    def spec(self) -> ProgramSpec:
        return self._spec

    def _allocate_caches(self) -> None:
        """The caches: cross-K/V per length of window, and self-K/V per width of graph, since a step reads all that it
        is given. Pages never written take no memory.
        """
        spec, d = self._spec, self._spec.dims
        self._element, store = (ov.Type.bf16, np.uint16) if self._is_16_bit else (ov.Type.f32, np.float32)
        count = 2 * d.n_text_layer
        self._cross_caches: dict[int, list[Array]] = {
            context: [np.zeros((spec.slots, d.n_text_head, context, d.head_dim), store) for _ in range(count)]
            for context in (*spec.audio_contexts, d.n_audio_ctx)
        }
        self._widened_slots: dict[int, set[int]] = {
            context: set() for context in self._cross_caches
        }  # slots, of shorter windows
        self._self_caches = {
            width: KVCache(count, (spec.slots, width, d.n_text_head, spec.text_context, d.head_dim), store)
            for width in graph_signatures.beam_widths(spec)
        }

    def _compile_options(self) -> dict[str, str]:
        return {
            "INFERENCE_PRECISION_HINT": self._precision,
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": "1",
            "INFERENCE_NUM_THREADS": str(self._threads),
        }

    def _read_model(self, name: str) -> ov.Model:
        # constants of all graphs are views of one mapping: by its path, each graph would map the file for itself
        return self._core.read_model(graph_signatures.graph_file(self._directory, name).read_bytes(), self._weights)

    def _get_model(self, name: str) -> ov.CompiledModel:
        if name not in self._models:
            try:
                self._models[name] = self._core.compile_model(self._read_model(name), "CPU", self._compile_options())
            except (RuntimeError, OSError) as error:
                raise TargetUnavailable("cpu", f"OpenVINO cannot load {name}: {error}") from error
            if hasattr(self._mapped, "madvise"):  # a compiled graph holds its own; the next one reads it again
                self._mapped.madvise(mmap.MADV_DONTNEED)
        return self._models[name]

    def _get_request(self, name: str) -> ov.InferRequest:
        if name not in self._requests:
            self._requests[name] = self._get_model(name).create_infer_request()
        return self._requests[name]

    def _check_open(self) -> None:
        if not self._is_open:
            raise DeviceError("the session is closed")

    def _infer(self, request: ov.InferRequest) -> None:
        started = time.perf_counter()
        try:
            request.infer()
        except RuntimeError as error:
            raise DeviceError(f"OpenVINO: {error}") from error
        self.device_s += time.perf_counter() - started

    def _cache_tensor(self, view: Array) -> ov.Tensor:
        if self._element == ov.Type.bf16:
            return ov.Tensor(view, ov.Shape(view.shape), ov.Type.bf16)
        return ov.Tensor(view, shared_memory=True)

    def _cache_output(self, request: ov.InferRequest, port: int) -> Array:
        """An output's bytes as our caches hold them, without a copy."""
        tensor = request.get_output_tensor(port)
        values: Array = tensor.data
        return values.view(np.uint16) if self._element == ov.Type.bf16 else values

    def encode(self, slots: Sequence[int], mel: NDArray[np.float32]) -> None:
        self._check_open()
        n = len(slots)
        if n != len(mel) or n > self._spec.encode_batch:
            raise InvalidOption("slots", n, f"as many as mel windows ({len(mel)}), at most {self._spec.encode_batch}")
        whole = mel.shape[-1] == self._spec.dims.n_frames
        if whole and n == self._spec.encode_batch:
            self._encode_batch(f"encode_{n}", slots, mel)
        else:
            name = "encode_1" if whole else f"encode_1x{mel.shape[-1] // 2}"
            for i, slot in enumerate(slots):
                self._encode_batch(name, [slot], mel[i : i + 1])

    def _encode_batch(self, name: str, slots: Sequence[int], mel: NDArray[np.float32]) -> None:
        request = self._get_request(name)
        heard = np.ascontiguousarray(mel)  # the tensor does not keep it
        request.set_input_tensor(0, ov.Tensor(heard, shared_memory=True))
        self._audio_contexts[list(slots)] = mel.shape[-1] // 2
        if len(slots) == 1:  # the graph writes into the slot
            for port, window in enumerate(self._cross_views(slots[0])):
                request.set_output_tensor(port, self._cache_tensor(window))
        self._infer(request)
        if len(slots) > 1:
            for i, slot in enumerate(slots):
                for port, window in enumerate(self._cross_views(slot)):
                    window[:] = self._cache_output(request, port)[i : i + 1]
        self._on_encoded(slots)

    def _cross_views(self, slot: int) -> list[Array]:
        """The slot's cross-K/V, in the shape of a graph's ports for one window."""
        return [cache[slot : slot + 1] for cache in self._cross_caches[int(self._audio_contexts[slot])]]

    def _on_encoded(self, slots: Sequence[int]) -> None:
        """These have other windows now."""
        for copied in self._widened_slots.values():
            copied.difference_update(slots)

    def _bind_cross(self, request: ov.InferRequest, first: int, slot: int) -> None:
        for i, window in enumerate(self._cross_views(slot)):
            request.set_input_tensor(first + i, self._cache_tensor(window))

    def prefill(self, slot: int, inputs: PrefillInputs) -> PrefillOutput:
        self._check_open()
        self._spec.check_beams(inputs.beams)
        length = len(inputs.prompt)
        self._spec.bucket_for(length)
        request = self._get_request("prefill")
        tokens = np.zeros((1, graph_signatures.padded_length(self._spec.prompt_buckets, length)), np.int32)
        tokens[0, :length] = inputs.prompt
        self._suppression_bias[slot] = suppression_bias(inputs.suppressed)
        tensors = (
            tokens,
            np.array([inputs.sot_index, length - 1], np.int32),
            np.ascontiguousarray(inputs.rules, np.int32).reshape(1, N_RULES),
            self._suppression_bias[slot : slot + 1],
        )
        for port, value in enumerate(tensors):
            request.set_input_tensor(port, ov.Tensor(value, shared_memory=True))
        self._bind_cross(request, graph_signatures.N_PREFILL_INPUTS, slot)
        self._infer(request)
        self._beam_widths[slot] = inputs.beams
        self._commit_prompt(slot, inputs.beams, length, request)
        languages, no_speech, top_tokens, logprobs = (request.get_output_tensor(i).data for i in range(4))
        return PrefillOutput(
            language_logprobs=languages.copy(),
            no_speech_prob=float(no_speech[0]),
            top_tokens=TopTokens.from_graph_output(top_tokens, logprobs),
        )

    def _commit_prompt(self, slot: int, beams: int, length: int, request: ov.InferRequest) -> None:
        """The prompt's fresh rows (1, H, T, D) become the past of the slot's rows."""
        past = self._self_caches[1 if beams == 1 else self._spec.beams]
        past.reset_slot(slot, length)
        for i, cache in enumerate(past.view):
            rows = self._cache_output(request, graph_signatures.N_PREFILL_OUTPUTS + i)
            cache[slot, :beams, :, :length] = rows[:, :, :length]

    def decode(self, inputs: StepInputs) -> TopTokens:
        output = TopTokens.empty(self._spec.rows, self._spec.choices)
        for step, rows, local_rows in self._run_steps("decode", inputs):
            tokens, logprobs = step.output(0)[local_rows], step.output(1)[local_rows]
            count = tokens.shape[1]
            output.tokens[rows, :count], output.logprobs[rows, :count] = tokens, mask_logprobs(logprobs)
        return output

    def logits(self, inputs: StepInputs) -> NDArray[np.float32]:
        output = np.full((self._spec.rows, self._spec.dims.n_vocab), -np.inf, np.float32)
        for step, rows, local_rows in self._run_steps("logits", inputs):
            output[rows] = mask_logprobs(step.output(0)[local_rows])
        return output

    def _run_steps(self, kind: str, inputs: StepInputs) -> Iterator[tuple[StepRunner, Array, Array]]:
        """Run a step from the first to the last active slot, narrow and wide ones apart.

        After each run: (step, the rows in use of the call, the same rows of the step).
        """
        self._check_open()
        spec = self._spec
        is_wide = self._beam_widths > 1
        in_use = rows_in_use(inputs.active, self._beam_widths, spec.beams)
        tokens, positions = inputs.tokens.reshape(in_use.shape), inputs.positions.reshape(in_use.shape)
        rules = inputs.rules.reshape(*in_use.shape, N_RULES)
        if is_wide.any():
            self._rearrange_kv_cache(resolve_beam_parents(inputs.parents, in_use), positions, in_use)
        for width in graph_signatures.beam_widths(spec):
            active = inputs.active & (is_wide == (width > 1))
            if not active.any():
                continue
            slots = np.flatnonzero(active)
            span = slice(int(slots[0]), int(slots[-1]) + 1)
            slot, beam = np.nonzero(in_use[span, :width] & active[span, None])
            step = self._get_step(kind, width)
            step.bind(self, span)
            step.run(self, tokens[span, :width], positions[span, :width], rules[span, :width], slot, beam)
            yield step, (span.start + slot) * spec.beams + beam, slot * width + beam

    def _shared_cache_length(self, slots: NDArray[np.intp]) -> int:
        """The length of cache that holds the windows of all these slots now."""
        longest = int(self._audio_contexts[slots].max())
        for slot in slots[self._audio_contexts[slots] < longest].tolist():
            if slot not in self._widened_slots[longest]:
                self._widened_slots[longest].add(slot)
                own = int(self._audio_contexts[slot])
                for long, short in zip(self._cross_caches[longest], self._cross_caches[own], strict=True):
                    long[slot, :, :own] = short[slot]
        return longest

    def _rearrange_kv_cache(
        self, parents: NDArray[np.int32], positions: NDArray[np.int32], in_use: NDArray[np.bool_]
    ) -> None:
        """Each beam takes its parent's past, as far as it is written. Rows that stay themselves are not touched."""
        moves = parents != np.arange(parents.shape[1])
        for slot in np.flatnonzero(moves.any(1)):
            length, moved = positions[slot, in_use[slot]].max(), np.flatnonzero(moves[slot])
            for cache in self._self_caches[self._spec.beams].view:  # what is on its way stays in the processor's caches
                past = cache[slot, :, :, :length]
                past[moved] = past[parents[slot, moved]]

    def _get_step(self, kind: str, width: int) -> StepRunner:
        if (kind, width) not in self._steps:
            self._steps[kind, width] = self._create_step(kind, width)
        return self._steps[kind, width]

    def _create_step(self, kind: str, width: int) -> StepRunner:
        return _ContiguousStepRunner(self, kind, width)

    def align(self, slot: int, tokens: NDArray[np.int32]) -> NDArray[np.float32]:
        self._check_open()
        length = len(tokens)
        buckets = self._spec.align_buckets
        if not buckets or length > buckets[-1]:
            raise InvalidOption("align", length, f"token counts up to one of {list(buckets)}")
        request = self._get_request("align")
        padded = np.zeros((1, graph_signatures.padded_length(buckets, length)), np.int32)
        padded[0, :length] = tokens
        request.set_input_tensor(0, ov.Tensor(padded, shared_memory=True))
        self._bind_cross(request, graph_signatures.N_ALIGN_INPUTS, slot)
        self._infer(request)
        answer: NDArray[np.float32] = request.get_output_tensor(0).data[:, :length]
        repeats = self._spec.dims.n_audio_ctx // answer.shape[2]
        if repeats == 1:
            return answer.copy()
        return np.tile(answer / np.float32(repeats), repeats)  # of a shorter window

    def close(self) -> None:
        self._is_open = False
        self._steps.clear()
        self._requests.clear()
        self._models.clear()


class StepRunner(ABC):
    """A decode or logits graph, bound to a span of slots. What it is told is written in place."""

    def __init__(self, session: CpuSession, kind: str, width: int) -> None:
        slots = session.spec.slots
        self._request = session._get_model(f"{kind}_{width}").create_infer_request()
        self._span = slice(0)
        self._tokens, self._positions = (np.zeros((slots, width), np.int32) for _ in range(2))
        self._rules = np.zeros((slots, width, N_RULES), np.int32)

    def bind(self, session: CpuSession, span: slice) -> None:
        """The next run is about these slots."""
        if span == self._span:
            return
        self._span = span
        slots = span.stop - span.start
        rules = self._rules[:slots].reshape(-1, N_RULES)
        windows = session._audio_contexts[span]
        self._set_inputs(
            0, self._tokens[:slots], self._positions[:slots], rules, session._suppression_bias[span], windows
        )
        self._bind_span(session, span)

    def _set_inputs(self, first: int, *values: Array) -> None:
        for port, value in enumerate(values, first):
            self._request.set_input_tensor(port, ov.Tensor(value, shared_memory=True))

    @abstractmethod
    def _bind_span(self, session: Any, span: slice) -> None:
        """Ports of its own that change with the span alone."""

    def run(
        self,
        session: CpuSession,
        tokens: NDArray[np.int32],
        positions: NDArray[np.int32],
        rules: NDArray[np.int32],
        slot: NDArray[np.intp],
        beam: NDArray[np.intp],
    ) -> None:
        """One token for every row (S, B); the past of rows (slot, beam) grows by it."""
        slots = len(tokens)
        self._tokens[:slots], self._rules[:slots] = tokens, rules
        self._positions[:slots] = 0  # rows that the step is not about have no past
        self._positions[slot, beam] = positions[slot, beam]
        self._prepare(session, slot, beam)
        session._infer(self._request)
        self._commit(slot, beam)

    @abstractmethod
    def _prepare(self, session: Any, slot: NDArray[np.intp], beam: NDArray[np.intp]) -> None:
        """What else the graph is told of rows (slot, beam), whose positions are written."""

    @abstractmethod
    def _commit(self, slot: NDArray[np.intp], beam: NDArray[np.intp]) -> None:
        """What the graph answered becomes the past of rows (slot, beam)."""

    def output(self, port: int) -> NDArray[Any]:
        """What the graph answers at an output, a row each; its next run overwrites it."""
        values: NDArray[Any] = self._request.get_output_tensor(port).data
        return values


class _ContiguousStepRunner(StepRunner):
    """On caches of whole rows: the graph writes fresh rows beside them, which are committed after each run."""

    def __init__(self, session: CpuSession, kind: str, width: int) -> None:
        super().__init__(session, kind, width)
        self._n_outputs, self._self_cache = graph_signatures.N_STEP_OUTPUTS[kind], session._self_caches[width]
        self._bound_caches: tuple[slice, int, int] = slice(0), 0, 0
        caches, *_, heads, _, head_dim = self._self_cache.view.shape
        # (caches, S, B, H, D)
        self._fresh_rows = np.empty((caches, session.spec.slots, width, heads, head_dim), self._self_cache.view.dtype)

    def _bind_span(self, session: CpuSession, span: slice) -> None:
        for i, rows in enumerate(self._fresh_rows[:, : span.stop - span.start]):
            self._request.set_output_tensor(self._n_outputs + i, session._cache_tensor(rows))

    def _bind_caches(self, session: CpuSession, span: slice, context: int) -> None:
        """Where the past is, and the windows, changes between runs: with the span, the room, the windows' length."""
        bound = span, self._self_cache.capacity, context
        if bound == self._bound_caches:
            return
        self._bound_caches = bound
        cross = [cache[span] for cache in session._cross_caches[context]]
        for i, cache in enumerate((*self._self_cache.view[:, span], *cross)):
            self._request.set_input_tensor(graph_signatures.N_STEP_INPUTS + i, session._cache_tensor(cache))

    def _prepare(self, session: CpuSession, slot: NDArray[np.intp], beam: NDArray[np.intp]) -> None:
        slots = self._span.start + slot
        self._self_cache.extend(slots, self._positions[slot, beam])
        self._bind_caches(session, self._span, session._shared_cache_length(slots))

    def _commit(self, slot: NDArray[np.intp], beam: NDArray[np.intp]) -> None:
        at = self._positions[slot, beam]
        # an array between slices puts what it picks in front: (rows, caches, H, D) on both sides
        self._self_cache.view[:, self._span.start + slot, beam, :, at] = self._fresh_rows[:, slot, beam].swapaxes(0, 1)
