"""CpuSession: runs the OpenVINO graphs on slots; K/V buffers are shared with the compiled models. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import openvino as ov
from numpy.typing import NDArray

from neuron_whisper.errors import DeviceFault, InvalidOption, TargetUnavailable
from neuron_whisper.target.contract import N_RULES, Choices, PrefillAnswer, ProgramSpec, ban_logits
from neuron_whisper.target.cpu import layout

Array = NDArray[np.generic]


class CpuSession:
    """Session on OpenVINO's CPU plugin.

    Caches are numpy arrays per decoder layer (bfloat16 as its bits in uint16). Compiled models see views of
    them, so a step copies only the fresh rows.
    """

    def __init__(self, directory: Path, spec: ProgramSpec, *, dtype: str, threads: int = 0) -> None:
        self._spec, self._directory = spec, directory
        self._core = ov.Core()
        self._threads = threads
        capabilities = self._core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        self._precision = "bf16" if dtype != "float32" and "BF16" in capabilities else "f32"
        is_half = dtype != "float32"
        self._element, store = (ov.Type.bf16, np.uint16) if is_half else (ov.Type.f32, np.float32)
        d, layers = spec.dims, spec.dims.n_text_layer
        cross = (spec.slots, d.n_text_head, d.n_audio_ctx, d.head_dim)
        past = (spec.slots, spec.beams, d.n_text_head, spec.text_context, d.head_dim)
        self._cross: list[Array] = [np.zeros(cross, store) for _ in range(2 * layers)]
        self._past: list[Array] = [np.zeros(past, store) for _ in range(2 * layers)]
        self._banned = np.zeros((spec.slots, d.n_vocab), np.float32)
        self._models: dict[str, ov.CompiledModel] = {}
        self._requests: dict[str, ov.InferRequest] = {}
        self._steps: dict[tuple[int, int], _Step] = {}
        self._is_open = True
        # Every compiled model holds its own weights. What most requests never ask for (long prompts, word
        # times) is compiled when it is first asked for.
        rare = {*(f"prefill_{t}" for t in spec.prompt_buckets[1:]), *(f"align_{t}" for t in spec.align_buckets)}
        for name in layout.graph_names(spec):
            if name not in rare:
                self._model(name)

    @property
    def spec(self) -> ProgramSpec:
        return self._spec

    def _model(self, name: str) -> ov.CompiledModel:
        if name not in self._models:
            options = {
                "INFERENCE_PRECISION_HINT": self._precision,
                "PERFORMANCE_HINT": "LATENCY",
                "NUM_STREAMS": "1",
                "INFERENCE_NUM_THREADS": str(self._threads),
            }
            try:
                model = self._core.read_model(
                    layout.graph_file(self._directory, name), layout.weights_file(self._directory)
                )
                self._models[name] = self._core.compile_model(model, "CPU", options)
            except RuntimeError as error:
                raise TargetUnavailable("cpu", f"OpenVINO cannot load {name}: {error}") from error
        return self._models[name]

    def _request(self, name: str) -> ov.InferRequest:
        if name not in self._requests:
            self._requests[name] = self._model(name).create_infer_request()
        return self._requests[name]

    def _run(self, request: ov.InferRequest) -> None:
        if not self._is_open:
            raise DeviceFault("the session is closed")
        try:
            request.infer()
        except RuntimeError as error:
            raise DeviceFault(f"OpenVINO: {error}") from error

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
        n = len(slots)
        if n != len(mel) or n > self._spec.encode_batch:
            raise InvalidOption("slots", n, f"as many as mel windows ({len(mel)}), at most {self._spec.encode_batch}")
        if n == self._spec.encode_batch:
            self._encode_batch(slots, mel)
        else:
            for i, slot in enumerate(slots):
                self._encode_batch([slot], mel[i : i + 1])

    def _encode_batch(self, slots: Sequence[int], mel: NDArray[np.float32]) -> None:
        request = self._request(f"encode_{len(slots)}")
        request.set_input_tensor(0, ov.Tensor(np.ascontiguousarray(mel), shared_memory=True))
        if len(slots) == 1:  # the graph writes into the slot
            for port, cache in enumerate(self._cross):
                request.set_output_tensor(port, self._cache_tensor(cache[slots[0] : slots[0] + 1]))
            self._run(request)
            return
        self._run(request)
        for port, cache in enumerate(self._cross):
            cache[list(slots)] = self._cache_output(request, port)

    def _bind_cross(self, request: ov.InferRequest, first: int, slot: int) -> None:
        for i, cache in enumerate(self._cross):
            request.set_input_tensor(first + i, self._cache_tensor(cache[slot : slot + 1]))

    def prefill(
        self, slot: int, prompt: NDArray[np.int32], sot_index: int, rules: NDArray[np.int32], banned: NDArray[np.bool_]
    ) -> PrefillAnswer:
        length = len(prompt)
        bucket = self._spec.bucket_for(length)
        request = self._request(f"prefill_{bucket}")
        tokens = np.zeros((1, bucket), np.int32)
        tokens[0, :length] = prompt
        self._banned[slot] = ban_logits(banned)
        inputs = (
            tokens, np.array([sot_index, length - 1], np.int32),
            np.ascontiguousarray(rules, np.int32).reshape(1, N_RULES), self._banned[slot : slot + 1],
        )  # fmt: skip
        for port, value in enumerate(inputs):
            request.set_input_tensor(port, ov.Tensor(value, shared_memory=True))
        self._bind_cross(request, layout.PREFILL_INPUTS, slot)
        self._run(request)
        for i, cache in enumerate(self._past):
            rows = self._cache_output(request, layout.PREFILL_OUTPUTS + i)  # (1, H, T, D)
            cache[slot, :, :, :length] = rows[:, :, :length]
        languages, no_speech, best, logprobs = (request.get_output_tensor(i).data for i in range(4))
        return PrefillAnswer(
            language_logprobs=languages.copy(),
            no_speech_prob=float(no_speech[0]),
            choices=Choices.of_graph(best, logprobs),
        )

    def decode(
        self,
        tokens: NDArray[np.int32],
        positions: NDArray[np.int32],
        parents: NDArray[np.int32],
        rules: NDArray[np.int32],
        active: NDArray[np.bool_],
    ) -> Choices:
        spec = self._spec
        if spec.beams > 1:
            self._follow_parents(parents.reshape(spec.slots, spec.beams), positions, active)
        live = np.flatnonzero(active)
        if len(live) == 1 and spec.slots > 1:
            slot = int(live[0])
            rows = slice(slot * spec.beams, (slot + 1) * spec.beams)
            alone = self._step(slot, 1).run(self, tokens[rows], positions[rows], rules[rows], np.array([True]))
            shape = (spec.rows, spec.choices)
            answer = Choices(tokens=np.zeros(shape, np.int32), logprobs=np.full(shape, -np.inf, np.float32))
            answer.tokens[rows], answer.logprobs[rows] = alone.tokens, alone.logprobs
            return answer
        return self._step(0, spec.slots).run(self, tokens, positions, rules, active)

    def _follow_parents(
        self, parents: NDArray[np.int32], positions: NDArray[np.int32], active: NDArray[np.bool_]
    ) -> None:
        """Each beam takes its parent's past, as far as it is written. Nothing moves where all stay themselves."""
        lengths = positions.reshape(parents.shape).max(1)
        own = np.arange(parents.shape[1])
        for slot in np.flatnonzero(active & (parents != own).any(1)):
            for cache in self._past:
                past = cache[slot, :, :, : lengths[slot]]
                past[:] = past[parents[slot]]

    def _step(self, first: int, slots: int) -> _Step:
        if (first, slots) not in self._steps:
            span = slice(first, first + slots)
            request = self._model(f"decode_{slots}").create_infer_request()
            for i, cache in enumerate((*self._past, *self._cross)):
                request.set_input_tensor(layout.DECODE_INPUTS + i, self._cache_tensor(cache[span]))
            request.set_input_tensor(3, ov.Tensor(self._banned[span], shared_memory=True))
            self._steps[first, slots] = _Step(request, [cache[span] for cache in self._past], self._spec.beams)
        return self._steps[first, slots]

    def align(self, slot: int, tokens: NDArray[np.int32]) -> NDArray[np.float32]:
        length = len(tokens)
        bucket = next((b for b in self._spec.align_buckets if length <= b), 0)
        if not bucket:
            raise InvalidOption("align", length, f"token counts up to one of {list(self._spec.align_buckets)}")
        request = self._request(f"align_{bucket}")
        padded = np.zeros((1, bucket), np.int32)
        padded[0, :length] = tokens
        request.set_input_tensor(0, ov.Tensor(padded, shared_memory=True))
        self._bind_cross(request, layout.ALIGN_INPUTS, slot)
        self._run(request)
        weights: NDArray[np.float32] = request.get_output_tensor(0).data[:, :length].copy()
        return weights

    def close(self) -> None:
        self._is_open = False
        self._steps.clear()
        self._requests.clear()
        self._models.clear()


