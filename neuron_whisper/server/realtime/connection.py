"""One WebSocket connection, whatever its protocol: handshake, messages, drain, close."""

from __future__ import annotations

import asyncio
import logging
import secrets
from abc import ABC, abstractmethod
from contextlib import AsyncExitStack, suppress
from typing import Any, cast

import msgspec
from litestar import Request, Response, WebSocket
from litestar.exceptions import HTTPException, WebSocketDisconnect

from neuron_whisper.audio.pcm import PcmStream
from neuron_whisper.audio.silero.network import load_silero_model
from neuron_whisper.errors import (
    CapacityError,
    CheckpointError,
    DeviceError,
    EngineDraining,
    InputError,
    MissingOption,
    NeuronWhisperError,
    TextTooLong,
)
from neuron_whisper.live import FinalText, LiveEvent, LiveOptions, LiveSession, PartialText
from neuron_whisper.server.http.errors import TEXT_TOO_LONG, AuthenticationFailed, handle_exception, make_error_response
from neuron_whisper.server.http.origins import PageOrigins
from neuron_whisper.server.http.request_context import RequestContext
from neuron_whisper.server.realtime.config import PCM_RATE
from neuron_whisper.server.state import ServerState
from neuron_whisper.text.tokenizer import Tokenizer

log = logging.getLogger(__name__)

AnySocket = WebSocket[Any, Any, Any]
SEND_TIMEOUT_S = 30.0  # a client that reads nothing for this long is gone
DRAIN_READ_S = 0.3  # time to read what was sent before the drain began
THREAD_FROM_BYTES = 64 * 1024  # messages of this size are converted in a thread, not in the event loop

NORMAL_CLOSURE, GOING_AWAY, POLICY_VIOLATION, INTERNAL_ERROR, TRY_AGAIN_LATER = 1000, 1001, 1008, 1011, 1013


class SessionClosed(Exception):
    """Ends the session with this close code; with `finishes`, the pending text is sent first."""

    def __init__(self, code: int, reason: str, *, finishes: bool = False, error: Exception | None = None):
        self.code, self.reason, self.finishes, self.error = code, reason, finishes, error
        super().__init__(reason)


