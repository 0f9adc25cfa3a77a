"""Reads a multipart request body as it arrives, within limits: its text fields and its upload."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from tempfile import SpooledTemporaryFile
from types import TracebackType
from typing import Any, Self
from urllib.parse import unquote_to_bytes

from litestar import Request
from litestar.exceptions import ClientException
from multipart import (  # type: ignore[import-untyped]  # it ships no types
    MultipartError,
    MultipartSegment,
    PushMultipartParser,
)

from neuron_whisper.errors import AudioTooLarge, InputError, InvalidOption, MissingOption, TextTooLong
from neuron_whisper.server.http.charsets import decode_header, decode_text, find_text_charset
from neuron_whisper.server.http.errors import ClientDisconnected

UPLOAD_MEMORY_BYTES = 1 << 20  # of an upload; what exceeds it goes to a temporary file
MAX_TEXT_BYTES = 1 << 16  # of one text field; more than any prompt that Whisper reads
MAX_PARTS = 256
MAX_FORM_OVERHEAD_BYTES = 4 << 20  # of a body, in addition to its upload
MAX_FILENAME_CHARS = 100
EXTENDED_FILENAME = re.compile(r";\s*filename\*\s*=\s*\"?([\w.:-]+)'[^']*'([^\s;\"]+)", re.ASCII | re.IGNORECASE)

FieldCheck = Callable[[str, str], None]
"""check(name, value): raises InvalidOption when the form has no field `name`."""


@dataclass(slots=True, kw_only=True)
class Form:
    """A form as it was sent. Closes its upload on exit, unless it was taken with `take_upload`."""

    texts: dict[str, list[str]] = field(default_factory=dict)
    upload_dir: str | None = None  # for the temporary file; None: the system's directory
    upload: SpooledTemporaryFile[bytes] | None = None
    upload_name: str = "audio"
    upload_bytes: int = 0
    count_upload: Callable[[int], None] = lambda n_bytes: None
    """Called with the number of bytes that arrived, before they are stored; it may raise."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.upload is not None:
            self.upload.close()

    def begin_upload(self) -> SpooledTemporaryFile[bytes]:
        """An empty upload, to be filled; in memory while it is small."""
        self.upload = SpooledTemporaryFile(UPLOAD_MEMORY_BYTES, dir=self.upload_dir)  # noqa: SIM115 - closed on exit
        return self.upload

    def take_upload(self) -> SpooledTemporaryFile[bytes]:
        """The upload, positioned at its start; the caller closes it. Raises InvalidOption where there is none."""
        if self.upload is None:
            raise MissingOption("file", "send the audio as the form field 'file'")
        upload, self.upload = self.upload, None
        upload.seek(0)
        return upload

    def add_text(self, name: str, value: bytes, charset: str | None = None) -> None:
        """Add a text field, in UTF-8 or the charset that its part declares. Raises InvalidOption where it is not."""
        self.texts.setdefault(name, []).append(decode_text(name, value, charset))


async def read_form(request: Request[Any, Any, Any], form: Form, check_field: FieldCheck, max_bytes: int) -> None:
    """Fill `form` from the request; the part `file` is the upload, whatever its headers say.

    Raises AudioTooLarge (an upload of more than max_bytes), InvalidOption (from `check_field`, or a text that is
    too long), ClientException (not a form), ClientDisconnected.
    """
    kind, options = request.content_type
    boundary = options.get("boundary")
    if kind != "multipart/form-data" or not boundary:
        raise ClientException("send the request as multipart/form-data with a boundary")
    part: MultipartSegment | None = None
    name, text = "", bytearray()
    too_large = AudioTooLarge("request", "the upload", max_bytes)
    try:
        # any byte is a character of latin-1: names are decoded here
        with PushMultipartParser(boundary, max_segment_count=MAX_PARTS, header_charset="latin-1") as parser:
            async for chunk in read_body(request, max_bytes + MAX_FORM_OVERHEAD_BYTES, too_large):
                if parser.closed:
                    continue  # an epilogue, which has no meaning
                for event in parser.parse(chunk):
                    if isinstance(event, MultipartSegment):
                        part, name, text = event, decode_header(event.name or ""), bytearray()
                        _begin_part(form, part, name, check_field)
                    elif part is not None and name == "file":
                        _append_upload(form, event, max_bytes)
                    elif part is not None and event is not None:
                        text += event
                        if len(text) > MAX_TEXT_BYTES:
                            check_field(name, "a long value")
                            raise TextTooLong(name, None, MAX_TEXT_BYTES, unit="bytes")
                    elif part is not None:
                        form.add_text(name, bytes(text), part.charset)
                        check_field(name, form.texts[name][-1])
    except MultipartError as error:
        raise ClientException(f"the form cannot be read: {error}") from error


async def read_upload(request: Request[Any, Any, Any], form: Form, max_bytes: int) -> None:
    """Take the whole body for the form's upload. Raises AudioTooLarge, ClientDisconnected."""
    form.begin_upload()
    async for chunk in read_body(request, max_bytes, AudioTooLarge(form.upload_name, "the upload", max_bytes)):
        _append_upload(form, chunk, max_bytes)


def _begin_part(form: Form, part: MultipartSegment, name: str, check_field: FieldCheck) -> None:
    if name != "file":
        if part.filename is not None:  # reject an upload in the wrong field before its megabytes are read
            check_field(name, "an upload")
        return
    if form.upload is not None:
        raise InvalidOption("file", "a second file", "one file per request")
    form.begin_upload()
    form.upload_name = _sanitize_filename(_read_filename(part))


def _read_filename(part: MultipartSegment) -> str | None:
    """The part's file name, in whatever encoding; `filename*` of RFC 5987 where it has one."""
    if match := EXTENDED_FILENAME.search(part.header("Content-Disposition", "")):
        return unquote_to_bytes(match[2]).decode(find_text_charset(match[1]) or "utf-8", "replace")
    return None if part.filename is None else decode_header(part.filename)


def _append_upload(form: Form, piece: bytes | bytearray | None, max_bytes: int) -> None:
    assert form.upload is not None
    if piece is None:
        return
    form.upload_bytes += len(piece)
    if form.upload_bytes > max_bytes:
        raise AudioTooLarge(form.upload_name, "the upload", max_bytes)
    form.count_upload(len(piece))
    form.upload.write(piece)  # on the event loop: a chunk is at most 64 KiB and goes to the page cache


async def read_body(request: Request[Any, Any, Any], limit: int, too_large: InputError) -> AsyncIterator[bytes]:
    """The body in chunks, with or without a content-length. Raises `too_large` above `limit`, ClientDisconnected."""
    content_length = request.headers.get("content-length", "")
    if content_length.isdecimal() and int(content_length) > limit:
        raise too_large
    received, more = 0, True
    while more:
        message = await request.receive()
        if message["type"] != "http.request":
            raise ClientDisconnected
        received += len(message["body"])
        if received > limit:
            raise too_large
        if message["body"]:
            yield message["body"]
        more = message.get("more_body", False)


def _sanitize_filename(name: str | None) -> str:
    """A file name safe to log and to return: no directories, printable characters only, limited length."""
    last = PurePosixPath((name or "").replace("\\", "/")).name
    return "".join(c for c in last if c.isprintable())[:MAX_FILENAME_CHARS] or "audio"
