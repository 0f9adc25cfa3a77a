"""Turns of connections that share an event loop."""

from __future__ import annotations

import asyncio
from collections import Counter

from neuron_whisper.server.transport.connection_limits import ConnectionLimits
from neuron_whisper.server.transport.turns import LimitedConnection


class Connection(LimitedConnection):
    """Handles a byte a turn."""

    def __init__(self, loop: asyncio.AbstractEventLoop, name: str, handled: list[str]) -> None:
        super().__init__()
        self.loop, self._name, self._handled = loop, name, handled
        self.left = bytearray()
        self.read_buffer = bytearray(8)

    def data_received(self, data: bytes) -> None:
        self.left += data
        self.schedule_turn()

    def take_turn(self) -> None:
        del self.left[0]
        self._handled.append(self._name)
        if self.left:
            self.schedule_turn()


def run_turns(*, is_lost: bool = False) -> list[str]:
    handled: list[str] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        first, second = Connection(loop, "first", handled), Connection(loop, "second", handled)
        for connection in (first, second):
            connection.get_buffer(-1)[:3] = b"abc"
            connection.buffer_updated(3)
            assert connection.has_next_turn
        if is_lost:
            first.connection_lost(None)
        while second.left:
            await asyncio.sleep(0)

    asyncio.run(main())
    return handled


def test_connections_take_their_turns_by_turns() -> None:
    assert run_turns() == ["first", "second"] * 3


def test_a_connection_that_is_lost_has_no_further_turn() -> None:
    assert run_turns(is_lost=True) == ["second"] * 3


class Transport(asyncio.Transport):
    """Bytes that nobody reads."""

    def __init__(self) -> None:
        super().__init__()
        self.aborts: list[int] = []

    def get_write_buffer_size(self) -> int:
        return 5000

    def abort(self) -> None:
        self.aborts.append(1)


def test_an_answer_that_is_not_read_is_waited_for_only_where_the_server_has_nothing_to_write() -> None:
    closed: Counter[str] = Counter()
    connection = Connection(asyncio.new_event_loop(), "one", [])
    connection.loop.close()
    connection.transport = transport = Transport()
    connection.limits = ConnectionLimits(
        max_connections=1, header_timeout_s=1, send_timeout_s=2, count_closed=lambda reason: closed.update([reason])
    )
    for now in (0.0, 3.0):
        connection.abort_if_not_read(now, is_waited_for=False, is_closing=False)
    assert len(transport.aborts) == 0
    for now in (4.0, 7.0):
        connection.abort_if_not_read(now, is_waited_for=True, is_closing=False)
    assert len(transport.aborts) == 1
    assert closed == {"not_read": 1}
