"""Room for a new connection."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field

from neuron_whisper.server.transport.connection_limits import ConnectionLimits


class RecordingTransport(asyncio.Transport):
    def __init__(self) -> None:
        super().__init__()
        self._is_aborted = False

    def is_closing(self) -> bool:
        return self._is_aborted

    def abort(self) -> None:
        self._is_aborted = True


@dataclass
class Connection:
    idle_since: float
    is_responding: bool = False
    transport: RecordingTransport = field(default_factory=RecordingTransport)


def make_room(*connections: Connection, now: float) -> tuple[bool, list[bool], Counter[str]]:
    """Whether there is room for the last of two connections at most, which are aborted, and what is counted."""
    closed: Counter[str] = Counter()

    def count_closed(reason: str) -> None:
        closed[reason] += 1

    limits = ConnectionLimits(max_connections=2, header_timeout_s=9, send_timeout_s=9, count_closed=count_closed)
    has_room = limits.make_room(connections, now)
    return has_room, [it.transport.is_closing() for it in connections], closed


def test_below_the_limit_nobody_is_closed() -> None:
    assert make_room(Connection(0.0), Connection(50.0), now=50.0) == (True, [False, False], Counter())


def test_the_connection_that_is_idle_for_longest_makes_room() -> None:
    found = make_room(Connection(3.0), Connection(2.0), Connection(50.0), now=50.0)
    assert found == (True, [False, True, False], Counter(idle=1))


def test_a_connection_with_a_request_is_never_closed() -> None:
    busy = [Connection(0.0, is_responding=True) for _ in range(2)]
    assert make_room(*busy, Connection(50.0), now=50.0) == (False, [False, False, False], Counter())


def test_a_connection_that_has_just_come_is_not_closed() -> None:
    assert make_room(Connection(49.5), Connection(49.9), Connection(50.0), now=50.0)[0] is False


def test_connections_that_are_closing_do_not_count() -> None:
    closing = Connection(0.0)
    closing.transport.abort()
    assert make_room(closing, Connection(1.0), Connection(50.0), now=50.0) == (True, [True, False, False], Counter())


def test_a_closed_connection_has_five_seconds_at_most() -> None:
    def close_s(send_timeout_s: float) -> float:
        return ConnectionLimits(max_connections=1, header_timeout_s=1, send_timeout_s=send_timeout_s).close_s

    assert (close_s(30.0), close_s(2.0)) == (5.0, 2.0)
