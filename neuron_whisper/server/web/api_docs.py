"""GET /schema: the OpenAPI document as a page. Swagger UI's files come from this server, nothing from a network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from litestar import Request, Router
from litestar.openapi.plugins import SwaggerRenderPlugin
from litestar.static_files import create_static_files_router
from swagger_ui_bundle import swagger_ui_path  # type: ignore[import-untyped]  # it ships no types

ASSETS_URL = "/schema/assets"
READABLE_VERSION = "3.0.3"


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


def create_assets_router() -> Router:
    """The route of Swagger UI's scripts and styles."""
    return create_static_files_router(path=ASSETS_URL, directories=[Path(swagger_ui_path)], include_in_schema=False)
