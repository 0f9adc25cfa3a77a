"""ContiguousCaches: the K/V of a row lie in one piece; a graph returns fresh rows, which are copied into it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np
import openvino as ov
from numpy.typing import NDArray

from neuron_whisper.target.cpu.lowering import graph_signatures
from neuron_whisper.target.cpu.processor import choose_arithmetic
from neuron_whisper.target.cpu.runtime.kv_cache import KVCache
from neuron_whisper.target.cpu.runtime.kv_cache_backend import ANY_SLOTS, Array, StepRows, share_cache
from neuron_whisper.target.cpu.runtime.step_forms import fit_rows, fix_slots
from neuron_whisper.target.interfaces import ProgramSpec


class ContiguousCaches:
    """Numpy arrays per decoder layer, of which compiled graphs read views: a step copies only its fresh rows.

    There is cross-K/V per length of window and self-K/V per width of graph, since a graph reads all that it is given.
    Pages that were never written take no memory.
    """

    def __init__(self, spec: ProgramSpec, *, dtype: str) -> None:
        d = spec.dims
        self._dtype = dtype
        self._computes_bfloat16 = False
        self.element, store = (ov.Type.f32, np.float32) if dtype == "float32" else (ov.Type.bf16, np.uint16)
        self.window_lengths = np.full(spec.slots, d.n_audio_ctx, np.int32)
        self._beams = spec.beams
        count = 2 * d.n_text_layer
        self._cross_caches: dict[int, list[Array]] = {
            length: [np.zeros((spec.slots, d.n_text_head, length, d.head_dim), store) for _ in range(count)]
            for length in (*spec.audio_contexts, d.n_audio_ctx)
        }
        # cache length -> slots of shorter windows whose cross-K/V were copied there
        self._widened_slots: dict[int, set[int]] = {length: set() for length in self._cross_caches}
        self._self_caches = {
            width: KVCache(count, (spec.slots, width, d.n_text_head, spec.text_context, d.head_dim), store)
            for width in graph_signatures.beam_widths(spec)
        }

    def compile_options(self, capabilities: Collection[str]) -> Mapping[str, str]:
        arithmetic = choose_arithmetic(self._dtype, capabilities)
        self._computes_bfloat16 = arithmetic == "bfloat16"
        return {"INFERENCE_PRECISION_HINT": "bf16" if self._computes_bfloat16 else "f32"}

    def form_of(self, name: str, slots: int) -> int:
        return 1 if slots == 1 and graph_signatures.width_of_step(name) else ANY_SLOTS

    def adapt_model(self, model: ov.Model, name: str, form: int) -> ov.Model:
        width = graph_signatures.width_of_step(name)
        if form == 1:
            fix_slots(model, width)
        if self._computes_bfloat16 and width:
            fit_rows(model, width)  # not by slots: a window's text must not change with their number
        return model

    def cross_views(self, slot: int) -> list[Array]:
        return [cache[slot : slot + 1] for cache in self._cross_caches[int(self.window_lengths[slot])]]

    def on_encoded(self, slots: Sequence[int]) -> None:
        for widened in self._widened_slots.values():
            widened.difference_update(slots)

    def store_prompt(self, slot: int, beams: int, length: int, fresh_rows: Sequence[Array]) -> None:
        self_cache = self._self_caches[1 if beams == 1 else self._beams]
        self_cache.reset_slot(slot, length)
        for cache, fresh in zip(self_cache.view, fresh_rows, strict=True):
            cache[slot, :beams, :, :length] = fresh[:, :, :length]

    def rearrange(self, parents: NDArray[np.int32], positions: NDArray[np.int32], in_use: NDArray[np.bool_]) -> None:
        moves = parents != np.arange(parents.shape[1])
        for slot in np.flatnonzero(moves.any(1)):
            length, moved = positions[slot, in_use[slot]].max(), np.flatnonzero(moves[slot])
            for cache in self._self_caches[self._beams].view:  # one layer at a time stays in the processor's caches
                past = cache[slot, :, :, :length]
                past[moved] = past[parents[slot, moved]]

    def bind_step(self, request: ov.InferRequest, kind: str, width: int) -> ContiguousStepCaches:
        return ContiguousStepCaches(self, request, self._self_caches[width], graph_signatures.N_STEP_OUTPUTS[kind])

    def cross_caches(self, slots: NDArray[np.intp]) -> list[Array]:
        """The cross-K/V (S, H, A, D) per layer that hold the windows of all these slots, copied there if need be."""
        length = int(self.window_lengths[slots].max())
        caches, widened = self._cross_caches[length], self._widened_slots[length]
        for slot in slots[self.window_lengths[slots] < length].tolist():
            if slot not in widened:
                widened.add(slot)
                own = int(self.window_lengths[slot])
                for long, short in zip(caches, self._cross_caches[own], strict=True):
                    long[slot, :, :own] = short[slot]
        return caches


class ContiguousStepCaches:
    """The K/V ports of a step request: past and windows as inputs, fresh rows as outputs."""

    def __init__(self, caches: ContiguousCaches, request: ov.InferRequest, self_cache: KVCache, n_outputs: int) -> None:
        self._caches, self._request, self._self_cache, self._n_outputs = caches, request, self_cache, n_outputs
        self._bound: tuple[slice, int, int] = slice(0), 0, 0
        count, slots, width, heads, _, head_dim = self_cache.view.shape
        self._fresh_rows = np.empty((count, slots, width, heads, head_dim), self_cache.view.dtype)  # (.., S, B, H, D)

    def bind(self, span: slice) -> None:
        for i, rows in enumerate(self._fresh_rows[:, : span.stop - span.start]):
            self._request.set_output_tensor(self._n_outputs + i, share_cache(rows, self._caches.element))

    def before_run(self, rows: StepRows) -> None:
        self._self_cache.extend(rows.session_slots, rows.positions)
        cross = self._caches.cross_caches(rows.session_slots)
        # the inputs move with the span, the capacity of the self-K/V and the length of the cross-K/V
        key = rows.span, self._self_cache.capacity, cross[0].shape[2]
        if key == self._bound:
            return
        self._bound = key
        views = (*self._self_cache.view[:, rows.span], *(cache[rows.span] for cache in cross))
        for port, view in enumerate(views, graph_signatures.N_STEP_INPUTS):
            self._request.set_input_tensor(port, share_cache(view, self._caches.element))

    def after_run(self, rows: StepRows) -> None:
        # an array between slices puts what it picks in front: (rows, caches, H, D) on both sides
        fresh = self._fresh_rows[:, rows.slot, rows.beam].swapaxes(0, 1)
        self._self_cache.view[:, rows.session_slots, rows.beam, :, rows.positions] = fresh
