"""WebSocket connections: how small their frames may be, how long a client may take to read."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from contextlib import suppress
from http import HTTPStatus
from typing import Any

import h11
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.datastructures import Headers
from websockets.exceptions import InvalidState, ProtocolError
from websockets.frames import CloseCode, Frame, Opcode
from websockets.http11 import Request, Response
from websockets.protocol import Protocol
from websockets.server import ServerProtocol

from neuron_whisper.server.transport.piece_budget import PieceBudget
from neuron_whisper.server.transport.refusals import INVALID_HANDSHAKE, build_refusal
from neuron_whisper.server.transport.turns import LimitedConnection

SLICE_BYTES = 1024  # parsed at once: at most 170 frames
TURN_FRAMES = 64  # handled before other connections have their turn
MAX_FRAGMENTS = 16 * 1024  # of one message: 16 MiB in pieces of 1 KiB


def find_handshake_problem(request: h11.Request) -> str | None:
    """Why a request to upgrade the connection to a WebSocket is refused, None where it is not."""
    if request.method != b"GET" or request.http_version != b"1.1":
        return "a WebSocket is opened with GET and HTTP/1.1"
    for name, value in request.headers:
        if name == b"transfer-encoding" or (name == b"content-length" and value.strip(b"0")):
            return "the request that opens a WebSocket has no body"
    return None


class MeteredFrames(ServerProtocol):
    """websockets' protocol of a server, with limits on frames, for a handshake that h11 has parsed.

    websockets' own parser of the handshake has limits of its own, and says nothing where they are exceeded.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._frames = PieceBudget()
        self._n_fragments = 0
        self.n_frames = 0
        self.limit_exceeded = False

    def accept(self, request: Request) -> Response:
        response = super().accept(request)
        if response.status_code == HTTPStatus.SWITCHING_PROTOCOLS:
            return response
        headers, body = build_refusal(response.status_code, f"{self.handshake_exc}", code=INVALID_HANDSHAKE)
        return Response(response.status_code, response.reason_phrase, Headers(headers), body)

    def parse(self) -> Generator[None]:
        yield from Protocol.parse(self)

    def recv_frame(self, frame: Frame) -> None:
        self.n_frames += 1
        if frame.opcode in (Opcode.TEXT, Opcode.BINARY):
            self._n_fragments = 0
        self._n_fragments += frame.opcode is Opcode.CONT
        if not self._frames.spend(len(frame.data)) or self._n_fragments > MAX_FRAGMENTS:
            self.limit_exceeded = True
            raise ProtocolError("too many small frames; send at least 64 bytes in each")
        super().recv_frame(frame)

    def fail(self, code: CloseCode | int, reason: str = "") -> None:
        super().fail(CloseCode.POLICY_VIOLATION if self.limit_exceeded else code, reason)


class LimitedWebSocketProtocol(LimitedConnection, WebSocketsSansIOProtocol, asyncio.BufferedProtocol):
    """uvicorn's WebSocket protocol with limits. Subclasses set `limits` and `read_buffer`.

    Received bytes are parsed a slice at a time, and only while the application has handled what was parsed before.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.conn: MeteredFrames = MeteredFrames(max_size=self.config.ws_max_size, logger=self.logger)
        self.close_timeout = self.limits.close_s
        self._received = bytearray()  # not parsed yet

    def open(self, request: h11.Request, early_data: bytes) -> None:
        """Answer the handshake. `early_data` came with it, and is kept until the application has accepted."""
        headers = Headers()
        for name, value in request.headers:
            headers.set_insecure(name.decode("ascii"), value.decode("latin-1"))
        self._received += early_data
        self.handle_connect(Request(request.target.decode("ascii"), headers))
        if self.response.status_code != HTTPStatus.SWITCHING_PROTOCOLS:
            self.limits.count_closed("handshake")

    # --- asyncio's callbacks --------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        self._received += data
        if not self.has_next_turn:
            self.take_turn()

    # --- a turn: a limited number of frames -----------------------------------------------------

    def take_turn(self) -> None:
        end = self.conn.n_frames + TURN_FRAMES
        while self._received and self._is_ready() and self.conn.n_frames < end:
            piece = bytes(self._received[:SLICE_BYTES])
            del self._received[:SLICE_BYTES]
            WebSocketsSansIOProtocol.data_received(self, piece)
        self._continue()

    def _is_ready(self) -> bool:
        """Whether received bytes may be parsed: the handshake is done and the application waits for a message."""
        return self.handshake_complete and not self.read_paused and not self.transport.is_closing()

    def _continue(self) -> None:
        """Read on, or parse on where bytes are left; neither before the application is ready."""
        if self.transport.is_closing():
            return
        if not self._received and not self.read_paused:
            self.transport.resume_reading()
            return
        self.transport.pause_reading()
        if self._received and self._is_ready():
            self.schedule_turn()

    # --- the application ------------------------------------------------------------------------

    async def receive(self) -> Any:
        await asyncio.sleep(0)  # other connections have their turn after each message
        message = await self.queue.get()
        if self.read_paused and self.queue.empty():
            self.read_paused = False
            self._continue()
        return message

    async def send(self, message: Any) -> None:
        await super().send(message)
        if message["type"] == "websocket.http.response.body" and not message.get("more_body", False):
            self.handshake_complete = True  # uvicorn takes it for a handshake that was never answered, and logs that
        if message["type"] in ("websocket.accept", "websocket.close"):  # what came before may be parsed now
            self._continue()

    # --- messages and control frames ------------------------------------------------------------

    def send_receive_event_to_app(self) -> None:
        if self.curr_msg_data_type == "text" and not self.close_sent:
            try:
                b"".join(self.frames).decode()
            except UnicodeDecodeError:
                self.frames = []
                self._refuse_text()
                return
        super().send_receive_event_to_app()

    def _refuse_text(self) -> None:
        """Close with 1007, as RFC 6455 demands for text that is not UTF-8."""
        self.limits.count_closed("utf8")
        with suppress(InvalidState):  # the client has closed already
            self.conn.send_close(CloseCode.INVALID_DATA, "text must be UTF-8")
        super().handle_parser_exception()

    def handle_parser_exception(self) -> None:
        if self.conn.limit_exceeded:
            self.limits.count_closed("frames")
        super().handle_parser_exception()

    def handle_ping(self) -> None:
        if self.writable.is_set():
            super().handle_ping()
        else:  # the client does not read: pongs would fill the memory
            self.conn.data_to_send()

    def send_keepalive_ping(self) -> None:
        if self.writable.is_set():
            super().send_keepalive_ping()
        else:
            self.schedule_ping()

    def close_if_not_read(self, now: float) -> None:
        """Abort the connection where its client does not read what was sent to it."""
        is_closing = self.transport.is_closing() or self.close_sent
        self.abort_if_not_read(now, is_waited_for=not self.writable.is_set(), is_closing=is_closing)
