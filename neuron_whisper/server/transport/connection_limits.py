"""The limits of a server's connections, and room for a new one where they are exhausted."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

CLOSE_S = 5.0  # for a client to read the last bytes, and to answer the end of a WebSocket
MIN_IDLE_S = 1.0  # before an idle connection is closed for a new one


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionLimits:
    """`count_closed` is called with the reason for which a connection is refused or closed."""

    max_connections: int
    header_timeout_s: float
    send_timeout_s: float
    count_closed: Callable[[str], None] = lambda reason: None

    @property
    def close_s(self) -> float:
        """Seconds after which a connection that the server has closed is aborted, unless its client still reads."""
        return min(CLOSE_S, self.send_timeout_s)

    def make_room(self, connections: Collection[Any], now: float) -> bool:
        """Whether there is room for the newest of these connections.

        Above the limit the connection is closed that has waited longest for a request: so one client that opens
        connections and sends nothing does not lock out the others.
        """
        if len(connections) <= self.max_connections:
            return True
        still_open = [it for it in connections if not it.transport.is_closing()]
        if len(still_open) <= self.max_connections:
            return True
        idle = [it for it in still_open if not getattr(it, "is_responding", True)]
        oldest = min(idle, key=lambda it: it.idle_since, default=None)
        if oldest is None or now - oldest.idle_since < MIN_IDLE_S:
            return False
        self.count_closed("idle")
        oldest.transport.abort()
        return True
