"""PagedCaches: rows in blocks without a graph; tests/integration/test_paged_caches.py runs graphs on them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from neuron_whisper.target.cpu.runtime.paged_attention_pass import BLOCK_SIZE
from neuron_whisper.target.cpu.runtime.paged_caches import PagedCaches
from tests.support.tiny_program import DIMS, spec

BEAMS, LENGTH = 3, BLOCK_SIZE + 3
PROGRAM = replace(
    spec(slots=2, beams=BEAMS), text_context=2 * BLOCK_SIZE, dims=replace(DIMS, n_text_ctx=2 * BLOCK_SIZE)
)


def read_row(caches: PagedCaches, slot: int, beam: int, cache: int = 0) -> NDArray[np.generic]:
    """A beam's past (H, LENGTH, D), joined from its blocks."""
    first = int(caches.row_of_beam[slot, beam]) * caches.blocks_per_row
    blocks = caches.self_blocks[cache][first : first + caches.blocks_per_row]
    return np.concatenate(list(blocks), 1)[:, :LENGTH]


def store_prompt(caches: PagedCaches, slot: int) -> list[NDArray[np.float32]]:
    rng = np.random.default_rng(slot)
    shape = (1, DIMS.n_text_head, LENGTH + 4, DIMS.head_dim)  # the prompt is padded
    fresh = [rng.standard_normal(shape).astype(np.float32) for _ in range(2 * DIMS.n_text_layer)]
    caches.store_prompt(slot, BEAMS, LENGTH, fresh)
    return fresh


def test_a_prompt_is_stored_in_every_row_of_its_slot_and_in_no_other() -> None:
    caches = PagedCaches(PROGRAM, dtype="float32")
    fresh = store_prompt(caches, 1)
    for beam in range(BEAMS):
        for cache in range(2 * DIMS.n_text_layer):
            np.testing.assert_array_equal(read_row(caches, 1, beam, cache), fresh[cache][0, :, :LENGTH])
            assert not read_row(caches, 0, beam, cache).any()


@given(st.lists(st.lists(st.integers(0, BEAMS - 1), min_size=BEAMS, max_size=BEAMS), min_size=1, max_size=5))
def test_beams_go_on_from_their_parents_pasts_in_rows_of_their_own(steps: list[list[int]]) -> None:
    caches = PagedCaches(PROGRAM, dtype="float32")
    store_prompt(caches, 0)
    for beam in range(BEAMS):  # make the pasts differ
        caches.self_blocks[0][int(caches.row_of_beam[0, beam]) * caches.blocks_per_row] += beam
    expected = [read_row(caches, 0, beam).copy() for beam in range(BEAMS)]
    in_use = np.array([[True] * BEAMS, [False] * BEAMS])
    positions = np.full((2, BEAMS), LENGTH, np.int32)
    for parents in steps:
        caches.rearrange(np.array([parents, list(range(BEAMS))], np.int32), positions, in_use)
        expected = [expected[parent] for parent in parents]
        assert sorted(caches.row_of_beam[0].tolist()) == list(range(BEAMS))
        for beam in range(BEAMS):
            np.testing.assert_array_equal(read_row(caches, 0, beam), expected[beam])


def test_the_last_row_of_a_window_is_kept_beside_its_blocks() -> None:
    caches = PagedCaches(PROGRAM, dtype="float32")
    caches.window_lengths[1] = 7
    for view in caches.cross_views(1):
        view[0, 0, :, 6] = 4.0
    caches.on_encoded([1])
    assert all((rows[1] == 4.0).all() and not rows[0].any() for rows in caches.last_cross_rows)
