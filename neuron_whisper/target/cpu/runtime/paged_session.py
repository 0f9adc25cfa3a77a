"""PagedSession: CpuSession for processors that compute in float32, with K/V in blocks that the graphs read in place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import openvino as ov
from numpy.typing import NDArray

from neuron_whisper.target.cpu.lowering import graph_signatures
from neuron_whisper.target.cpu.runtime.paged_attention_pass import (
    BLOCK_SIZE,
    N_INDEX_INPUTS,
    count_blocks,
    to_paged_attention,
)
from neuron_whisper.target.cpu.runtime.session import Array, CpuSession, StepRunner


class PagedSession(CpuSession):
    """K/V in float16 for 16-bit profiles (its conversion is one instruction), in float32 for the others.

    Blocks are (H, BLOCK, D). Row r of the self-K/V owns the blocks from r * P on, slot s of the cross-K/V those from
    s * W on; the last block of each cache is for rows that no step is about.
    """

    def _allocate_caches(self) -> None:
        spec, d = self._spec, self._spec.dims
        self._precision = "f32"  # what the plugin's kernels over blocks of float16 compute in
        self._element, store = (ov.Type.f16, np.float16) if self._is_16_bit else (ov.Type.f32, np.float32)
        self._blocks_per_row, self._blocks_per_window = count_blocks(spec.text_context), count_blocks(d.n_audio_ctx)
        block = (d.n_text_head, BLOCK_SIZE, d.head_dim)
        count = range(2 * d.n_text_layer)
        self._self_cache = [np.zeros((spec.rows * self._blocks_per_row + 1, *block), store) for _ in count]
        self._cross_cache = [np.zeros((spec.slots * self._blocks_per_window + 1, *block), store) for _ in count]
        # (S, H*D) per layer: a step gives attention a fresh row, which for a window is its last one once more
        self._last_cross_rows = [np.zeros((spec.slots, d.n_text_state), np.float32) for _ in count]
        # where each beam's past lies: beams change places by their numbers
        self._row_of_beam = np.arange(spec.rows, dtype=np.int32).reshape(spec.slots, spec.beams)

    def _compile_options(self) -> dict[str, str]:
        return super()._compile_options() | {"KV_CACHE_PRECISION": "f16" if self._is_16_bit else "f32"}

    def _read_model(self, name: str) -> ov.Model:
        return to_paged_attention(super()._read_model(name), name, self._spec, self._element)

    def _on_encoded(self, slots: Sequence[int]) -> None:
        for slot in slots:
            block, last = divmod(int(self._audio_contexts[slot]) - 1, BLOCK_SIZE)
            for window, rows in zip(self._cross_views(slot), self._last_cross_rows, strict=True):
                rows[slot] = window[0, block, :, last].reshape(-1)

    def _cross_views(self, slot: int) -> list[Array]:
        """The slot's blocks (1, W, H, BLOCK, D), views."""
        blocks = slice(slot * self._blocks_per_window, (slot + 1) * self._blocks_per_window)
        return [cache[None, blocks] for cache in self._cross_cache]

    def _commit_prompt(self, slot: int, beams: int, length: int, request: ov.InferRequest) -> None:
        self._row_of_beam[slot] = np.arange(slot * self._spec.beams, (slot + 1) * self._spec.beams)
        for i, cache in enumerate(self._self_cache):
            rows = self._cache_output(request, graph_signatures.N_PREFILL_OUTPUTS + i)[0]  # (H, T, D)
            by_row = cache[:-1].reshape(self._spec.rows, self._blocks_per_row, *cache.shape[1:])
            own = by_row[slot * self._spec.beams :][:beams]
            for block in range(count_blocks(length)):
                fresh = rows[:, block * BLOCK_SIZE : min(length, (block + 1) * BLOCK_SIZE)]
                own[:, block, :, : fresh.shape[1]] = fresh

    def _rearrange_kv_cache(
        self, parents: NDArray[np.int32], positions: NDArray[np.int32], in_use: NDArray[np.bool_]
    ) -> None:
        """Each beam goes on from its parent's past. The first child takes it as it lies, the others a copy."""
        moves = parents != np.arange(parents.shape[1])
        for slot in np.flatnonzero(moves.any(1)):
            beams = np.flatnonzero(in_use[slot])
            old = self._row_of_beam[slot].copy()
            taken: set[int] = set()
            copies = []
            for beam in beams:
                place = int(old[parents[slot, beam]])
                if place in taken:
                    copies.append((int(beam), place))
                else:
                    taken.add(place)
                    self._row_of_beam[slot, beam] = place
            free = [int(place) for place in old[beams] if int(place) not in taken]
            blocks = count_blocks(int(positions[slot, beams].max()))
            for (child, source), place in zip(copies, free, strict=True):
                self._row_of_beam[slot, child] = place
                for cache in self._self_cache:
                    to, start = place * self._blocks_per_row, source * self._blocks_per_row
                    cache[to : to + blocks] = cache[start : start + blocks]

    def _create_step(self, kind: str, width: int) -> StepRunner:
        return _PagedStepRunner(self, kind, width)


class _PagedStepRunner(StepRunner):
    """For whatever slots its tables name; the graph commits the fresh rows itself."""

    def __init__(self, session: PagedSession, kind: str, width: int) -> None:
        super().__init__(session, kind, width)
        row, window, slots = session._blocks_per_row, session._blocks_per_window, session.spec.slots
        self._self_block_tables = np.zeros((slots, width, row), np.int32)
        self._cross_block_tables = np.zeros((slots, window), np.int32)
        self._cross_past_lengths = np.zeros(slots, np.int32)
        for i, cache in enumerate((*session._self_cache, *session._cross_cache)):
            port = graph_signatures.N_STEP_INPUTS + N_INDEX_INPUTS + len(session._last_cross_rows) + i
            self._request.set_input_tensor(port, session._cache_tensor(cache))

    def _bind_span(self, session: Any, span: slice) -> None:
        slots = span.stop - span.start
        self._set_inputs(
            graph_signatures.N_STEP_INPUTS,
            self._self_block_tables[:slots].reshape(-1),
            self._cross_block_tables[:slots].reshape(-1),
            self._cross_past_lengths[:slots],
            *(rows[span] for rows in session._last_cross_rows),
        )

    def _prepare(self, session: PagedSession, slot: NDArray[np.intp], beam: NDArray[np.intp]) -> None:
        row, window, first = session._blocks_per_row, session._blocks_per_window, self._span.start
        # rows that the step is not about write one position of the last block, and read no more
        self._self_block_tables[:], self._cross_block_tables[:] = (
            len(session._self_cache[0]) - 1,
            len(session._cross_cache[0]) - 1,
        )
        places = session._row_of_beam[self._span][slot, beam]
        self._self_block_tables[slot, beam] = places[:, None] * row + np.arange(row)
        live = np.unique(slot)
        self._cross_block_tables[live] = (first + live)[:, None] * window + np.arange(window)
        self._cross_past_lengths[:] = 0
        self._cross_past_lengths[live] = session._audio_contexts[first + live] - 1

    def _commit(self, slot: NDArray[np.intp], beam: NDArray[np.intp]) -> None:
        """The graph has."""
