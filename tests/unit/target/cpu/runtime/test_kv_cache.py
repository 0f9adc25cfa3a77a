"""KVCache: rows that were written are read back unchanged when the capacity changes."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from neuron_whisper.target.cpu.runtime.kv_cache import N_CAPACITY_BUCKETS, KVCache

SLOTS, ROWS, HEADS, LONGEST, WIDTH, COUNT = 3, 2, 2, 30, 2, 2


def make_cache(longest: int = LONGEST) -> KVCache:
    return KVCache(COUNT, (SLOTS, ROWS, HEADS, longest, WIDTH), np.float32)


class KVCacheMachine(RuleBasedStateMachine):
    """Compared with a plain array of full length for each slot."""

    def __init__(self) -> None:
        super().__init__()
        self.cache = make_cache()
        self.expected = np.zeros((COUNT, SLOTS, ROWS, HEADS, LONGEST, WIDTH), np.float32)
        self.lengths = np.zeros(SLOTS, int)
        self.rng = np.random.default_rng(0)

    def write(self, slot: int, first: int, end: int) -> None:
        values = self.rng.random((COUNT, ROWS, HEADS, end - first, WIDTH), np.float32)
        self.expected[:, slot, :, :, first:end] = values
        self.cache.view[:, slot, :, :, first:end] = values

    @rule(slot=st.integers(0, SLOTS - 1), length=st.integers(1, LONGEST))
    def a_prompt_resets_a_slot(self, slot: int, length: int) -> None:
        self.cache.reset_slot(slot, length)
        self.lengths[slot] = length
        self.write(slot, 0, length)

    @rule(active=st.sets(st.integers(0, SLOTS - 1), min_size=1), back=st.integers(0, 2))
    def a_step_writes_a_row_of_each(self, active: set[int], back: int) -> None:
        slots = np.array(sorted(slot for slot in active if 0 < self.lengths[slot] < LONGEST), np.intp)
        if not len(slots):
            return
        positions = np.maximum(self.lengths[slots] - back, 0)  # a row may be written again
        self.cache.extend(slots, positions)
        self.lengths[slots] = np.maximum(self.lengths[slots], positions + 1)
        for slot, position in zip(slots, positions, strict=True):
            self.write(slot, position, position + 1)

    @invariant()
    def what_was_written_is_read(self) -> None:
        view = self.cache.view
        assert view.shape == (COUNT, SLOTS, ROWS, HEADS, self.cache.capacity, WIDTH)
        assert view.flags.c_contiguous
        for slot, length in enumerate(self.lengths):
            np.testing.assert_array_equal(view[:, slot, :, :, :length], self.expected[:, slot, :, :, :length])

    @invariant()
    def the_capacity_is_little_more_than_the_longest_past(self) -> None:
        longest = max(self.lengths.max(), 1)
        assert longest <= self.cache.capacity < longest + 2 * -(-LONGEST // N_CAPACITY_BUCKETS)


TestKVCacheMachine = KVCacheMachine.TestCase


@given(st.integers(1, 448))
def test_the_capacity_never_exceeds_the_longest_past(longest: int) -> None:
    past = make_cache(longest)
    assert 1 <= past.capacity <= longest
    past.reset_slot(0, longest)
    assert past.capacity == longest
    past.reset_slot(0, 1)
    assert past.capacity <= 2 * -(-longest // N_CAPACITY_BUCKETS)
