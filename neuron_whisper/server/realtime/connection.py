"""A socket's life, whatever it speaks: let in or refused, heard while it says something, drained, closed."""

from __future__ import annotations

import asyncio
import logging
import secrets
from abc import ABC, abstractmethod
from contextlib import AsyncExitStack, suppress
from typing import Any, cast
from urllib.parse import urlsplit

import msgspec
from litestar import Request, Response, WebSocket
from litestar.exceptions import HTTPException, WebSocketDisconnect

from neuron_whisper.audio.pcm import PcmStream
from neuron_whisper.audio.silero import load_silero_model
from neuron_whisper.errors import (
    CapacityError,
    CheckpointError,
    DeviceError,
    EngineDraining,
    InputError,
    InvalidOption,
    NeuronWhisperError,
)
from neuron_whisper.live import FinalText, LiveEvent, LiveOptions, LiveSession, PartialText
from neuron_whisper.server.http.errors import handle_exception, make_error_response
from neuron_whisper.server.http.request_context import RequestContext
from neuron_whisper.server.realtime.config import PCM_RATE
from neuron_whisper.server.state import ServerState
from neuron_whisper.text.tokenizer import Tokenizer

log = logging.getLogger(__name__)

AnySocket = WebSocket[Any, Any, Any]
SEND_TIMEOUT_S = 30.0  # a client that takes nothing for so long is gone
DRAIN_READ_S = 0.3  # for what was sent before the drain began
THREAD_FROM_BYTES = 64 * 1024  # of audio, which the event loop does not convert itself

NORMAL_CLOSURE, GOING_AWAY, POLICY_VIOLATION, INTERNAL_ERROR, TRY_AGAIN_LATER = 1000, 1001, 1008, 1011, 1013


class SessionClosed(Exception):
    """The session ends with this close code, after its last words where `finishes`."""

    def __init__(self, code: int, reason: str, *, finishes: bool = False, error: NeuronWhisperError | None = None):
        self.code, self.reason, self.finishes, self.error = code, reason, finishes, error
        super().__init__(reason)


