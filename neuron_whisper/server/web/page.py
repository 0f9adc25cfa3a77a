"""GET /: the page. Its modules and styles are static files of this server; nothing comes from another host."""

from __future__ import annotations

import secrets
from pathlib import Path

import msgspec
from litestar import MediaType, Response, get
from litestar.handlers import HTTPRouteHandler

from neuron_whisper.server.web.config import PageConfig, to_script_json
from neuron_whisper.server.web.preload import render_preloads
from neuron_whisper.server.web.static_files import StaticFiles

PAGE_FILE = Path(__file__).with_name("page.html")
NONCE_BYTES = 16
POLICY = (
    "default-src 'none'; script-src 'nonce-{nonce}' 'self'; style-src 'nonce-{nonce}' 'self'; connect-src 'self'; "
    "img-src 'self' data: blob:; media-src 'self' blob:; worker-src 'self'; font-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def create_page_route(config: PageConfig, files: StaticFiles) -> HTTPRouteHandler:
    """The route of the page. Every response has a nonce of its own, so none may be kept by a cache."""
    template = PAGE_FILE.read_text(encoding="utf-8").replace("{{static}}", files.url)
    template = template.replace("{{preloads}}", render_preloads(files))

    @get("/", include_in_schema=False)
    async def page() -> Response[bytes]:
        nonce = secrets.token_urlsafe(NONCE_BYTES)
        html = template.replace("{{nonce}}", nonce)
        html = html.replace("{{config}}", to_script_json(msgspec.structs.replace(config, nonce=nonce)))
        headers = {
            "content-security-policy": POLICY.format(nonce=nonce),
            "cache-control": "no-cache",
            "referrer-policy": "same-origin",
            "x-content-type-options": "nosniff",
        }
        return Response(html.encode(), headers=headers, media_type=MediaType.HTML)

    return page