class RealtimeConnection(ABC):
    """One client on one socket. Subclasses implement the protocol; `run` handles the connection to its end."""

    tokenizer: Tokenizer
    model: str

    def __init__(self, socket: AnySocket, server_state: ServerState) -> None:
        self.socket, self.server_state = socket, server_state
        self.id = f"sess_{secrets.token_hex(12)}"
        context = RequestContext.from_scope(socket.scope)
        self.log_fields, self._client = context.log_fields, context.client
        self.log_fields |= {"utterances": 0, "partials": 0}
        self._resources = AsyncExitStack()
        self._live: LiveSession | None = None
        self._writer: asyncio.Task[None] | None = None
        self._send_lock = asyncio.Lock()

    @property
    def live(self) -> LiveSession:
        assert self._live is not None
        return self._live

    # --- the protocol, by subclasses ---------------------------------------------------------------

    @abstractmethod
    async def on_handshake(self) -> None:
        """Choose the model and `start_live_session`. Raises InputError and CapacityError: the handshake is rejected."""

    @abstractmethod
    async def on_open(self) -> None:
        """Send the first message, when the socket is open."""

    @abstractmethod
    async def on_message(self, message: str | bytes) -> None:
        """Handle a message. Raises InputError, which is sent to the client, and SessionClosed."""

    @abstractmethod
    async def send_event(self, event: LiveEvent) -> None:
        """Send an event of the live session."""

    @abstractmethod
    async def send_error(self, error: Exception) -> None:
        """Send an error message."""

    async def on_close(self) -> None:  # noqa: B027 - optional
        """Send the last message, after the last text, where the client asked to close."""

    # --- life cycle -------------------------------------------------------------------------------

    async def run(self) -> None:
        """Handle the connection from the handshake to the end. Raises nothing but cancellation."""
        with suppress(EngineDraining):  # a cancellation is converted to it when the drain reaches its deadline
            await self._run()

    async def _run(self) -> None:
        code = NORMAL_CLOSURE
        async with AsyncExitStack() as resources:
            try:
                check_origin(self.socket, self.server_state.allowed_origins)
                resources.enter_context(self.server_state.track_request())
                resources.enter_context(self.server_state.acquire_session(self._client))
                await self.on_handshake()
            except (NeuronWhisperError, HTTPException) as error:
                await reject_handshake(self.socket, error)
                return
            try:
                await self.socket.accept(subprotocols=_select_subprotocol(self.socket))
                code = await self._run_open()
            except (WebSocketDisconnect, TimeoutError, OSError):
                code = 0  # the client is gone, or reads nothing
            except asyncio.CancelledError:
                code = GOING_AWAY
                with suppress(Exception):
                    await self.socket.close(code, "the server is shutting down")
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
        except CapacityError as error:
            await self.send_error(error)
            code, reason = TRY_AGAIN_LATER, "no capacity"
        except DeviceError as error:
            await self.send_error(error)
            code, reason = TRY_AGAIN_LATER, "the device failed"
        except (WebSocketDisconnect, TimeoutError, OSError):
            raise
        except Exception as error:
            log.exception("realtime session failed id=%s", self.id)
            await self.send_error(error)
            code, reason = INTERNAL_ERROR, "internal server error"
        await self.socket.close(code, reason)
        return code

    async def _exchange_messages(self) -> None:
        """Read and write until the client, the writer or the server ends it. Raises SessionClosed and their errors."""
        reader = asyncio.create_task(self._read_messages())
        drain = asyncio.create_task(self.server_state.drain_started.wait())
        revocation = asyncio.create_task(self._wait_until_revoked())
        ends: set[asyncio.Task[Any]] = {reader, drain, revocation}
        try:
            while not any(task.done() for task in ends):
                writer = self._writer
                assert writer is not None
                await asyncio.wait({*ends, writer}, return_when=asyncio.FIRST_COMPLETED)
                if writer.done() and writer is self._writer:
                    writer.result()
                    return
            if revocation.done():
                error = AuthenticationFailed(key_was_sent=True)
                raise SessionClosed(POLICY_VIOLATION, "the API key was revoked", error=error)
            if not reader.done():
                await asyncio.wait({reader}, timeout=DRAIN_READ_S)
            if reader.done():
                reader.result()
            raise SessionClosed(GOING_AWAY, "the server is shutting down", finishes=True)
        finally:
            for task in ends:
                task.cancel()
            await asyncio.gather(*ends, return_exceptions=True)

    async def _wait_until_revoked(self) -> None:
        """Return when the client's API key was revoked; without keys never."""
        keys = self.server_state.gateway.api_keys
        if keys is None or self._client is None:
            await asyncio.Event().wait()
        else:
            await keys.wait_until_revoked(self._client)

    async def _read_messages(self) -> None:
        idle_s = self.server_state.settings.realtime_idle_s
        while True:
            try:
                async with asyncio.timeout(idle_s):
                    message = await self.socket.receive()
            except TimeoutError:
                error = MissingOption("message", f"send one at least every {idle_s:g} seconds")
                raise SessionClosed(POLICY_VIOLATION, "no message for too long", finishes=True, error=error) from None
            if message["type"] != "websocket.receive":
                raise WebSocketDisconnect(detail="the client is gone", code=1005)
            text, data = message.get("text"), message.get("bytes")
            try:
                await self.on_message(text if text is not None else data or b"")
            except InputError as input_error:
                if isinstance(input_error, TextTooLong):
                    self.server_state.gateway.metrics.count_rejected(TEXT_TOO_LONG)
                await self.send_error(input_error)

    async def start_live_session(self, model: str | None, options: LiveOptions) -> None:
        """Start a live session with a model, in place of the previous one. Raises InputError, CapacityError."""
        async with AsyncExitStack() as resources:
            transcriber = await resources.enter_async_context(self.server_state.models.use(model))
            # in a thread: the first session loads the voice detector
            live = await asyncio.to_thread(
                transcriber.live, options, max_buffered_s=self.server_state.settings.realtime_buffer_s
            )
            resources.push_async_callback(live.aclose)
            previous, self._resources = self._resources, resources.pop_all()
        self._live, self.tokenizer, self.model = live, transcriber.tokenizer, self.server_state.models.find(model).id
        self._writer, writer = asyncio.create_task(self._write_events(live)), self._writer
        await self._release(previous, writer)

    async def _write_events(self, live: LiveSession) -> None:
        async for event in live:
            if isinstance(event, (PartialText, FinalText)):
                name = "partials" if isinstance(event, PartialText) else "utterances"
                self.log_fields[name] = cast("int", self.log_fields[name]) + 1
            await self.send_event(event)

    async def _release(self, resources: AsyncExitStack, writer: asyncio.Task[None] | None) -> None:
        """Free the slot and the model of a live session, and stop its writer."""
        await resources.aclose()
        if writer is not None:
            writer.cancel()
            await asyncio.gather(writer, return_exceptions=True)

    async def send(self, message: dict[str, Any]) -> None:
        """Send one JSON message. Raises TimeoutError when the client does not read it."""
        async with self._send_lock, asyncio.timeout(SEND_TIMEOUT_S):
            await self.socket.send_text(msgspec.json.encode(message).decode())