class RealtimeConnection(ABC):
    """One client on one socket. What it speaks is its subclass's; `run` is the whole of its life."""

    tokenizer: Tokenizer
    model: str

    def __init__(self, socket: AnySocket, server_state: ServerState) -> None:
        self.socket, self.server_state = socket, server_state
        self.id = f"sess_{secrets.token_hex(12)}"
        self.log_fields = RequestContext.from_scope(socket.scope).log_fields
        self.log_fields |= {"utterances": 0, "partials": 0}
        self._resources = AsyncExitStack()
        self._live: LiveSession | None = None
        self._writer: asyncio.Task[None] | None = None
        self._send_lock = asyncio.Lock()

    @property
    def live(self) -> LiveSession:
        assert self._live is not None
        return self._live

    # --- what a subclass says ---------------------------------------------------------------------

    @abstractmethod
    async def on_handshake(self) -> None:
        """Choose the model and `start_live_session`. Raises InputError and CapacityError: the client is not let in."""

    @abstractmethod
    async def on_open(self) -> None:
        """The first words, when the socket is open."""

    @abstractmethod
    async def on_message(self, message: str | bytes) -> None:
        """A message. Raises InputError, which the client is told, and Ended."""

    @abstractmethod
    async def send_event(self, event: LiveEvent) -> None:
        """An event of the live session."""

    @abstractmethod
    async def send_error(self, fault: Exception) -> None:
        """Something was wrong."""

    async def on_close(self) -> None:  # noqa: B027 - most say nothing
        """The last words, after the last text, where the client asked for the end."""

    # --- its life ---------------------------------------------------------------------------------

    async def run(self) -> None:
        """From the handshake to the end. Raises nothing but cancellation."""
        with suppress(EngineDraining):  # what a cancellation becomes when the drain's patience is at its end
            await self._run()

    async def _run(self) -> None:
        code = NORMAL_CLOSURE
        async with AsyncExitStack() as held:
            try:
                check_origin(self.socket)
                held.enter_context(self.server_state.track_request())
                held.enter_context(self.server_state.session_limiter.acquire())
                await self.on_handshake()
            except (NeuronWhisperError, HTTPException) as fault:
                await reject_handshake(self.socket, fault)
                return
            try:
                await self.socket.accept(subprotocols=_select_subprotocol(self.socket))
                code = await self._run_open()
            except (WebSocketDisconnect, TimeoutError, OSError):
                code = 0  # the client is gone, or takes nothing
            except asyncio.CancelledError:
                code = GOING_AWAY
                with suppress(Exception):
                    await self.socket.close(code, "the server ends")
                raise
            finally:
                if self._live is not None:
                    self.log_fields |= {"audio_s": f"{self._live.fed_s:.2f}", "close": code}
                await self._release(self._resources, self._writer)

    async def _run_open(self) -> int:
        await self.on_open()
        try:
            await self._exchange_messages()
            code, reason = NORMAL_CLOSURE, ""
        except SessionClosed as end:
            code, reason = end.code, end.reason
            if end.error is not None:
                await self.send_error(end.error)
            if end.finishes:
                await self.live.finish()
                assert self._writer is not None
                await self._writer
                if code == NORMAL_CLOSURE:
                    await self.on_close()
        except CapacityError as fault:
            await self.send_error(fault)
            code, reason = TRY_AGAIN_LATER, "no room"
        except DeviceError as fault:
            await self.send_error(fault)
            code, reason = TRY_AGAIN_LATER, "the device failed"
        except (WebSocketDisconnect, TimeoutError, OSError):
            raise
        except Exception as fault:
            log.exception("realtime session failed id=%s", self.id)
            await self.send_error(fault)
            code, reason = INTERNAL_ERROR, "the server failed at this session"
        await self.socket.close(code, reason)
        return code

    async def _exchange_messages(self) -> None:
        """Hear and tell, until the client, the writer or the server ends it. Raises Ended and what they raise."""
        reader = asyncio.create_task(self._read_messages())
        drain = asyncio.create_task(self.server_state.drain_started.wait())
        watched: set[asyncio.Task[Any]] = {reader, drain}
        try:
            while not reader.done() and not drain.done():
                writer = self._writer
                assert writer is not None
                await asyncio.wait({*watched, writer}, return_when=asyncio.FIRST_COMPLETED)
                if writer.done() and writer is self._writer:
                    writer.result()
                    return
            if not reader.done():
                await asyncio.wait({reader}, timeout=DRAIN_READ_S)
            if reader.done():
                reader.result()
            raise SessionClosed(GOING_AWAY, "the server is ending", finishes=True)
        finally:
            for task in (reader, drain):
                task.cancel()
            await asyncio.gather(reader, drain, return_exceptions=True)

    async def _read_messages(self) -> None:
        idle_s = self.server_state.settings.realtime_idle_s
        while True:
            try:
                async with asyncio.timeout(idle_s):
                    message = await self.socket.receive()
            except TimeoutError:
                error = InvalidOption("message", "none", f"at least one in {idle_s:g} seconds")
                raise SessionClosed(
                    POLICY_VIOLATION, "nothing was sent for too long", finishes=True, error=error
                ) from None
            if message["type"] != "websocket.receive":
                raise WebSocketDisconnect(detail="the client is gone", code=1005)
            text, data = message.get("text"), message.get("bytes")
            try:
                await self.on_message(text if text is not None else data or b"")
            except InputError as fault:
                await self.send_error(fault)

    async def start_live_session(self, model: str | None, options: LiveOptions) -> None:
        """Begin a live session of a model, in the place of the one before. Raises InputError, CapacityError."""
        async with AsyncExitStack() as held:
            transcriber = await held.enter_async_context(self.server_state.models.use(model))
            # in a thread: the first one loads the voice detector
            live = await asyncio.to_thread(
                transcriber.live, options, max_buffered_s=self.server_state.settings.realtime_buffer_s
            )
            held.push_async_callback(live.aclose)
            before, self._resources = self._resources, held.pop_all()
        self._live, self.tokenizer, self.model = live, transcriber.tokenizer, self.server_state.models.find(model).id
        self._writer, writer = asyncio.create_task(self._write_events(live)), self._writer
        await self._release(before, writer)

    async def _write_events(self, live: LiveSession) -> None:
        async for event in live:
            if isinstance(event, (PartialText, FinalText)):
                name = "partials" if isinstance(event, PartialText) else "utterances"
                self.log_fields[name] = cast("int", self.log_fields[name]) + 1
            await self.send_event(event)

    async def _release(self, resources: AsyncExitStack, writer: asyncio.Task[None] | None) -> None:
        """Free what a live session decodes in, and its model."""
        await resources.aclose()
        if writer is not None:
            writer.cancel()
            await asyncio.gather(writer, return_exceptions=True)

    async def send(self, message: dict[str, Any]) -> None:
        """One JSON message. Raises TimeoutError when the client does not take it."""
        async with self._send_lock, asyncio.timeout(SEND_TIMEOUT_S):
            await self.socket.send_text(msgspec.json.encode(message).decode())


