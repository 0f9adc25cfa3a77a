"""Who may come in, and one id and one log line of facts for every request."""

from __future__ import annotations

import logging
import re
import secrets
import time
from collections.abc import Iterable
from typing import Any, cast
from urllib.parse import quote

import msgspec
from litestar import Litestar
from litestar.connection import ASGIConnection
from litestar.enums import ScopeType
from litestar.handlers import BaseRouteHandler
from litestar.types import (
    HTTPScope,
    LifeSpanReceive,
    LifeSpanScope,
    LifeSpanSend,
    Message,
    Receive,
    Scope,
    Send,
    WebSocketScope,
)

from neuron_whisper.server.config.settings import ServerSettings
from neuron_whisper.server.http.api_keys import Client, KeyRing
from neuron_whisper.server.http.errors import NoKey, NotAllowed, error_response
from neuron_whisper.server.http.request_context import CURRENT, STATE_KEY, RequestRecord
from neuron_whisper.server.http.upload_limits import watched
from neuron_whisper.server.observability.metrics import Metrics
from neuron_whisper.server.observability.tracing import Tracing

log = logging.getLogger(__name__)

ID_HEADER = b"x-request-id"
SANE_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
SUBPROTOCOL_KEY = "openai-insecure-api-key."  # a browser's socket cannot send headers: OpenAI's way round it
GUARDED = "/v1"

AnyConnection = ASGIConnection[Any, Any, Any, Any]


class Front:
    """What stands before the routes: the keys, if there are any, the limits on uploads, the metrics."""

    def __init__(self, settings: ServerSettings, metrics: Metrics) -> None:
        """Raises InvalidOption when there is to be a file of keys and it cannot be read, or traces and no SDK."""
        self.settings, self.metrics = settings, metrics
        self.tracing = Tracing(settings.otlp_endpoint) if settings.otlp_endpoint is not None else None
        self.keys = KeyRing(settings.keys_file) if settings.keys_file is not None else None

    def client_of(self, scope: Scope) -> Client:
        """Who asks. Raises NoKey."""
        if self.keys is None:
            host, _ = scope.get("client") or ("unknown", 0)
            return Client(id=host)
        key = _presented(scope["headers"], is_socket=scope["type"] == ScopeType.WEBSOCKET)
        if not key:
            raise NoKey(is_wrong=False)
        client = self.keys.client_of(key)
        if client is None:
            raise NoKey(is_wrong=True)
        return client


class RecordedApp(Litestar):
    """Litestar, with an id on every response and a log line for every request, also where no route is.

    Every WebSocket needs a key where there are keys: it is refused with 401 before it is one.
    """

    front: Front

    async def __call__(
        self, scope: Scope | LifeSpanScope, receive: Receive | LifeSpanReceive, send: Send | LifeSpanSend
    ) -> None:
        if scope["type"] == ScopeType.HTTP:
            await self._recorded(cast("HTTPScope", scope), cast("Receive", receive), cast("Send", send))
        elif scope["type"] == ScopeType.WEBSOCKET:
            await self._socket(cast("WebSocketScope", scope), cast("Receive", receive), cast("Send", send))
        else:
            await super().__call__(scope, receive, send)

    async def _recorded(self, scope: HTTPScope, receive: Receive, send: Send) -> None:
        record = _begin(scope)
        settings = self.front.settings

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                record.status = message["status"]
                message["headers"] = [*message["headers"], (ID_HEADER, record.id.encode())]
            await send(message)

        in_time = watched(receive, idle_s=settings.upload_idle_s, least_bytes_s=settings.upload_least_bytes_s)
        try:
            await super().__call__(scope, in_time, send_with_id)
        finally:
            self._end(record, scope, scope["method"])

    async def _socket(self, scope: WebSocketScope, receive: Receive, send: Send) -> None:
        record = _begin(scope)

        async def watched_send(message: Message) -> None:
            if message["type"] == "websocket.accept":
                record.status = 101
            await send(message)

        try:
            record.client = self.front.client_of(scope)
            await super().__call__(scope, receive, watched_send)
        except NoKey as fault:
            record.status, record.code = 401, "invalid_api_key"
            await _refuse_socket(scope, send, str(fault), record)
        finally:
            self._end(record, scope, "SOCKET")

    def _end(self, record: RequestRecord, scope: Scope, method: str) -> None:
        took_s = time.perf_counter() - record.started
        if record.client is not None and record.client.has_key:
            record.facts["key"] = record.client.id
        if self.front.tracing is not None and (trace := self.front.tracing.request_ended(record, scope, method)):
            record.facts["trace"] = trace
        path = quote(scope["path"][:200])
        facts = "".join(f" {name}={value}" for name, value in record.facts.items())
        log.info(
            "request id=%s method=%s path=%s status=%d took_ms=%.1f%s",
            record.id,
            method,
            path,
            record.status,
            1e3 * took_s,
            facts,
        )
        self.front.metrics.request_ended(record, scope, took_s)


