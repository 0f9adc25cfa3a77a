"""Connections with limits: how many there are, and how long one may take to send a request's headers."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

SERVICE_UNAVAILABLE = (
    b"HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\nretry-after: 1\r\ncontent-length: 0\r\n\r\n"
)


def create_limited_h11_protocol(*, max_connections: int, header_timeout_s: float) -> type[H11Protocol]:
    """uvicorn's protocol, which closes a connection that comes too many, or that has no request for too long.

    uvicorn itself waits forever for a first request, and for the rest of headers once a byte of them is there.
    """

    class LimitedProtocol(H11Protocol):
        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
            super().connection_made(transport)
            self._is_socket = False
            self._headers_due: asyncio.TimerHandle | None = None
            if len(self.connections) > max_connections:
                transport.write(SERVICE_UNAVAILABLE)
                transport.close()
                return
            self._await_headers()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if self._is_socket:
                return
            if self._answers():
                self._forget_headers()
            elif self._headers_due is None:
                self._await_headers()

        def on_response_complete(self) -> None:
            super().on_response_complete()
            if self._answers():  # the next request was here already
                self._forget_headers()
            elif self.conn.trailing_data[0] and self._headers_due is None:  # or a piece of it
                self._await_headers()

        def connection_lost(self, exc: Exception | None) -> None:
            self._forget_headers()
            super().connection_lost(exc)

        def _answers(self) -> bool:
            """Whether a request's headers are here and its answer is not over."""
            return self.cycle is not None and not self.cycle.response_complete

        def _await_headers(self) -> None:
            self._headers_due = self.loop.call_later(header_timeout_s, self._give_up)

        def _forget_headers(self) -> None:
            if self._headers_due is not None:
                self._headers_due.cancel()
                self._headers_due = None

        def _give_up(self) -> None:
            if not self._answers() and not self.transport.is_closing():
                self.transport.abort()

        # a connection that became a WebSocket has another protocol from then on, and no headers to come
        def handle_websocket_upgrade(self, event: Any) -> None:
            self._is_socket = True
            self._forget_headers()
            super().handle_websocket_upgrade(event)

    return LimitedProtocol
