"""HTTP connections: how many are open, how long each may take to send and to read, how small its chunks may be."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Any, cast

import h11
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.h11_impl import H11Protocol

from neuron_whisper.server.http.errors import CHUNKS_TOO_SMALL, HEADERS_TOO_LARGE, INVALID_HTTP, RefusedBody
from neuron_whisper.server.http.upload_limits import refuse_body
from neuron_whisper.server.transport.connection_limits import ConnectionLimits
from neuron_whisper.server.transport.piece_budget import PieceBudget
from neuron_whisper.server.transport.refusals import INVALID_HANDSHAKE, TOO_MANY_CONNECTIONS, send_refusal
from neuron_whisper.server.transport.request_target import to_origin_form
from neuron_whisper.server.transport.turns import LimitedConnection
from neuron_whisper.server.transport.websocket_connections import LimitedWebSocketProtocol, find_handshake_problem

READ_BYTES = 16 * 1024  # read at once: what is parsed before other connections have their turn is bounded by it
TURN_EVENTS = 64  # of h11, handled before other connections have their turn


class ChunksTooSmall(h11.RemoteProtocolError):
    """The chunks of a body exceed their PieceBudget."""

    def __init__(self) -> None:
        super().__init__("the chunks of the body are too small; send at least 64 bytes in each")


class MeteredConnection(h11.Connection):
    """h11's parser for a server, which takes a limited number of events at a turn. Raises ChunksTooSmall."""

    def __init__(self) -> None:
        super().__init__(h11.SERVER)
        self._chunks = PieceBudget()
        self._events_left = TURN_EVENTS
        self.has_more = False  # whether the turn ended before the received bytes did
        self.problem: h11.RemoteProtocolError | None = None  # of the client's bytes

    def begin_turn(self) -> None:
        self._events_left, self.has_more = TURN_EVENTS, False

    def next_event(self) -> Any:
        if self._events_left == 0:
            self.has_more = True
            return h11.NEED_DATA
        try:
            event = super().next_event()
            if isinstance(event, h11.Request):
                event = to_origin_form(event)
            if isinstance(event, h11.Data):
                self._events_left -= 1
                if event.chunk_start and not self._chunks.spend(len(event.data)):
                    raise ChunksTooSmall
        except h11.RemoteProtocolError as error:
            self.problem = self.problem or error
            raise
        return event


class TurnFlowControl(FlowControl):
    """uvicorn's flow control, with a second reason not to read: bytes that were read wait for their turn."""

    _is_held = False

    def hold_reading(self) -> None:
        self._is_held = True
        self._transport.pause_reading()

    def release_reading(self) -> None:
        self._is_held = False
        if not self.read_paused:
            self._transport.resume_reading()

    def resume_reading(self) -> None:
        if self._is_held:
            self.read_paused = False
        else:
            super().resume_reading()


