"""Limits how many pieces a client may cut its bytes into: chunks of a body, frames of a WebSocket."""

from __future__ import annotations

import time
from collections.abc import Callable

BURST = 1024.0  # pieces of any size, also empty ones
BYTES_PER_PIECE = 64  # that earn one more piece: G.711 in packets of 10 ms has 80
PIECES_PER_S = 100.0  # that time earns: a live stream may send any packets of 10 ms


class PieceBudget:
    """How many more pieces a client may send.

    A piece costs the server tens of microseconds, whatever its size. `clock` is an argument for tests, in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._left, self._updated_at = BURST, clock()

    def spend(self, size_bytes: int) -> bool:
        """Account for a piece of this size. False: it exceeds the budget."""
        now = self._clock()
        earned = size_bytes / BYTES_PER_PIECE + (now - self._updated_at) * PIECES_PER_S
        self._left, self._updated_at = min(BURST, self._left + earned) - 1, now
        return self._left >= 0