def warm_up() -> None:
    """What the first speaker would wait for: the voice detector, and the filter of the usual rate. Takes seconds."""
    with suppress(CheckpointError):  # without its weights there is none
        load_silero_model()
    PcmStream("pcm16", PCM_RATE).push(bytes(4096))


async def create_pcm_stream(encoding: str, rate: int) -> PcmStream:
    """A stream whose filter is designed, and its library loaded, outside the event loop. Raises InvalidOption."""

    def made() -> PcmStream:
        PcmStream(encoding, rate).push(bytes(4096))
        return PcmStream(encoding, rate)

    return await asyncio.to_thread(made)


def check_origin(socket: AnySocket) -> None:
    """Raises HTTPException for a browser's page from elsewhere: no browser asks first before it opens a socket."""
    origin = socket.headers.get("origin")
    if origin is not None and urlsplit(origin).netloc != socket.headers.get("host"):
        raise HTTPException(detail=f"pages of {origin[:80]} may not open sockets here", status_code=403)


def _select_subprotocol(socket: AnySocket) -> str | None:
    """Browsers offer "realtime" beside their key, and want it taken."""
    return "realtime" if "realtime" in socket.scope.get("subprotocols", ()) else None


def build_error_object(socket: AnySocket, fault: Exception) -> dict[str, Any]:
    """OpenAI's error object: message, type, param, code."""
    error = build_error_response(socket, fault).content["error"]
    assert isinstance(error, dict)
    return error


def build_error_response(socket: AnySocket, fault: Exception) -> Response[dict[str, Any]]:
    """What an HTTP request would be answered."""
    if isinstance(fault, HTTPException):  # ours: Litestar refuses a path before it comes here
        return make_error_response(fault.status_code, fault.detail, code="origin_not_allowed")
    return handle_exception(cast("Request[Any, Any, Any]", socket), fault)


async def reject_handshake(socket: AnySocket, fault: Exception) -> None:
    """Answer the handshake as a request would be: with a status, an error object, and Retry-After."""
    response = build_error_response(socket, fault)
    body, status = msgspec.json.encode(response.content), response.status_code or 500
    record = RequestContext.from_scope(socket.scope)
    record.status, record.error_code = status, response.content["error"]["code"] or ""
    if "websocket.http.response" not in (socket.scope.get("extensions") or {}):
        await socket.close(POLICY_VIOLATION if status < 500 else TRY_AGAIN_LATER, "refused")
        return
    headers = {"content-type": "application/json", **response.headers}
    await socket.send(
        cast(
            Any,
            {
                "type": "websocket.http.response.start",
                "status": status,
                "headers": [(name.lower().encode(), str(value).encode()) for name, value in headers.items()],
            },
        )
    )
    await socket.send(cast(Any, {"type": "websocket.http.response.body", "body": body}))