def require_key(connection: AnyConnection, handler: BaseRouteHandler) -> None:
    """Guard of every route below /v1. Raises NoKey. The health, the page and the OpenAPI document are open."""
    if connection.scope["type"] != ScopeType.HTTP or not any(path.startswith(GUARDED) for path in handler.paths):
        return
    RequestRecord.of(connection.scope).client = front_of(connection).client_of(connection.scope)


def require_admin(connection: AnyConnection, handler: BaseRouteHandler) -> None:
    """Guard of a route for the role admin. Without keys everybody is let in. Raises NoKey, NotAllowed."""
    record = RequestRecord.of(connection.scope)
    if record.client is None:
        record.client = front_of(connection).client_of(connection.scope)
    if record.client.has_key and "admin" not in record.client.roles:
        raise NotAllowed(f"this needs a key with the role admin; key {record.client.id} has none")


def front_of(connection: AnyConnection) -> Front:
    app = connection.app
    assert isinstance(app, RecordedApp)
    return app.front


def _begin(scope: HTTPScope | WebSocketScope) -> RequestRecord:
    record = RequestRecord(id=_request_id(scope), started=time.perf_counter())
    scope.setdefault("state", {})[STATE_KEY] = record
    CURRENT.set(record)
    return record


def _presented(headers: Iterable[tuple[bytes, bytes]], *, is_socket: bool) -> str:
    """The key that was sent, "" where none was."""
    sent: dict[bytes, str] = {}
    for name, value in headers:
        sent[name] = f"{sent[name]},{value.decode('latin-1')}" if name in sent else value.decode("latin-1")
    scheme, _, key = sent.get(b"authorization", "").partition(" ")
    if scheme.lower() == "bearer" and key.strip():
        return key.strip()
    if is_socket:
        for protocol in sent.get(b"sec-websocket-protocol", "").split(","):
            if protocol.strip().startswith(SUBPROTOCOL_KEY):
                return protocol.strip().removeprefix(SUBPROTOCOL_KEY)
    return ""


async def _refuse_socket(scope: WebSocketScope, send: Send, message: str, record: RequestRecord) -> None:
    """401 in place of the handshake, where the server can say that; else 403, which closing means."""
    if "websocket.http.response" not in (scope.get("extensions") or {}):
        await send({"type": "websocket.close", "code": 4401, "reason": message})
        return
    body = msgspec.json.encode(error_response(401, message, code=record.code).content)
    headers = [
        (b"content-type", b"application/json"),
        (b"www-authenticate", b"Bearer"),
        (ID_HEADER, record.id.encode()),
    ]
    start = {"type": "websocket.http.response.start", "status": 401, "headers": headers}
    await send(cast("Message", start))
    await send(cast("Message", {"type": "websocket.http.response.body", "body": body, "more_body": False}))


def _request_id(scope: HTTPScope | WebSocketScope) -> str:
    """The caller's own x-request-id where it is a sane one, so that it finds its request in two logs."""
    given = next((value for name, value in scope["headers"] if name == ID_HEADER), b"")
    return given.decode() if SANE_ID.fullmatch(given) else f"req_{secrets.token_hex(12)}"