class _Step:
    """One decode graph bound to consecutive slots: its small inputs are written in place, its rows committed."""

    def __init__(self, request: ov.InferRequest, past: list[Array], beams: int) -> None:
        self._request, self._past, self._beams = request, past, beams
        slots = len(past[0])
        self._tokens, self._positions = (np.zeros((slots, beams), np.int32) for _ in range(2))
        self._rules = np.zeros((slots * beams, N_RULES), np.int32)
        for port, value in enumerate((self._tokens, self._positions, self._rules)):
            request.set_input_tensor(port, ov.Tensor(value, shared_memory=True))

    def run(
        self,
        session: CpuSession,
        tokens: NDArray[np.int32],
        positions: NDArray[np.int32],
        rules: NDArray[np.int32],
        active: NDArray[np.bool_],
    ) -> Choices:
        self._tokens[:], self._positions[:] = tokens.reshape(-1, self._beams), positions.reshape(-1, self._beams)
        self._rules[:] = rules
        session._run(self._request)
        live = np.flatnonzero(active)
        slot, beam = np.repeat(live, self._beams), np.tile(np.arange(self._beams), len(live))
        at = self._positions[slot, beam]
        for i, cache in enumerate(self._past):
            rows = session._cache_output(self._request, layout.DECODE_OUTPUTS + i)  # (S, B, H, D)
            cache[slot, beam, :, at] = rows[slot, beam]
        best, logprobs = (self._request.get_output_tensor(i).data for i in range(2))
        return Choices.of_graph(best, logprobs)
