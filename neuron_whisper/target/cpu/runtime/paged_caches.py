"""PagedCaches: K/V in blocks that graphs read and write in place, for processors that compute in float32."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np
import openvino as ov
from numpy.typing import NDArray

from neuron_whisper.target.cpu.lowering import graph_signatures
from neuron_whisper.target.cpu.runtime.kv_cache_backend import ANY_SLOTS, Array, StepRows, set_inputs, share_cache
from neuron_whisper.target.cpu.runtime.paged_attention_pass import (
    BLOCK_SIZE,
    N_INDEX_INPUTS,
    count_blocks,
    to_paged_attention,
)
from neuron_whisper.target.interfaces import ProgramSpec


class PagedCaches:
    """K/V in float16 for 16-bit profiles (its conversion is one instruction), in float32 for the others.

    Blocks are (H, BLOCK_SIZE, D). Row r of the self-K/V owns the blocks from r * P on, slot s of the cross-K/V those
    from s * W on; the last block of each cache is for rows that are not in use.
    """

    def __init__(self, spec: ProgramSpec, *, dtype: str) -> None:
        self._spec, d = spec, spec.dims
        self._is_16_bit = dtype != "float32"
        self.element, store = (ov.Type.f16, np.float16) if self._is_16_bit else (ov.Type.f32, np.float32)
        self.window_lengths = np.full(spec.slots, d.n_audio_ctx, np.int32)
        self.blocks_per_row, self.blocks_per_window = count_blocks(spec.text_context), count_blocks(d.n_audio_ctx)
        block = (d.n_text_head, BLOCK_SIZE, d.head_dim)
        layers = range(2 * d.n_text_layer)
        self.self_blocks = [np.zeros((spec.rows * self.blocks_per_row + 1, *block), store) for _ in layers]
        self.cross_blocks = [np.zeros((spec.slots * self.blocks_per_window + 1, *block), store) for _ in layers]
        # (S, H*D) per layer: a step gives attention a fresh row, which for a window is its last one once more
        self.last_cross_rows = [np.zeros((spec.slots, d.n_text_state), np.float32) for _ in layers]
        # (S, B): the row in which each beam's past lies; beams change places by these numbers
        self.row_of_beam = np.arange(spec.rows, dtype=np.int32).reshape(spec.slots, spec.beams)

    def compile_options(self, capabilities: Collection[str]) -> Mapping[str, str]:
        # the plugin's kernels over blocks of float16 compute in float32
        return {"INFERENCE_PRECISION_HINT": "f32", "KV_CACHE_PRECISION": "f16" if self._is_16_bit else "f32"}

    def form_of(self, name: str, slots: int) -> int:
        return ANY_SLOTS

    def adapt_model(self, model: ov.Model, name: str, form: int) -> ov.Model:
        return to_paged_attention(model, name, self._spec, self.element)

    def cross_views(self, slot: int) -> list[Array]:
        """The slot's blocks (1, W, H, BLOCK_SIZE, D)."""
        blocks = slice(slot * self.blocks_per_window, (slot + 1) * self.blocks_per_window)
        return [cache[None, blocks] for cache in self.cross_blocks]

    def on_encoded(self, slots: Sequence[int]) -> None:
        for slot in slots:
            block, last = divmod(int(self.window_lengths[slot]) - 1, BLOCK_SIZE)
            for window, rows in zip(self.cross_views(slot), self.last_cross_rows, strict=True):
                rows[slot] = window[0, block, :, last].reshape(-1)

    def store_prompt(self, slot: int, beams: int, length: int, fresh_rows: Sequence[Array]) -> None:
        first = slot * self._spec.beams
        self.row_of_beam[slot] = np.arange(first, first + self._spec.beams)
        for cache, (fresh,) in zip(self.self_blocks, fresh_rows, strict=True):  # fresh (H, T, D)
            by_row = cache[:-1].reshape(self._spec.rows, self.blocks_per_row, *cache.shape[1:])
            rows = by_row[first : first + beams]
            for block in range(count_blocks(length)):
                part = fresh[:, block * BLOCK_SIZE : min(length, (block + 1) * BLOCK_SIZE)]
                rows[:, block, :, : part.shape[1]] = part

    def rearrange(self, parents: NDArray[np.int32], positions: NDArray[np.int32], in_use: NDArray[np.bool_]) -> None:
        """A parent's first child takes over its row, the others get a copy in a row that became free."""
        moves = parents != np.arange(parents.shape[1])
        for slot in np.flatnonzero(moves.any(1)):
            beams = np.flatnonzero(in_use[slot])
            old = self.row_of_beam[slot].copy()
            taken: set[int] = set()
            copies = []
            for beam in beams:
                row = int(old[parents[slot, beam]])
                if row in taken:
                    copies.append((int(beam), row))
                else:
                    taken.add(row)
                    self.row_of_beam[slot, beam] = row
            free = [int(row) for row in old[beams] if int(row) not in taken]
            blocks = count_blocks(int(positions[slot, beams].max()))
            for (child, source), row in zip(copies, free, strict=True):
                self.row_of_beam[slot, child] = row
                for cache in self.self_blocks:
                    to, start = row * self.blocks_per_row, source * self.blocks_per_row
                    cache[to : to + blocks] = cache[start : start + blocks]

    def bind_step(self, request: ov.InferRequest, kind: str, width: int) -> PagedStepCaches:
        return PagedStepCaches(self, request, width)


class PagedStepCaches:
    """The K/V ports of a step request: block tables and the blocks themselves, to which the graph writes fresh rows."""

    def __init__(self, caches: PagedCaches, request: ov.InferRequest, width: int) -> None:
        self._caches, self._request = caches, request
        slots = len(caches.window_lengths)
        self._self_block_tables = np.zeros((slots, width, caches.blocks_per_row), np.int32)
        self._cross_block_tables = np.zeros((slots, caches.blocks_per_window), np.int32)
        self._cross_past_lengths = np.zeros(slots, np.int32)
        first = graph_signatures.N_STEP_INPUTS + N_INDEX_INPUTS + len(caches.last_cross_rows)
        for port, blocks in enumerate((*caches.self_blocks, *caches.cross_blocks), first):
            request.set_input_tensor(port, share_cache(blocks, caches.element))

    def bind(self, span: slice) -> None:
        slots = span.stop - span.start
        set_inputs(
            self._request,
            graph_signatures.N_STEP_INPUTS,
            self._self_block_tables[:slots].reshape(-1),
            self._cross_block_tables[:slots].reshape(-1),
            self._cross_past_lengths[:slots],
            *(rows[span] for rows in self._caches.last_cross_rows),
        )

    def before_run(self, rows: StepRows) -> None:
        caches, (slot, beam) = self._caches, (rows.slot, rows.beam)
        # rows that are not in use write one position of the last block, and read no more
        self._self_block_tables[:] = len(caches.self_blocks[0]) - 1
        self._cross_block_tables[:] = len(caches.cross_blocks[0]) - 1
        first_blocks = caches.row_of_beam[rows.span][slot, beam] * caches.blocks_per_row
        self._self_block_tables[slot, beam] = first_blocks[:, None] + np.arange(caches.blocks_per_row)
        active = np.unique(slot)
        first_blocks = (rows.span.start + active) * caches.blocks_per_window
        self._cross_block_tables[active] = first_blocks[:, None] + np.arange(caches.blocks_per_window)
        self._cross_past_lengths[:] = 0
        self._cross_past_lengths[active] = caches.window_lengths[rows.span.start + active] - 1

    def after_run(self, rows: StepRows) -> None:
        """The graph has written the fresh rows."""
