"""Self-K/V of rows in memory that a graph reads whole: with room for what is written, not for all that may be."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

N_CAPACITY_BUCKETS = 7  # as many lengths, evenly up to the longest: at 448, steps of 64


class KVCache:
    """Keys and values of a decoder's layers, for slots of B rows each.

    `view` is (caches, S, B, H, room, D), dense; a cache is a layer's keys or its values. `capacity` is the first of a
    few lengths in which every slot's past fits, so that a step of short texts reads little; what is written moves
    when it changes. Pages that nothing was written to take no memory. S slots, B rows, H heads, D head width, as in
    graph/whisper.
    """

    def __init__(self, count: int, shape: tuple[int, int, int, int, int], dtype: DTypeLike) -> None:
        """`count` caches for pasts of up to C positions: (S, B, H, C, D)."""
        slots, _, _, longest, _ = self._shape = shape
        self._count, self._memory = count, np.zeros(count * np.prod(shape), dtype)
        self._lengths = np.zeros(slots, np.int64)
        self._capacity_buckets = -(-longest * np.arange(1, N_CAPACITY_BUCKETS + 1) // N_CAPACITY_BUCKETS)
        self._headroom = longest // N_CAPACITY_BUCKETS // 2  # positions that a prompt is sure to be followed by
        self.capacity = int(self._capacity_buckets[0])
        self.view = self._view(self.capacity)

    def reset_slot(self, slot: int, length: int) -> None:
        """The slot's past ends at `length` positions; what it held is forgotten."""
        self._lengths[slot] = 0  # nothing of it moves
        self._resize(length + self._headroom)
        self._lengths[slot] = length

    def extend(self, slots: NDArray[np.intp], positions: NDArray[np.integer[Any]]) -> None:
        """The next rows of these slots are written at `positions`."""
        np.maximum.at(self._lengths, slots, positions + 1)
        if (longest := int(self._lengths.max())) > self.capacity:
            self._resize(longest)

    def _view(self, capacity: int) -> NDArray[Any]:
        slots, rows, heads, _, width = self._shape
        shape = (self._count, slots, rows, heads, capacity, width)
        return self._memory[: np.prod(shape)].reshape(shape)

    def _resize(self, min_length: int) -> None:
        """Make room for so many positions, and for what every slot holds."""
        longest = min(max(min_length, int(self._lengths.max())), self._shape[3])
        room = int(self._capacity_buckets[np.searchsorted(self._capacity_buckets, longest)])
        if room == self.capacity:
            return
        old, new = self.view, self._view(room)
        moves = [(cache, slot) for cache in range(self._count) for slot in np.flatnonzero(self._lengths)]
        # new and old lie over each other: what moves takes places that have been left
        for cache, slot in moves if room < self.capacity else reversed(moves):
            length = min(self._lengths[slot], self.capacity)  # the last of them may be still to be written
            new[cache, slot, :, :, :length] = old[cache, slot, :, :, :length].copy()
        self.view, self.capacity = new, room
