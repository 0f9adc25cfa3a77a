"""CpuSession: runs the OpenVINO graphs on slots. No torch."""

from __future__ import annotations

import mmap
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
from numpy.typing import NDArray

from neuron_whisper.errors import DeviceError, InvalidOption, TargetUnavailable
from neuron_whisper.host.hardware import count_usable_cores, detect_instruction_sets
from neuron_whisper.target.cpu.lowering import graph_signatures
from neuron_whisper.target.cpu.runtime.encoder_floats import compute_in_floats, has_int8_dot
from neuron_whisper.target.cpu.runtime.kv_cache_backend import (
    KVCacheBackend,
    StepCaches,
    StepRows,
    read_cache_output,
    set_inputs,
    share_cache,
)
from neuron_whisper.target.cpu.runtime.step_spans import split_into_spans
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

_FormKey = tuple[str, int]  # a graph and its form


class CpuSession:
    """Session on OpenVINO's CPU plugin, whose compiled graphs share the memory of `caches`.

    It is opened once all graphs were read and the encoders are compiled: the first window is encoded while the other
    graphs are compiled. One that cannot be compiled then raises DeviceError where it is used. `device_s` are the
    seconds that graphs ran since then.
    """

    def __init__(self, directory: Path, spec: ProgramSpec, caches: KVCacheBackend, *, threads: int = 0) -> None:
        self._spec, self._directory, self._caches = spec, directory, caches
        self._core = ov.Core()
        self._compile_options = {
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": "1",
            "INFERENCE_NUM_THREADS": str(threads),
            "DYNAMIC_QUANTIZATION_GROUP_SIZE": "0",  # else what meets 8-bit matrices is rounded to 8 bit, too
            **caches.compile_options(self._core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")),
        }
        self._beam_widths = np.ones(spec.slots, np.int32)  # rows that each slot decodes in, set by its prefill
        self._suppression_bias = np.zeros((spec.slots, spec.dims.n_vocab), np.float32)
        self._logprobs: NDArray[np.float32] | None = None  # what `logits` returns
        self._logprobs_rows: list[int] = []  # of the last call
        self._models: dict[tuple[str, int], ov.CompiledModel] = {}
        self._requests: dict[str, ov.InferRequest] = {}
        self._steps: dict[tuple[str, int, int, int], _StepRunner] = {}
        self.device_s = 0.0
        self._is_open = False
        with graph_signatures.weights_file(directory).open("rb") as file:
            self._mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)  # OpenVINO needs writable memory
        self._weights = ov.Tensor(np.frombuffer(self._mapped, np.uint8), shared_memory=True)
        # OpenVINO compiles a graph on one core
        self._compiler = ThreadPoolExecutor(count_usable_cores(), thread_name_prefix="compile")
        self._compiling: dict[_FormKey, Future[ov.CompiledModel]] = {}
        try:
            self._compile_all(graph_signatures.graphs_at_open(spec))
        except BaseException:
            self.close()
            raise
        self._is_open = True

    @property
    def spec(self) -> ProgramSpec:
        return self._spec

    def _compile_all(self, names: Sequence[str]) -> None:
        """Read these graphs, begin to compile them in this order, and wait for encoders, which come first."""
        keys = [(name, self._caches.form_of(name, 1)) for name in names]
        models = list(self._compiler.map(self._read_model, keys))
        for key, model in zip(keys, models, strict=True):
            self._compiling[key] = self._compiler.submit(self._compile_model, key, model)
        for name in names:
            if name.startswith("encode_"):
                self._get_model(name)

    def _get_model(self, name: str, slots: int = 1) -> ov.CompiledModel:
        """The compiled graph; of a step graph the form for steps over so many slots."""
        key = name, self._caches.form_of(name, slots)
        if key not in self._models:
            compiling = self._compiling.pop(key, None)
            try:
                compiled = compiling.result() if compiling else self._compile_model(key, self._read_model(key))
            except TargetUnavailable as error:
                if self._is_open:
                    raise DeviceError(str(error)) from error
                raise
            self._models[key] = compiled
        return self._models[key]

    def _prepare_several_slots(self, width: int) -> None:
        """Begin to compile the step over several slots: what is encoded until it runs leaves time for it."""
        name = f"decode_{width}"
        key = name, self._caches.form_of(name, 2)
        if key not in self._models and key not in self._compiling:
            self._compiling[key] = self._compiler.submit(lambda: self._compile_model(key, self._read_model(key)))

    def _read_model(self, key: _FormKey) -> ov.Model:
        # constants of all graphs are views of one mapping: given its path, each graph would map the file for itself
        name, form = key
        try:
            xml = graph_signatures.graph_file(self._directory, name).read_bytes()
            return self._caches.adapt_model(self._core.read_model(xml, self._weights), name, form)
        except (RuntimeError, OSError) as error:
            raise TargetUnavailable("cpu", f"OpenVINO cannot load {name}: {error}") from error

    def _compile_model(self, key: _FormKey, model: ov.Model) -> ov.CompiledModel:
        name, _ = key
        if name.startswith("encode_") and not has_int8_dot(detect_instruction_sets()):
            compute_in_floats(model)
        try:
            compiled = self._core.compile_model(model, "CPU", self._compile_options)
        except RuntimeError as error:
            raise TargetUnavailable("cpu", f"OpenVINO cannot load {name}: {error}") from error
        if hasattr(self._mapped, "madvise"):  # a compiled graph has its own copy; the next one reads the file again
            self._mapped.madvise(mmap.MADV_DONTNEED)
        return compiled

    def _get_request(self, name: str) -> ov.InferRequest:
        if name not in self._requests:
            self._requests[name] = self._get_model(name).create_infer_request()
        return self._requests[name]

    def _get_step(self, kind: str, width: int, span: slice) -> _StepRunner:
        """The runner of a graph for these slots; those of another first slot have their own: ports stay bound."""
        name, slots = f"{kind}_{width}", span.stop - span.start
        key = kind, width, self._caches.form_of(name, slots), span.start
        if key not in self._steps:
            request = self._get_model(name, slots).create_infer_request()
            caches = self._caches.bind_step(request, kind, width)
            self._steps[key] = _StepRunner(request, caches, self._spec.slots, width)
        return self._steps[key]

    def _check_open(self) -> None:
        if not self._is_open:
            raise DeviceError("the session is closed")

    def _infer(self, request: ov.InferRequest) -> None:
        started = time.perf_counter()
        try:
            request.infer(share_outputs=True)  # else every output is copied for the value returned
        except RuntimeError as error:
            raise DeviceError(f"OpenVINO: {error}") from error
        self.device_s += time.perf_counter() - started

    def encode(self, slots: Sequence[int], mel: NDArray[np.float32]) -> None:
        self._check_open()
        n = len(slots)
        if n != len(mel) or n > self._spec.encode_batch:
            raise InvalidOption("slots", n, f"as many as mel windows ({len(mel)}), at most {self._spec.encode_batch}")
        self._spec.check_frames(mel.shape[-1])
        if mel.shape[-1] == self._spec.dims.n_frames and n == self._spec.encode_batch:
            self._encode_batch(f"encode_{n}", slots, mel)
        else:
            name = graph_signatures.encoder_of_frames(self._spec, mel.shape[-1])
            for i, slot in enumerate(slots):
                self._encode_batch(name, [slot], mel[i : i + 1])

    def _encode_batch(self, name: str, slots: Sequence[int], mel: NDArray[np.float32]) -> None:
        request, element = self._get_request(name), self._caches.element
        mel = np.ascontiguousarray(mel)  # referenced until the graph has run: the tensor does not keep it
        set_inputs(request, 0, mel)
        is_whole = name == graph_signatures.ENCODE_AUDIO
        self._caches.window_lengths[list(slots)] = self._spec.dims.n_audio_ctx if is_whole else mel.shape[-1] // 2
        if len(slots) == 1:  # the graph writes into the slot
            for port, view in enumerate(self._caches.cross_views(slots[0])):
                request.set_output_tensor(port, share_cache(view, element))
        self._infer(request)
        if len(slots) > 1:
            for i, slot in enumerate(slots):
                for port, view in enumerate(self._caches.cross_views(slot)):
                    view[:] = read_cache_output(request, port, element)[i : i + 1]
        self._caches.on_encoded(slots)

    def _bind_cross(self, request: ov.InferRequest, first: int, slot: int) -> None:
        for port, view in enumerate(self._caches.cross_views(slot), first):
            request.set_input_tensor(port, share_cache(view, self._caches.element))

    def prefill(self, slot: int, inputs: PrefillInputs) -> PrefillOutput:
        self._check_open()
        self._spec.check_beams(inputs.beams)
        if slot > 0:  # slot 0 is used first: there are several
            self._prepare_several_slots(1 if inputs.beams == 1 else self._spec.beams)
        length = len(inputs.prompt)
        self._spec.bucket_for(length)
        request = self._get_request("prefill")
        tokens = np.zeros((1, graph_signatures.padded_length(self._spec.prompt_buckets, length)), np.int32)
        tokens[0, :length] = inputs.prompt
        self._suppression_bias[slot] = suppression_bias(inputs.suppressed)
        sot_and_last = np.array([inputs.sot_index, length - 1], np.int32)
        rules = np.ascontiguousarray(inputs.rules, np.int32).reshape(1, N_RULES)
        set_inputs(request, 0, tokens, sot_and_last, rules, self._suppression_bias[slot : slot + 1])
        self._bind_cross(request, graph_signatures.N_PREFILL_INPUTS, slot)
        self._infer(request)
        self._beam_widths[slot] = inputs.beams
        first, caches = graph_signatures.N_PREFILL_OUTPUTS, 2 * self._spec.dims.n_text_layer
        fresh_rows = [read_cache_output(request, first + i, self._caches.element) for i in range(caches)]
        self._caches.store_prompt(slot, inputs.beams, length, fresh_rows)
        languages, no_speech, top_tokens, logprobs = (request.get_output_tensor(i).data for i in range(4))
        return PrefillOutput(
            language_logprobs=languages.copy(),
            no_speech_prob=float(no_speech[0]),
            top_tokens=TopTokens.from_graph_output(top_tokens, logprobs),
        )

    def decode(self, inputs: StepInputs) -> TopTokens:
        output = TopTokens.empty(self._spec.rows, self._spec.choices)
        for step, rows, step_rows in self._run_steps("decode", inputs):
            tokens, logprobs = step.read_output(0)[step_rows], step.read_output(1)[step_rows]
            count = tokens.shape[1]
            output.tokens[rows, :count], output.logprobs[rows, :count] = tokens, mask_logprobs(logprobs)
        return output

    def logits(self, inputs: StepInputs) -> NDArray[np.float32]:
        if self._logprobs is None:  # once: to fill it takes as long as a fifth of the step
            self._logprobs = np.full((self._spec.rows, self._spec.dims.n_vocab), -np.inf, np.float32)
        output = self._logprobs
        output[self._logprobs_rows] = -np.inf
        used = self._logprobs_rows = []
        for step, rows, step_rows in self._run_steps("logits", inputs):
            used += rows.tolist()
            output[rows] = mask_logprobs(step.read_output(0)[step_rows])
        return output

    def _run_steps(
        self, kind: str, inputs: StepInputs
    ) -> Iterator[tuple[_StepRunner, NDArray[np.intp], NDArray[np.intp]]]:
        """Run a graph on the active slots, of narrow and of wide slots apart.

        Yields after each run: the runner, the rows in use of the session, the same rows of the graph.
        """
        self._check_open()
        spec = self._spec
        is_wide = self._beam_widths > 1
        in_use = rows_in_use(inputs.active, self._beam_widths, spec.beams)
        tokens, positions = inputs.tokens.reshape(in_use.shape), inputs.positions.reshape(in_use.shape)
        rules = inputs.rules.reshape(*in_use.shape, N_RULES)
        if is_wide.any():
            self._caches.rearrange(resolve_beam_parents(inputs.parents, in_use), positions, in_use)
        for width in graph_signatures.beam_widths(spec):
            active = inputs.active & (is_wide == (width > 1))
            for span in split_into_spans(active, width):
                slot, beam = np.nonzero(in_use[span, :width] & active[span, None])
                rows = StepRows(span, span.start + slot, slot, beam, positions[span][slot, beam])
                step = self._get_step(kind, width, span)
                step.bind(span, self._suppression_bias[span], self._caches.window_lengths[span])
                step.fill(tokens[span, :width], rules[span, :width], rows)
                step.caches.before_run(rows)
                self._infer(step.request)
                step.caches.after_run(rows)
                yield step, rows.session_slots * spec.beams + beam, slot * width + beam

    def align(self, slot: int, tokens: NDArray[np.int32]) -> NDArray[np.float32]:
        self._check_open()
        length = len(tokens)
        buckets = self._spec.align_buckets
        if not buckets or length > buckets[-1]:
            raise InvalidOption("align", length, f"token counts up to one of {list(buckets)}")
        request = self._get_request("align")
        padded = np.zeros((1, graph_signatures.padded_length(buckets, length)), np.int32)
        padded[0, :length] = tokens
        set_inputs(request, 0, padded)
        self._bind_cross(request, graph_signatures.N_ALIGN_INPUTS, slot)
        self._infer(request)
        weights: NDArray[np.float32] = request.get_output_tensor(0).data[:, :length]
        repeats = self._spec.dims.n_audio_ctx // weights.shape[2]
        if repeats == 1:
            return weights.copy()
        return np.tile(weights / np.float32(repeats), repeats)  # of a shorter window

    def close(self) -> None:
        self._is_open = False
        self._compiler.shutdown(cancel_futures=True)
        self._compiling.clear()
        self._steps.clear()
        self._requests.clear()
        self._models.clear()


