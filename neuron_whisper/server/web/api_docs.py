"""GET /schema: the OpenAPI document as a page. Swagger UI's files come from this server, nothing from a network."""

from __future__ import annotations

import gzip
from functools import lru_cache
from pathlib import Path
from typing import Any

from litestar import HttpMethod, Request, Router
from litestar.datastructures import Headers
from litestar.enums import ScopeType
from litestar.openapi.plugins import SwaggerRenderPlugin
from litestar.static_files import create_static_files_router
from litestar.status_codes import HTTP_200_OK
from litestar.types import ASGIApp, HTTPResponseStartEvent, Message, Receive, Scope, Send
from swagger_ui_bundle import swagger_ui_path  # type: ignore[import-untyped]  # it ships no types

from neuron_whisper.server.web.static_files import accepts_gzip

SCHEMA_URL = "/schema"
ASSETS_URL = "/schema/assets"
READABLE_VERSION = "3.0.3"
VARY = (b"vary", b"accept-encoding")


class SwaggerUi(SwaggerRenderPlugin):
    """The page of the bundled Swagger UI 4, which reads OpenAPI 3.0; the document at openapi.json is 3.1.

    The page's copy of the document therefore states another version. What 3.1 has beyond 3.0, such as `if` and
    `examples` of a property, Swagger UI leaves out.
    """

    def __init__(self, root_path: str = "") -> None:
        assets_url = f"{root_path}{ASSETS_URL}"
        super().__init__(
            js_url=f"{assets_url}/swagger-ui-bundle.js",
            css_url=f"{assets_url}/swagger-ui.css",
            standalone_preset_js_url=f"{assets_url}/swagger-ui-standalone-preset.js",
            favicon=f"<link rel='icon' href='{assets_url}/favicon-32x32.png'>",
            path="/",
        )

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        return super().render(request, {**openapi_schema, "openapi": READABLE_VERSION})


def create_schema_router() -> Router:
    """The route of the OpenAPI document and its page, compressed where the client takes it: 15 kB rather than 150."""
    return Router(SCHEMA_URL, route_handlers=[], include_in_schema=False, middleware=[_compress_responses])


def _compress_responses(app: ASGIApp) -> ASGIApp:
    async def respond(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == ScopeType.HTTP and scope["method"] == HttpMethod.GET:
            accepted = Headers.from_scope(scope).get("accept-encoding", "")
            send = _CompressedSend(send) if accepts_gzip(accepted) else send
        await app(scope, receive, send)

    return respond


class _CompressedSend:
    """Sends a response with status 200, whose body comes in one piece, compressed."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._start: HTTPResponseStartEvent | None = None  # sent with the body, whose length it states

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start" and message["status"] == HTTP_200_OK:
            self._start = message
            return
        if message["type"] == "http.response.body" and self._start is not None:
            start, self._start = self._start, None
            message["body"] = _gzip(message["body"])
            kept = [(name, value) for name, value in start["headers"] if name.lower() != b"content-length"]
            length = str(len(message["body"])).encode()
            start["headers"] = [*kept, (b"content-encoding", b"gzip"), (b"content-length", length), VARY]
            await self._send(start)
        await self._send(message)


@lru_cache(maxsize=4)
def _gzip(body: bytes) -> bytes:
    return gzip.compress(body, mtime=0)


def create_assets_router() -> Router:
    """The route of Swagger UI's scripts and styles."""
    return create_static_files_router(path=ASSETS_URL, directories=[Path(swagger_ui_path)], include_in_schema=False)
