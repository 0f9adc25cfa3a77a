"""GET /samples/{name}: the recordings of settings.samples_dir, which the page offers to try."""

from __future__ import annotations

import asyncio
import logging
import os
import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import quote

from litestar import Request, Response, get
from litestar.exceptions import NotFoundException
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath
from litestar.response import Stream

from neuron_whisper.errors import InvalidOption
from neuron_whisper.server.http.errors import make_error_response

log = logging.getLogger(__name__)

AUDIO_TYPES: Mapping[str, str] = MappingProxyType(
    {
        ".aac": "audio/aac",
        ".flac": "audio/flac",
        ".m4a": "audio/mp4",
        ".mp3": "audio/mpeg",
        ".mp4": "audio/mp4",
        ".oga": "audio/ogg",
        ".ogg": "audio/ogg",
        ".opus": "audio/ogg",
        ".wav": "audio/wav",
        ".webm": "audio/webm",
    }
)
MAX_SAMPLES = 100
CHUNK_BYTES = 1 << 18
_RANGE = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})")


@dataclass(frozen=True, slots=True)
class Samples:
    """The recordings by file name, as they were when the server started."""

    by_name: Mapping[str, Path]

    @classmethod
    def load(cls, directory: Path | None) -> Samples:
        """Lists the audio files of a directory by their endings; None: no samples.

        Hidden ones, ones that cannot be read and ones whose name is not UTF-8, which no URL can tell, are left out.
        Raises InvalidOption for what is no directory.
        """
        if directory is None:
            return cls(MappingProxyType({}))
        try:
            found = sorted(directory.iterdir())
        except OSError as error:
            raise InvalidOption("samples_dir", str(directory), f"it cannot be listed: {error.strerror}") from error
        audio = [
            path
            for path in found
            if path.suffix.lower() in AUDIO_TYPES and not path.name.startswith(".") and _can_be_sent(path)
        ]
        if len(audio) > MAX_SAMPLES:
            log.warning("samples_dir: the first %d of %d recordings are offered", MAX_SAMPLES, len(audio))
        return cls(MappingProxyType({path.name: path for path in audio[:MAX_SAMPLES]}))

    def list_urls(self) -> dict[str, str]:
        """Name -> URL relative to the page's own: {"a b.wav": "samples/a%20b.wav"}"""
        return {name: f"samples/{quote(name, safe='')}" for name in self.by_name}


def _can_be_sent(path: Path) -> bool:
    try:
        path.name.encode()
    except UnicodeEncodeError:
        log.warning("samples_dir: %r is not offered, its name is not UTF-8", path.name)
        return False
    return os.path.isfile(path) and os.access(path, os.R_OK)  # noqa: PTH113  # Path.is_file raises PermissionError


def create_samples_route(samples: Samples) -> HTTPRouteHandler:
    """The route of these recordings: whole, or one range of bytes, with which a player seeks."""

    @get("/samples/{name:str}", include_in_schema=False)
    async def sample(request: Request[Any, Any, Any], name: FromPath[str]) -> Response[Any]:
        path = samples.by_name.get(name)
        try:
            size = -1 if path is None else (await asyncio.to_thread(path.stat)).st_size
        except OSError:  # removed since
            size = -1
        if path is None or size < 0:
            raise NotFoundException
        headers = {
            "accept-ranges": "bytes",
            "cache-control": "public, max-age=3600",
            "x-content-type-options": "nosniff",
        }
        # no file has a validator here, so none is the one of an If-Range
        wanted = None if "if-range" in request.headers else request.headers.get("range")
        span = parse_range(wanted, size)
        if span is None:
            message = f"range: {wanted!r} is not within the {size} bytes of {name}"
            return make_error_response(416, message, headers={"content-range": f"bytes */{size}"})
        start, end = span
        headers["content-length"] = str(end - start)
        is_part = wanted is not None and end - start < size
        if is_part:
            headers["content-range"] = f"bytes {start}-{end - 1}/{size}"
        media_type = AUDIO_TYPES[path.suffix.lower()]
        body = _read(path, start, end)
        return Stream(body, headers=headers, media_type=media_type, status_code=206 if is_part else 200)

    return sample


def parse_range(header: str | None, size: int) -> tuple[int, int] | None:
    """The first byte and the one behind the last: "bytes=2-5" -> (2, 6); None for one that lies outside.

    No header, several ranges and what is no range are the whole file, as RFC 9110 allows.
    """
    match = _RANGE.fullmatch(header.replace(" ", "")) if header is not None else None
    if match is None or not any(match.groups()):
        return 0, size
    first, last = match.groups()
    if not first:
        return (max(0, size - int(last)), size) if int(last) and size else None
    if last and int(last) < int(first):
        return 0, size
    start = int(first)
    return (start, min(size, int(last) + 1 if last else size)) if start < size else None


async def _read(path: Path, start: int, end: int) -> AsyncIterator[bytes]:
    file = await asyncio.to_thread(path.open, "rb")
    with file:
        file.seek(start)
        while start < end and (chunk := await asyncio.to_thread(file.read, min(CHUNK_BYTES, end - start))):
            start += len(chunk)
            yield chunk