class _StepRunner:
    """A request of a decode or logits graph, bound to a span of slots. Its inputs are written in place."""

    def __init__(self, request: ov.InferRequest, caches: StepCaches, slots: int, width: int) -> None:
        self.request, self.caches = request, caches
        self._span = slice(0)
        self._tokens, self._positions = (np.zeros((slots, width), np.int32) for _ in range(2))
        self._rules = np.zeros((slots, width, N_RULES), np.int32)

    def bind(self, span: slice, bias: NDArray[np.float32], window_lengths: NDArray[np.int32]) -> None:
        """Set the ports for these slots; `bias` and `window_lengths` are views of the session's."""
        if span == self._span:
            return
        self._span = span
        slots = span.stop - span.start
        rules = self._rules[:slots].reshape(-1, N_RULES)
        set_inputs(self.request, 0, self._tokens[:slots], self._positions[:slots], rules, bias, window_lengths)
        self.caches.bind(span)

    def fill(self, tokens: NDArray[np.int32], rules: NDArray[np.int32], rows: StepRows) -> None:
        """One token and its rules for every row (S, B) of the span."""
        slots = len(tokens)
        self._tokens[:slots], self._rules[:slots] = tokens, rules
        self._positions[:slots] = 0  # rows that are not in use have no past
        self._positions[rows.slot, rows.beam] = rows.positions

    def read_output(self, port: int) -> NDArray[Any]:
        """An output, a row each, without a copy: the next run overwrites it."""
        values: NDArray[Any] = self.request.get_output_tensor(port).data
        return values
