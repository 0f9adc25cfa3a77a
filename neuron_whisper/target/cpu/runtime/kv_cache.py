"""KVCache: self-K/V that a graph reads whole, in memory for the positions written, not for the longest text."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

N_CAPACITY_BUCKETS = 7  # evenly spaced lengths up to the longest: for 448 in steps of 64


class KVCache:
    """Keys and values of a decoder's layers, for slots of B rows each.

    `view` is (caches, S, B, H, capacity, D), dense; a cache is a layer's keys or its values. `capacity` is the smallest
    of a few lengths that holds every slot's past, so that a step of short texts reads little; rows are moved when it
    changes. Pages that were never written take no memory. S slots, B rows, H heads, D head width, as in graph/whisper.
    """

    def __init__(self, count: int, shape: tuple[int, int, int, int, int], dtype: DTypeLike) -> None:
        """`count` caches of `shape` (S, B, H, C, D), C being the largest capacity."""
        slots, _, _, longest, _ = self._shape = shape
        self._count, self._memory = count, np.zeros(count * np.prod(shape), dtype)
        self._lengths = np.zeros(slots, np.int64)
        self._capacity_buckets = -(-longest * np.arange(1, N_CAPACITY_BUCKETS + 1) // N_CAPACITY_BUCKETS)
        self._headroom = longest // N_CAPACITY_BUCKETS // 2  # reserved behind a prompt
        self.capacity = int(self._capacity_buckets[0])
        self.view = self._view(self.capacity)

    def reset_slot(self, slot: int, length: int) -> None:
        """Start a slot anew with a past of `length` positions; its old rows are discarded."""
        self._lengths[slot] = 0  # its old rows need not be moved
        self._resize(length + self._headroom)
        self._lengths[slot] = length

    def extend(self, slots: NDArray[np.intp], positions: NDArray[np.integer[Any]]) -> None:
        """Make room for rows of these slots at `positions`."""
        np.maximum.at(self._lengths, slots, positions + 1)
        if (longest := int(self._lengths.max())) > self.capacity:
            self._resize(longest)

    def _view(self, capacity: int) -> NDArray[Any]:
        slots, rows, heads, _, width = self._shape
        shape = (self._count, slots, rows, heads, capacity, width)
        return self._memory[: np.prod(shape)].reshape(shape)

    def _resize(self, min_length: int) -> None:
        """Choose the capacity for `min_length` positions and every slot's past, and move the rows."""
        longest = min(max(min_length, int(self._lengths.max())), self._shape[3])
        capacity = int(self._capacity_buckets[np.searchsorted(self._capacity_buckets, longest)])
        if capacity == self.capacity:
            return
        old, new = self.view, self._view(capacity)
        moves = [(cache, slot) for cache in range(self._count) for slot in np.flatnonzero(self._lengths)]
        # new and old overlap: in this order rows move only to places that were read already
        for cache, slot in moves if capacity < self.capacity else reversed(moves):
            length = min(self._lengths[slot], self.capacity)  # the last row may not be written yet
            new[cache, slot, :, :, :length] = old[cache, slot, :, :, :length].copy()
        self.view, self.capacity = new, capacity
