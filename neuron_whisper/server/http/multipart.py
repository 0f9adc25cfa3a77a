"""A multipart request body -> its text fields and its upload, read as it arrives and never more than allowed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from tempfile import SpooledTemporaryFile
from types import TracebackType
from typing import Any, Self

from litestar import Request
from litestar.exceptions import ClientException
from multipart import (  # type: ignore[import-untyped]  # it ships no types
    MultipartError,
    MultipartSegment,
    PushMultipartParser,
)

from neuron_whisper.errors import AudioTooLarge, InvalidOption, MissingOption
from neuron_whisper.server.http.errors import ClientDisconnected

UPLOAD_MEMORY_BYTES = 1 << 20  # of an upload; what is beyond goes to a temporary file
MAX_TEXT_BYTES = 1 << 16  # of one text field; Whisper's prompt ends long before
MAX_PARTS = 256
MAX_FORM_OVERHEAD_BYTES = 4 << 20  # what a body may hold beside its upload
MAX_FILENAME_CHARS = 100

FieldCheck = Callable[[str, str], None]
"""check(name, value): raises InvalidOption when the form has no field `name`."""


@dataclass(slots=True, kw_only=True)
class Form:
    """A form as it was sent. Closes its upload when left; take `upload` out of it to keep it."""

    texts: dict[str, list[str]] = field(default_factory=dict)
    upload_dir: str | None = None  # of the upload; None: the system's for temporary files
    upload: SpooledTemporaryFile[bytes] | None = None
    upload_name: str = "audio"
    upload_bytes: int = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.upload is not None:
            self.upload.close()

    def take_upload(self) -> SpooledTemporaryFile[bytes]:
        """The upload, from its start, which is the caller's to close. Raises InvalidOption: there is none."""
        if self.upload is None:
            raise MissingOption("file", "send the audio as the form field 'file'")
        upload, self.upload = self.upload, None
        upload.seek(0)
        return upload

    def add_text(self, name: str, value: bytes) -> None:
        """Raises InvalidOption when it is not UTF-8."""
        try:
            self.texts.setdefault(name, []).append(value.decode())
        except UnicodeDecodeError:
            raise InvalidOption(name, value[:32], "text in UTF-8") from None


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
    text = bytearray()
    try:
        with PushMultipartParser(boundary, max_segment_count=MAX_PARTS) as parser:
            async for chunk in _read_body(request, max_bytes + MAX_FORM_OVERHEAD_BYTES, max_bytes):
                if parser.closed:
                    continue  # an epilogue, which says nothing
                for event in parser.parse(chunk):
                    if isinstance(event, MultipartSegment):
                        part, text = event, bytearray()
                        _begin_part(form, part, check_field)
                    elif part is not None and part.name == "file":
                        _append_upload(form, event, max_bytes)
                    elif part is not None and event is not None:
                        text += event
                        if len(text) > MAX_TEXT_BYTES:
                            check_field(part.name or "", "a long value")
                            raise InvalidOption(part.name or "", "a long value", f"at most {MAX_TEXT_BYTES:,} bytes")
                    elif part is not None:
                        form.add_text(part.name or "", bytes(text))
                        check_field(part.name or "", form.texts[part.name or ""][-1])
    except MultipartError as error:
        raise ClientException(f"the form cannot be read: {error}") from error


def _begin_part(form: Form, part: MultipartSegment, check_field: FieldCheck) -> None:
    if part.name != "file":
        if part.filename is not None:  # do not take megabytes in to say that nobody wants them
            check_field(part.name or "", "an upload")
        return
    if form.upload is not None:
        raise InvalidOption("file", "a second file", "one file with each request")
    form.upload = SpooledTemporaryFile(UPLOAD_MEMORY_BYTES, dir=form.upload_dir)  # noqa: SIM115  # the form closes it
    form.upload_name = _sanitize_filename(part.filename)


def _append_upload(form: Form, piece: bytes | bytearray | None, max_bytes: int) -> None:
    assert form.upload is not None
    if piece is None:
        return
    form.upload_bytes += len(piece)
    if form.upload_bytes > max_bytes:
        raise AudioTooLarge(form.upload_name, "the upload", max_bytes)
    form.upload.write(piece)  # in this thread: a piece is 64 KiB at most and lands in the page cache


async def _read_body(request: Request[Any, Any, Any], limit: int, max_upload: int) -> AsyncIterator[bytes]:
    """The body in pieces, whether or not its length was announced. Raises AudioTooLarge, ClientDisconnected."""
    too_large = AudioTooLarge("request", "the upload", max_upload)
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > limit:
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
    """A file's name fit to be shown: no directories, nothing that does not print, not endless."""
    last = PurePosixPath((name or "").replace("\\", "/")).name
    return "".join(c for c in last if c.isprintable())[:MAX_FILENAME_CHARS] or "audio"
