"""LimitedConnection: a buffer to read into, turns and unread answers, the same for HTTP and for WebSockets."""

from __future__ import annotations

import asyncio
from typing import Any

from neuron_whisper.server.transport.connection_limits import ConnectionLimits
from neuron_whisper.server.transport.send_progress import SendProgress


class LimitedConnection(asyncio.BaseProtocol):
    """Mixin in front of a protocol of uvicorn. Subclasses set `limits` and `read_buffer`, and define `take_turn`.

    What was received is handled a turn at a time; between two of them other connections have their turn.
    """

    limits: ConnectionLimits
    read_buffer: bytearray  # shared by the connections of an event loop, which reads from one at a time
    loop: asyncio.AbstractEventLoop
    transport: asyncio.Transport

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._sending = SendProgress()
        self._next_turn: asyncio.Handle | None = None

    # --- asyncio's callbacks --------------------------------------------------------------------

    def get_buffer(self, sizehint: int) -> bytearray:
        return self.read_buffer

    def buffer_updated(self, n_bytes: int) -> None:
        self.data_received(bytes(memoryview(self.read_buffer)[:n_bytes]))

    def data_received(self, data: bytes) -> None:
        raise NotImplementedError

    def connection_lost(self, exc: Exception | None) -> None:
        if self._next_turn is not None:
            self._next_turn.cancel()
        super().connection_lost(exc)

    def resume_writing(self) -> None:
        self._sending.restart()
        super().resume_writing()

    # --- turns ----------------------------------------------------------------------------------

    def take_turn(self) -> None:
        """Handle a limited part of what was received."""
        raise NotImplementedError

    @property
    def has_next_turn(self) -> bool:
        return self._next_turn is not None

    def schedule_turn(self) -> None:
        """Take a turn after the other connections, unless one is due already."""
        if self._next_turn is None:
            self._next_turn = self.loop.call_soon(self._begin_turn)

    def _begin_turn(self) -> None:
        self._next_turn = None
        self.take_turn()

    # --- unread answers -------------------------------------------------------------------------

    def abort_if_not_read(self, now: float, *, is_waited_for: bool, is_closing: bool) -> None:
        """Abort the connection where its client does not read what was sent to it.

        `is_waited_for`: the server has nothing more to write before the client has read.
        """
        unsent = self.transport.get_write_buffer_size() if is_closing or is_waited_for else 0
        limit_s = self.limits.close_s if is_closing else self.limits.send_timeout_s
        if self._sending.is_stalled(unsent, now, limit_s=limit_s):
            self.limits.count_closed("not_read")
            self.transport.abort()