class LimitedHttpProtocol(LimitedConnection, H11Protocol, asyncio.BufferedProtocol):
    """uvicorn's HTTP protocol with limits. Subclasses set `limits` and `read_buffer`.

    uvicorn itself waits forever for a first request, for the rest of the headers after their first byte, and for a
    client that reads nothing; and it handles all that it reads at once, 256 KiB, before another connection.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.conn: MeteredConnection = MeteredConnection()
        self._header_timer: asyncio.TimerHandle | None = None
        self._is_websocket = False
        self.idle_since = 0.0

    # --- asyncio's callbacks --------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        super().connection_made(transport)
        self.flow: TurnFlowControl = TurnFlowControl(transport)
        self.idle_since = self.loop.time()
        if not self.limits.make_room(self.connections, self.idle_since):
            self.limits.count_closed("connections")
            message = "all connections of this server are taken; try again later"
            refusal = send_refusal(self.conn, 503, message, code=TOO_MANY_CONNECTIONS, headers={"retry-after": "1"})
            transport.write(refusal)
            transport.close()
            return
        self._start_header_timer()

    def data_received(self, data: bytes) -> None:
        H11Protocol.data_received(self, data)
        self._update_header_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        self._cancel_header_timer()
        super().connection_lost(exc)

    # --- a turn: a limited number of events -----------------------------------------------------

    def handle_events(self) -> None:
        self.conn.begin_turn()
        super().handle_events()
        if self.conn.has_more and not self.has_next_turn and not self.transport.is_closing():
            self.flow.hold_reading()
            self.schedule_turn()

    def take_turn(self) -> None:
        if not self.transport.is_closing():
            self.flow.release_reading()
            self.handle_events()
            self._update_header_timer()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is not valid HTTP, or more than a limit; `msg` is uvicorn's, which says nothing of it.

        A request that has begun answers itself. One whose response has begun gets no other one.
        """
        message, code, status = self._describe_problem()
        if self.is_responding and self.conn.our_state is h11.SEND_RESPONSE:
            refuse_body(self.scope["state"], RefusedBody(message, code))
            self.flow.hold_reading()
            self.cycle.message_event.set()
        elif self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            self._refuse(message, code, status)
        else:
            self.transport.close()

    def _describe_problem(self) -> tuple[str, str, int]:
        """The message, code and status for the client's bytes, which are counted where a limit refuses them."""
        problem = self.conn.problem
        if isinstance(problem, ChunksTooSmall):
            self.limits.count_closed("chunks")
            return str(problem), CHUNKS_TOO_SMALL, 400
        if problem is not None and problem.error_status_hint == HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE:
            self.limits.count_closed("header_bytes")
            return "the request's headers, or those of a chunk, are too large", HEADERS_TOO_LARGE, 431
        return "the request is not valid HTTP", INVALID_HTTP, 400

    def _refuse(self, message: str, code: str, status: int = 400) -> None:
        self.transport.write(send_refusal(self.conn, status, message, code=code))
        self.transport.close()

    # --- time to send the headers, and to read the response -------------------------------------

    def on_response_complete(self) -> None:
        self._sending.restart()
        self.idle_since = self.loop.time()
        super().on_response_complete()
        if self.is_responding:  # the next request has arrived already
            self._cancel_header_timer()
        elif self.conn.trailing_data[0] and self._header_timer is None:  # or a part of it
            self._start_header_timer()

    @property
    def is_responding(self) -> bool:
        """Whether a request's headers have arrived and its response is not complete."""
        return self.cycle is not None and not self.cycle.response_complete

    def _update_header_timer(self) -> None:
        if self._is_websocket:
            return
        if self.is_responding:
            self._cancel_header_timer()
        elif self._header_timer is None:
            self._start_header_timer()

    def _start_header_timer(self) -> None:
        self._header_timer = self.loop.call_later(self.limits.header_timeout_s, self._abort_if_idle)

    def _cancel_header_timer(self) -> None:
        if self._header_timer is not None:
            self._header_timer.cancel()
            self._header_timer = None

    def _abort_if_idle(self) -> None:
        if not self.is_responding and not self.transport.is_closing():
            self.limits.count_closed("headers")
            self.transport.abort()

    def close_if_not_read(self, now: float) -> None:
        """Abort the connection where its client does not read what was sent to it."""
        is_closing = self.transport.is_closing()
        is_waited_for = self.flow.write_paused or not self.is_responding
        self.abort_if_not_read(now, is_waited_for=is_waited_for, is_closing=is_closing)

    # --- from here on a WebSocket protocol owns the connection ----------------------------------

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        if (problem := find_handshake_problem(event)) is not None:
            self.limits.count_closed("handshake")
            self._refuse(problem, INVALID_HANDSHAKE)
            return
        self._is_websocket = True
        self._cancel_header_timer()
        self.connections.discard(self)
        protocol = cast("type[LimitedWebSocketProtocol]", self.ws_protocol_class)(
            config=self.config, server_state=self.server_state, app_state=self.app_state
        )
        protocol.connection_made(self.transport)
        self.transport.set_protocol(protocol)
        protocol.open(event, early_data=self.conn.trailing_data[0])


def create_protocols(limits: ConnectionLimits) -> tuple[type[LimitedHttpProtocol], type[LimitedWebSocketProtocol]]:
    """The protocols of one server's event loop."""
    attributes = {"limits": limits, "read_buffer": bytearray(READ_BYTES)}
    return (
        type("HttpProtocol", (LimitedHttpProtocol,), attributes),
        type("WebSocketProtocol", (LimitedWebSocketProtocol,), attributes),
    )
