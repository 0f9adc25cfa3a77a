"""Self-K/V of rows in memory that a graph reads whole: with room for what is written, not for all that may be."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

ROOMS = 7  # as many lengths, evenly up to the longest: at 448, steps of 64


class Past:
    """Keys and values of a decoder's layers, for slots of B rows each.

    `views` are (S, B, H, room, D), dense, one for each layer's keys and one for its values. `room` is the first of a
    few lengths in which every slot's past fits, so a step of short texts reads little; what is written moves when it
    changes. Pages that nothing was written to take no memory. S slots, B rows, H heads, D head width, as in
    graph/whisper.
    """

    def __init__(self, count: int, shape: tuple[int, int, int, int, int], dtype: DTypeLike) -> None:
        """`count` caches for pasts of up to C positions: (S, B, H, C, D)."""
        slots, _, _, longest, _ = self._shape = shape
        self._memory = [np.zeros(np.prod(shape), dtype) for _ in range(count)]
        self._lengths = np.zeros(slots, np.int64)
        self._rooms = -(-longest * np.arange(1, ROOMS + 1) // ROOMS)
        self.room = int(self._rooms[0])
        self.views = self._seen(self.room)

    def begin(self, slot: int, length: int) -> None:
        """The slot's past ends at `length` positions; what it held is forgotten."""
        self._lengths[slot] = length
        self._fit()

    def reach(self, slots: NDArray[np.intp], positions: NDArray[np.integer[Any]]) -> None:
        """The next rows of these slots are written at `positions`."""
        np.maximum.at(self._lengths, slots, positions + 1)
        if self._lengths.max() > self.room:
            self._fit()

    def _seen(self, room: int) -> list[NDArray[Any]]:
        slots, rows, heads, _, width = self._shape
        shape = (slots, rows, heads, room, width)
        return [memory[: np.prod(shape)].reshape(shape) for memory in self._memory]

    def _fit(self) -> None:
        room = int(self._rooms[np.searchsorted(self._rooms, self._lengths.max())])
        if room == self.room:
            return
        views = self._seen(room)
        written = np.flatnonzero(self._lengths)
        # new and old lie over each other: a slot moves when the places it takes have been left
        for slot in written if room < self.room else written[::-1]:
            length = min(self._lengths[slot], self.room)  # the last of them may be still to be written
            for old, new in zip(self.views, views, strict=True):
                new[slot, :, :, :length] = old[slot, :, :, :length].copy()
        self.views, self.room = views, room
