"""Self-K/V of rows in memory that a graph reads whole: with room for what is written, not for all that may be."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

ROOMS = 7  # as many lengths, evenly up to the longest: at 448, steps of 64


class Past:
    """Keys and values of a decoder's layers, for slots of B rows each.

    `view` is (caches, S, B, H, room, D), dense; a cache is a layer's keys or its values. `room` is the first of a few
    lengths in which every slot's past fits, so that a step of short texts reads little; what is written moves when it
    changes. Pages that nothing was written to take no memory. S slots, B rows, H heads, D head width, as in
    graph/whisper.
    """

    def __init__(self, count: int, shape: tuple[int, int, int, int, int], dtype: DTypeLike) -> None:
        """`count` caches for pasts of up to C positions: (S, B, H, C, D)."""
        slots, _, _, longest, _ = self._shape = shape
        self._count, self._memory = count, np.zeros(count * np.prod(shape), dtype)
        self._lengths = np.zeros(slots, np.int64)
        self._rooms = -(-longest * np.arange(1, ROOMS + 1) // ROOMS)
        self._ahead = longest // ROOMS // 2  # positions that a prompt is sure to be followed by
        self.room = int(self._rooms[0])
        self.view = self._seen(self.room)

    def begin(self, slot: int, length: int) -> None:
        """The slot's past ends at `length` positions; what it held is forgotten."""
        self._lengths[slot] = 0  # nothing of it moves
        self._fit(length + self._ahead)
        self._lengths[slot] = length

    def reach(self, slots: NDArray[np.intp], positions: NDArray[np.integer[Any]]) -> None:
        """The next rows of these slots are written at `positions`."""
        np.maximum.at(self._lengths, slots, positions + 1)
        if (longest := int(self._lengths.max())) > self.room:
            self._fit(longest)

    def _seen(self, room: int) -> NDArray[Any]:
        slots, rows, heads, _, width = self._shape
        shape = (self._count, slots, rows, heads, room, width)
        return self._memory[: np.prod(shape)].reshape(shape)

    def _fit(self, wanted: int) -> None:
        """Make room for so many positions, and for what every slot holds."""
        longest = min(max(wanted, int(self._lengths.max())), self._shape[3])
        room = int(self._rooms[np.searchsorted(self._rooms, longest)])
        if room == self.room:
            return
        old, new = self.view, self._seen(room)
        moves = [(cache, slot) for cache in range(self._count) for slot in np.flatnonzero(self._lengths)]
        # new and old lie over each other: what moves takes places that have been left
        for cache, slot in moves if room < self.room else reversed(moves):
            length = min(self._lengths[slot], self.room)  # the last of them may be still to be written
            new[cache, slot, :, :, :length] = old[cache, slot, :, :, :length].copy()
        self.view, self.room = new, room
