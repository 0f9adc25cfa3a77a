"""Limits on HTTP connections: how many are open, and how long one may take to send a request's headers."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

SERVICE_UNAVAILABLE = (
    b"HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\nretry-after: 1\r\ncontent-length: 0\r\n\r\n"
)


def create_limited_h11_protocol(*, max_connections: int, header_timeout_s: float) -> type[H11Protocol]:
    """uvicorn's HTTP protocol with a limit on open connections and a timeout for request headers.

    uvicorn itself waits forever for a first request, and for the rest of the headers after their first byte.
    """

    class LimitedProtocol(H11Protocol):
        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
            super().connection_made(transport)
            self._is_websocket = False
            self._header_timer: asyncio.TimerHandle | None = None
            if len(self.connections) > max_connections:
                transport.write(SERVICE_UNAVAILABLE)
                transport.close()
                return
            self._start_header_timer()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if self._is_websocket:
                return
            if self._is_responding():
                self._cancel_header_timer()
            elif self._header_timer is None:
                self._start_header_timer()

        def on_response_complete(self) -> None:
            super().on_response_complete()
            if self._is_responding():  # the next request has arrived already
                self._cancel_header_timer()
            elif self.conn.trailing_data[0] and self._header_timer is None:  # or a part of it
                self._start_header_timer()

        def connection_lost(self, exc: Exception | None) -> None:
            self._cancel_header_timer()
            super().connection_lost(exc)

        def _is_responding(self) -> bool:
            """Whether a request's headers have arrived and its response is not complete."""
            return self.cycle is not None and not self.cycle.response_complete

        def _start_header_timer(self) -> None:
            self._header_timer = self.loop.call_later(header_timeout_s, self._abort_if_idle)

        def _cancel_header_timer(self) -> None:
            if self._header_timer is not None:
                self._header_timer.cancel()
                self._header_timer = None

        def _abort_if_idle(self) -> None:
            if not self._is_responding() and not self.transport.is_closing():
                self.transport.abort()

        # from here on a WebSocket protocol owns the connection: no more request headers will arrive
        def handle_websocket_upgrade(self, event: Any) -> None:
            self._is_websocket = True
            self._cancel_header_timer()
            super().handle_websocket_upgrade(event)

    return LimitedProtocol
