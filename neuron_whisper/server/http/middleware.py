"""API keys checked, and a request id, a log line and metrics for every request."""

from __future__ import annotations

import logging
import re
import secrets
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, cast
from urllib.parse import quote

import msgspec
from litestar import Litestar, Request
from litestar.connection import ASGIConnection
from litestar.enums import ScopeType
from litestar.handlers import BaseRouteHandler
from litestar.types import (
    ASGIApp,
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
from neuron_whisper.server.http.api_keys import ApiKeyStore, Client
from neuron_whisper.server.http.browser_checks import create_browser_checks
from neuron_whisper.server.http.errors import (
    AuthenticationFailed,
    HostNotAllowed,
    OriginNotAllowed,
    PermissionDenied,
    UnsupportedMediaType,
    handle_exception,
    make_error_response,
)
from neuron_whisper.server.http.request_context import STATE_KEY, RequestContext, current_request
from neuron_whisper.server.http.routing import is_root_without_slash, to_routed_scope
from neuron_whisper.server.http.upload_limits import limit_upload
from neuron_whisper.server.observability.metrics import Metrics
from neuron_whisper.server.observability.tracing import TraceExporter

log = logging.getLogger(__name__)

REQUEST_ID_HEADER = b"x-request-id"
VALID_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
SUBPROTOCOL_KEY = "openai-insecure-api-key."  # OpenAI's way for browsers, whose WebSockets cannot send headers
GUARDED_PREFIXES = ("/v1", "/invocations")
MAX_LOGGED_FIELD_CHARS = 64  # a client may send any name

AnyConnection = ASGIConnection[Any, Any, Any, Any]


class RequestGateway:
    """What every request passes before its route: API keys (if configured), metrics, tracing."""

    def __init__(self, settings: ServerSettings, metrics: Metrics) -> None:
        """Raises InvalidOption where the file of keys cannot be read, or tracing is set without OpenTelemetry."""
        self.settings, self.metrics = settings, metrics
        self.tracing = TraceExporter(settings.otlp_endpoint) if settings.otlp_endpoint is not None else None
        self.api_keys = ApiKeyStore(settings.keys_file) if settings.keys_file is not None else None
        self.browser_checks = create_browser_checks(
            allowed_hosts=settings.allowed_hosts,
            allowed_origins=settings.cors_origins,
            listens_on=settings.host,
            has_keys=self.api_keys is not None,
        )

    @property
    def n_keys(self) -> int:
        """Number of API keys; 0 where none are configured."""
        return 0 if self.api_keys is None else len(self.api_keys)

    def authenticate(self, scope: Scope) -> Client:
        """The client of a request: by its key, or by its address where no keys are configured.

        Raises AuthenticationFailed.
        """
        if self.api_keys is None:
            host, _ = scope.get("client") or ("unknown", 0)
            return Client(id=host)
        key = _read_api_key(scope["headers"], is_websocket=scope["type"] == ScopeType.WEBSOCKET)
        if not key:
            raise AuthenticationFailed(key_was_sent=False)
        client = self.api_keys.find_client(key)
        if client is None:
            raise AuthenticationFailed(key_was_sent=True)
        return client


class InstrumentedApp(Litestar):
    """Litestar with an id on every response and a log line for every request, also for unknown URLs.

    Where keys are configured every WebSocket needs one: without it the handshake is answered with 401.
    """

    gateway: RequestGateway
    _traced: ASGIApp | None = None

    def attach(self, gateway: RequestGateway) -> None:
        """Set the gateway that every request passes. To be called once, before the first request."""
        self.gateway = gateway
        if gateway.tracing is not None:
            self._traced = gateway.tracing.instrument(cast("ASGIApp", self._handle))

    async def __call__(
        self, scope: Scope | LifeSpanScope, receive: Receive | LifeSpanReceive, send: Send | LifeSpanSend
    ) -> None:
        handle = cast("Callable[..., Awaitable[None]]", self._traced or self._handle)
        await handle(scope, receive, send)

    async def _handle(
        self, scope: Scope | LifeSpanScope, receive: Receive | LifeSpanReceive, send: Send | LifeSpanSend
    ) -> None:
        if scope["type"] == ScopeType.HTTP:
            await self._handle_http(cast("HTTPScope", scope), cast("Receive", receive), cast("Send", send))
        elif scope["type"] == ScopeType.WEBSOCKET:
            await self._handle_websocket(cast("WebSocketScope", scope), cast("Receive", receive), cast("Send", send))
        else:
            await super().__call__(scope, receive, send)

    async def _handle_http(self, client_scope: HTTPScope, receive: Receive, send: Send) -> None:
        context = _start_request(client_scope)
        settings = self.gateway.settings
        scope = to_routed_scope(client_scope, settings.root_path)

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                context.status = message["status"]
                message["headers"] = [*message["headers"], (REQUEST_ID_HEADER, context.id.encode())]
            elif self.gateway.tracing is not None and not message.get("more_body", False):
                self.gateway.tracing.describe_request(context, scope, client_scope["method"])
            await send(message)

        receive_in_time = limit_upload(
            receive,
            scope["state"],
            idle_s=settings.upload_idle_s,
            min_bytes_per_s=settings.upload_least_bytes_s,
        )
        try:
            self.gateway.browser_checks.check(scope)
            if is_root_without_slash(client_scope, settings.root_path):
                await _redirect(send_with_id, f"{settings.root_path}/")
            else:
                await super().__call__(scope, receive_in_time, send_with_id)
        except (HostNotAllowed, OriginNotAllowed) as error:
            request: Request[Any, Any, Any] = Request(scope, receive=receive, send=send)
            response = handle_exception(request, error).to_asgi_response(app=None, request=request)
            await response(scope, receive, send_with_id)
        finally:
            self._finish_request(context, scope, client_scope["method"])

    async def _handle_websocket(self, client_scope: WebSocketScope, receive: Receive, send: Send) -> None:
        context = _start_request(client_scope)
        scope = to_routed_scope(client_scope, self.gateway.settings.root_path)

        async def send_and_note_status(message: Message) -> None:
            if message["type"] == "websocket.accept":
                context.status = 101
            await send(message)

        try:
            self.gateway.browser_checks.check(scope)
            context.client = self.gateway.authenticate(scope)
            await super().__call__(scope, receive, send_and_note_status)
        except HostNotAllowed as error:
            context.status, context.error_code = 403, "host_not_allowed"
            await _reject_websocket(scope, send, str(error), context)
        except AuthenticationFailed as error:
            context.status, context.error_code = 401, "invalid_api_key"
            await _reject_websocket(scope, send, str(error), context)
        finally:
            self._finish_request(context, scope, "WEBSOCKET")

    def _finish_request(self, context: RequestContext, scope: Scope, method: str) -> None:
        took_s = time.perf_counter() - context.started
        if context.client is not None and context.client.has_key:
            context.log_fields["key"] = context.client.id
        if context.error_code:
            context.log_fields["code"] = context.error_code
        if context.error_field:
            context.log_fields["field"] = quote(context.error_field[:MAX_LOGGED_FIELD_CHARS])
        if self.gateway.tracing is not None:
            self.gateway.tracing.describe_request(context, scope, method)
            if trace_id := self.gateway.tracing.export_stages(context):
                context.log_fields["trace"] = trace_id
        path = quote(scope["path"][:200])
        fields = "".join(f" {name}={value}" for name, value in context.log_fields.items())
        log.info(
            "request id=%s method=%s path=%s status=%d took_ms=%.1f%s",
            context.id,
            method,
            path,
            context.status,
            1e3 * took_s,
            fields,
        )
        self.gateway.metrics.record_request(context, scope, took_s)


def require_api_key(connection: AnyConnection, handler: BaseRouteHandler) -> None:
    """Guard of every route below GUARDED_PREFIXES. Health, the page and the OpenAPI document need no key.

    Raises AuthenticationFailed.
    """
    is_guarded = any(path.startswith(GUARDED_PREFIXES) for path in handler.paths)
    if connection.scope["type"] != ScopeType.HTTP or not is_guarded:
        return
    RequestContext.from_scope(connection.scope).client = get_gateway(connection).authenticate(connection.scope)


def require_admin(connection: AnyConnection, handler: BaseRouteHandler) -> None:
    """Guard of a route for the role admin; without keys configured it is open.

    Raises AuthenticationFailed, PermissionDenied.
    """
    context = RequestContext.from_scope(connection.scope)
    if context.client is None:
        context.client = get_gateway(connection).authenticate(connection.scope)
    if context.client.has_key and "admin" not in context.client.roles:
        raise PermissionDenied(
            f"this URL needs an API key with the role admin; key {context.client.id} does not have it"
        )


def require_json(connection: AnyConnection, handler: BaseRouteHandler) -> None:
    """Guard of a route that reads JSON: a page may send text/plain to any origin, JSON only where CORS allows it.

    Raises UnsupportedMediaType.
    """
    kind = connection.headers.get("content-type", "")
    if kind.partition(";")[0].strip().lower() != "application/json":
        raise UnsupportedMediaType(
            f"content-type: {kind[:MAX_LOGGED_FIELD_CHARS]!r} is not read here; send JSON as application/json"
        )


def get_gateway(connection: AnyConnection) -> RequestGateway:
    app = connection.app
    assert isinstance(app, InstrumentedApp)
    return app.gateway


def _start_request(scope: HTTPScope | WebSocketScope) -> RequestContext:
    context = RequestContext(id=_choose_request_id(scope), started=time.perf_counter())
    scope.setdefault("state", {})[STATE_KEY] = context
    current_request.set(context)
    return context


def _read_api_key(headers: Iterable[tuple[bytes, bytes]], *, is_websocket: bool) -> str:
    """The API key of a request's headers, "" where there is none."""
    sent: dict[bytes, str] = {}
    for name, value in headers:
        sent[name] = f"{sent[name]},{value.decode('latin-1')}" if name in sent else value.decode("latin-1")
    scheme, _, key = sent.get(b"authorization", "").partition(" ")
    if scheme.lower() == "bearer" and key.strip():
        return key.strip()
    if is_websocket:
        for protocol in sent.get(b"sec-websocket-protocol", "").split(","):
            if protocol.strip().startswith(SUBPROTOCOL_KEY):
                return protocol.strip().removeprefix(SUBPROTOCOL_KEY)
    return ""


async def _redirect(send: Send, location: str) -> None:
    headers = [(b"location", location.encode()), (b"content-length", b"0")]
    await send(cast("Message", {"type": "http.response.start", "status": 308, "headers": headers}))
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _reject_websocket(scope: WebSocketScope, send: Send, message: str, context: RequestContext) -> None:
    """Answer the handshake with a status where the ASGI server supports that; else close, which it answers with 403."""
    if "websocket.http.response" not in (scope.get("extensions") or {}):
        await send({"type": "websocket.close", "code": 4000 + context.status, "reason": message})
        return
    body = msgspec.json.encode(make_error_response(context.status, message, code=context.error_code).content)
    headers = [(b"content-type", b"application/json"), (REQUEST_ID_HEADER, context.id.encode())]
    if context.status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    start = {"type": "websocket.http.response.start", "status": context.status, "headers": headers}
    await send(cast("Message", start))
    await send(cast("Message", {"type": "websocket.http.response.body", "body": body, "more_body": False}))


def _choose_request_id(scope: HTTPScope | WebSocketScope) -> str:
    """The client's own x-request-id where it is valid, so that one id finds a request in both logs; else a new one."""
    sent = next((value for name, value in scope["headers"] if name == REQUEST_ID_HEADER), b"")
    return sent.decode() if VALID_REQUEST_ID.fullmatch(sent) else f"req_{secrets.token_hex(12)}"
