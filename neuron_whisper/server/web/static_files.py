"""GET /static/{digest}/{path}: the page's modules, styles and vendored libraries, from memory and cached for good."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from litestar import Request, Response, get
from litestar.exceptions import NotFoundException
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath

STATIC_DIRECTORY = Path(__file__).with_name("static")
DIGEST_LENGTH = 16  # hex digits
MEDIA_TYPES: Mapping[str, str] = MappingProxyType(
    {
        ".css": "text/css",
        ".js": "text/javascript",
        ".json": "application/json",
        ".png": "image/png",
        ".svg": "image/svg+xml",
        ".woff2": "font/woff2",
    }
)
OTHER_MEDIA_TYPE = "text/plain"  # licences


@dataclass(frozen=True, slots=True)
class StaticFile:
    """A file in memory. `gzipped` is None where compression gains nothing."""

    body: bytes
    gzipped: bytes | None
    media_type: str


@dataclass(frozen=True, slots=True)
class StaticFiles:
    """All files below a directory by their relative path; `digest` changes with any name or byte of them."""

    digest: str
    by_path: Mapping[str, StaticFile]

    @classmethod
    def load(cls, directory: Path = STATIC_DIRECTORY) -> StaticFiles:
        """Reads and compresses every file, hidden ones excepted."""
        total, by_path = hashlib.sha256(), {}
        for path in sorted(directory.rglob("*")):
            relative = path.relative_to(directory)
            if not path.is_file() or any(part.startswith(".") for part in relative.parts):
                continue
            body = path.read_bytes()
            total.update(f"{relative.as_posix()}\0{len(body)}\0".encode() + body)
            by_path[relative.as_posix()] = _compress(body, MEDIA_TYPES.get(path.suffix, OTHER_MEDIA_TYPE))
        return cls(total.hexdigest()[:DIGEST_LENGTH], MappingProxyType(by_path))

    @property
    def url(self) -> str:
        """Where the page finds the files, relative to its own URL."""
        return f"static/{self.digest}"


def create_static_route(files: StaticFiles) -> HTTPRouteHandler:
    """The route of these files. Another digest or path is an unknown URL: nothing is looked up in the file system."""

    @get("/static/{digest:str}/{path:path}", include_in_schema=False)
    async def static_file(
        request: Request[Any, Any, Any], digest: FromPath[str], path: FromPath[str]
    ) -> Response[bytes]:
        file = files.by_path.get(path.removeprefix("/"))
        if file is None or digest != files.digest:
            raise NotFoundException
        headers = {
            "cache-control": "public, max-age=31536000, immutable",
            "vary": "accept-encoding",
            "x-content-type-options": "nosniff",
        }
        if file.gzipped is None or not accepts_gzip(request.headers.get("accept-encoding", "")):
            return Response(file.body, headers=headers, media_type=file.media_type)
        return Response(file.gzipped, headers={**headers, "content-encoding": "gzip"}, media_type=file.media_type)

    return static_file


def accepts_gzip(accept_encoding: str) -> bool:
    """ "gzip, deflate" -> True; "gzip;q=0" and "" -> False; "*" stands for every coding that is not named."""
    weights: dict[str, bool] = {}
    for part in accept_encoding.lower().split(","):
        coding, _, parameters = part.partition(";")
        weight = parameters.replace(" ", "").removeprefix("q=")
        weights[coding.strip()] = weight.strip("0.") != "" if weight else True
    return weights.get("gzip", weights.get("*", False))


def _compress(body: bytes, media_type: str) -> StaticFile:
    gzipped = gzip.compress(body, mtime=0)
    return StaticFile(body, gzipped if len(gzipped) < len(body) else None, media_type)
