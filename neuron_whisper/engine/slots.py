"""SlotTable: which window is decoded in which slot."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class SlotTable(Generic[T]):
    """Slots 0 .. n-1 and their occupants; the lowest free slot is taken first. Used by one thread."""

    def __init__(self, slots: int) -> None:
        self._free = list(range(slots))
        self._occupants: dict[int, T] = {}

    @property
    def n_free(self) -> int:
        return len(self._free)

    @property
    def n_taken(self) -> int:
        return len(self._occupants)

    def take(self, occupant: T) -> int:
        """Put the occupant into a free slot, of which there must be one -> the slot."""
        slot = heapq.heappop(self._free)
        self._occupants[slot] = occupant
        return slot

    def release(self, slot: int) -> None:
        del self._occupants[slot]
        heapq.heappush(self._free, slot)

    def retire(self, slot: int) -> None:
        """Take the slot's occupant out, and never give the slot to another."""
        del self._occupants[slot]

    def items(self) -> Iterator[tuple[int, T]]:
        """(slot, occupant) ordered by slot; a snapshot, so that slots may be released during the iteration."""
        return iter(sorted(self._occupants.items(), key=lambda item: item[0]))
