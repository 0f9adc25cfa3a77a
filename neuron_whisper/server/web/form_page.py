"""GET /: the page of one file, served until the page of modules is complete."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Sequence
from html import escape
from pathlib import Path

from litestar import MediaType, Response, get
from litestar.handlers import HTTPRouteHandler

from neuron_whisper.text.languages import LANGUAGES

PAGE_FILE = Path(__file__).with_name("page.html")
INLINE_ELEMENT = re.compile(r"<(style|script)>(.*?)</\1>", re.DOTALL)


def create_form_page_route(model: str, languages: Sequence[str]) -> HTTPRouteHandler:
    """The route of the page, for a model with these language codes, with its Content-Security-Policy."""
    html = PAGE_FILE.read_text(encoding="utf-8")
    html = html.replace("{{model}}", escape(model)).replace("{{languages}}", _render_language_options(languages))
    body, headers = (
        html.encode(),
        {"content-security-policy": _build_content_security_policy(html), "x-content-type-options": "nosniff"},
    )

    @get("/", include_in_schema=False)
    async def page() -> Response[bytes]:
        return Response(body, headers=headers, media_type=MediaType.HTML)

    return page


def _render_language_options(languages: Sequence[str]) -> str:
    names = sorted((LANGUAGES[code].title(), code) for code in languages)
    return "".join(f'<option value="{code}">{name}</option>' for name, code in names)


def _build_content_security_policy(html: str) -> str:
    """A Content-Security-Policy that allows the page's inline style and script only."""
    allowed = {"style": "", "script": ""}
    for kind, content in INLINE_ELEMENT.findall(html):
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        allowed[kind] += f" 'sha256-{digest}'"
    return (
        f"default-src 'none'; script-src{allowed['script']}; style-src{allowed['style']}; connect-src 'self'; "
        "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
