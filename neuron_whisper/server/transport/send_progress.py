"""Finds the clients that do not read what is sent to them."""

from __future__ import annotations

from dataclasses import dataclass

MIN_BYTES_PER_S = 1024  # that a client must read while bytes wait for it


@dataclass(slots=True, eq=False)
class SendProgress:
    """How far a connection's unsent bytes have shrunk. No I/O: time is an argument, in seconds."""

    _since: float | None = None
    _unsent: int = 0

    def restart(self) -> None:
        """Note that the client has read, or that more was written: measure from the next look."""
        self._since = None

    def is_stalled(self, unsent: int, now: float, *, limit_s: float) -> bool:
        """Whether fewer than MIN_BYTES_PER_S were read over `limit_s`, while nothing was written in between."""
        if unsent == 0:
            self._since = None
            return False
        if self._since is None:
            self._since, self._unsent = now, unsent
            return False
        took_s = now - self._since
        if took_s < limit_s:
            return False
        is_slow = self._unsent - unsent < MIN_BYTES_PER_S * took_s
        self._since, self._unsent = now, unsent
        return is_slow