def warm_up() -> None:
    """Load what the first session would wait seconds for: the voice detector and the filter of the usual rate."""
    with suppress(CheckpointError):  # without its weights there is no voice activity detection
        load_silero_model()
    PcmStream("pcm16", PCM_RATE).push(bytes(4096))


async def create_pcm_stream(encoding: str, rate: int) -> PcmStream:
    """Create a stream in a thread: its filter is designed and its library loaded there. Raises InvalidOption."""

    def create() -> PcmStream:
        PcmStream(encoding, rate).push(bytes(4096))
        return PcmStream(encoding, rate)

    return await asyncio.to_thread(create)


def read_query(socket: AnySocket) -> dict[str, str]:
    """The query parameters of the URL, stripped; a blank one is absent."""
    stripped = {name: str(value).strip() for name, value in socket.query_params.items()}
    return {name: value for name, value in stripped.items() if value}


def check_origin(socket: AnySocket, allowed: PageOrigins) -> None:
    """Raises HTTPException for a page of another origin: browsers send no preflight request for WebSockets."""
    origin = socket.headers.get("origin")
    if not allowed.allows(origin, socket.headers.get("host")):
        detail = f"origin {(origin or '')[:80]} is not allowed; the server's operator allows it with --cors-origins"
        raise HTTPException(detail=detail, status_code=403)


def _select_subprotocol(socket: AnySocket) -> str | None:
    """Accept "realtime", which browsers offer together with their key and expect to be accepted."""
    return "realtime" if "realtime" in socket.scope.get("subprotocols", ()) else None


def build_error_object(socket: AnySocket, error: Exception) -> dict[str, Any]:
    """OpenAI's error object: message, type, param, code."""
    error_object = build_error_response(socket, error).content["error"]
    assert isinstance(error_object, dict)
    return error_object


def build_error_response(socket: AnySocket, error: Exception) -> Response[dict[str, Any]]:
    """The response that an HTTP request would get."""
    if isinstance(error, HTTPException):  # of check_origin: Litestar rejects unknown paths before they get here
        return make_error_response(error.status_code, error.detail, code="origin_not_allowed")
    return handle_exception(cast("Request[Any, Any, Any]", socket), error)


async def reject_handshake(socket: AnySocket, error: Exception) -> None:
    """Respond to the handshake as to a request: with a status, an error object, and Retry-After."""
    response = build_error_response(socket, error)
    body, status = msgspec.json.encode(response.content), response.status_code or 500
    context = RequestContext.from_scope(socket.scope)
    context.status, context.error_code = status, response.content["error"]["code"] or ""
    if "websocket.http.response" not in (socket.scope.get("extensions") or {}):
        await socket.close(POLICY_VIOLATION if status < 500 else TRY_AGAIN_LATER, "refused")
        return
    headers = {"content-type": "application/json", "x-request-id": context.id, **response.headers}
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
