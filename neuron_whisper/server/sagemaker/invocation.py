"""The body of an invocation: a file as it is, in base64 in JSON, or a form; and the fields beside it."""

from __future__ import annotations

import asyncio
import binascii
import re
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from tempfile import SpooledTemporaryFile
from typing import Any
from urllib.parse import unquote_to_bytes

import msgspec
from litestar import Request

from neuron_whisper.errors import AudioTooLarge, InvalidOption, MissingOption
from neuron_whisper.server.audio.fields import TRANSCRIPTIONS, AudioForm
from neuron_whisper.server.http.errors import UnsupportedMediaType
from neuron_whisper.server.http.field_types import truncate
from neuron_whisper.server.http.multipart import UPLOAD_MEMORY_BYTES, Form, read_body, read_form, read_upload
from neuron_whisper.server.jobs.request import AUDIO_FORMS, TASK

ATTRIBUTES_HEADER = "x-amzn-sagemaker-custom-attributes"
# fields of a JSON body that hold the audio: as Hugging Face's containers name it, in base64, and as JumpStart's, in hex
BASE64_FIELDS, HEX_FIELD = ("inputs", "audio"), "audio_input"
AUDIO_FIELDS = (*BASE64_FIELDS, HEX_FIELD)
PARAMETERS = "parameters"
MAX_JSON_BYTES = 64 << 20
# A body of JSON is in memory while it is parsed, with the file that it holds: of a few requests at a time.
_PARSERS = ThreadPoolExecutor(2, thread_name_prefix="invocation")
FILE_TYPES = re.compile(r"(audio|video)/.+|application/(octet-stream|x-audio|ogg|mp4)")
FORMAT_OF_ACCEPT = {"text/plain": "text", "text/vtt": "vtt", "application/x-subrip": "srt"}
INVOCATION_FORM = replace(TRANSCRIPTIONS, fields=(*TRANSCRIPTIONS.fields, TASK))


async def read_invocation(request: Request[Any, Any, Any], form: Form, max_bytes: int) -> AudioForm:
    """Fill the form from body and headers; the endpoint of the task that was asked for.

    Raises InvalidOption, AudioTooLarge, UnsupportedMediaType, ClientException (a form that is none),
    ClientDisconnected.
    """
    _add_fields(form, parse_attributes(request.headers.get(ATTRIBUTES_HEADER, "")))
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        await read_form(request, form, INVOCATION_FORM.check_field, max_bytes)
    elif kind == "application/json":
        await _read_json(request, form, max_bytes)
    elif FILE_TYPES.fullmatch(kind):
        await read_upload(request, form, max_bytes)
    else:
        raise UnsupportedMediaType(
            f"content-type: {truncate(kind)!r} is not read here; send the file as audio/wav or another audio type, a "
            "form as multipart/form-data, or application/json with the file in base64"
        )
    accepted = request.headers.get("accept", "").partition(";")[0].strip().lower()
    if accepted in FORMAT_OF_ACCEPT and "response_format" not in form.texts:
        form.texts["response_format"] = [FORMAT_OF_ACCEPT[accepted]]
    task = TASK.parse(form.texts) if TASK.is_given(form.texts) else TRANSCRIPTIONS.task
    form.texts.pop(TASK.name, None)
    return AUDIO_FORMS[task]


def parse_attributes(text: str) -> Iterator[tuple[str, str]]:
    """ "language=de;prompt=Frau%20M%C3%BCller" or a JSON object -> (field, value); values are percent-decoded.

    `text` is of a header, a byte in each character. SageMaker passes what a client sends through: a part without "=" is
    a client's own, such as a trace's id. Raises InvalidOption for JSON that is no object.
    """
    if text.lstrip().startswith("{"):
        yield from _iter_fields(_parse_object("CustomAttributes", text.encode("latin-1")))
        return
    for part in text.split(";"):
        name, is_field, value = part.partition("=")
        if is_field:
            yield name.strip(), unquote_to_bytes(value.strip().encode("latin-1")).decode("utf-8", "replace")


async def _read_json(request: Request[Any, Any, Any], form: Form, max_bytes: int) -> None:
    """Take the file out of a JSON body, which lies on the disk meanwhile where it is large."""
    limit = min(MAX_JSON_BYTES, 2 * max_bytes + (1 << 20))  # hex takes two bytes for one
    too_large = AudioTooLarge("request", "the JSON (send the file itself, as audio/wav)", limit)
    with SpooledTemporaryFile(UPLOAD_MEMORY_BYTES, dir=form.upload_dir) as body:
        async for chunk in read_body(request, limit, too_large):
            body.write(chunk)
        loop = asyncio.get_running_loop()
        size, fields = await loop.run_in_executor(_PARSERS, _move_audio, body, form.begin_upload())
    if size > max_bytes:
        raise AudioTooLarge(form.upload_name, "the upload", max_bytes)
    form.upload_bytes = size
    _add_fields(form, iter(fields))


def _move_audio(
    body: SpooledTemporaryFile[bytes], upload: SpooledTemporaryFile[bytes]
) -> tuple[int, list[tuple[str, str]]]:
    """Write the file that a JSON body holds to `upload`; its size and the fields beside it. Raises InvalidOption."""
    body.seek(0)
    audio, fields = parse_json(body.read())
    upload.write(audio)
    return len(audio), fields


def parse_json(body: bytes) -> tuple[bytes, list[tuple[str, str]]]:
    """{"inputs": BASE64, "parameters": {"language": "de"}} -> (file, [(field, value)]); fields may stand beside it.

    Raises InvalidOption.
    """
    document = _parse_object("body", body)
    given = [name for name in AUDIO_FIELDS if name in document]
    if not given:
        raise MissingOption("inputs", "the audio in base64; or send the file itself as audio/wav")
    if len(given) > 1:
        raise InvalidOption(given[1], "a second file", f"one of {', '.join(AUDIO_FIELDS)}")
    audio = _decode_audio(given[0], document.pop(given[0]))
    parameters = document.pop(PARAMETERS, None) or {}
    if not isinstance(parameters, dict):
        raise InvalidOption(PARAMETERS, truncate(str(parameters)), "an object of fields")
    return audio, [*_iter_fields(document), *_iter_fields(parameters)]


def _parse_object(field: str, text: bytes) -> dict[str, Any]:
    try:
        found = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError) as error:
        raise InvalidOption(field, truncate(text[:100].decode("utf-8", "replace")), f"JSON: {error}") from None
    if not isinstance(found, dict):
        raise InvalidOption(field, truncate(str(found)), "a JSON object")
    return found


def _decode_audio(field: str, value: object) -> bytes:
    """The bytes of a text in base64, also as a data URL, or in hex. Raises InvalidOption."""
    allowed = "the audio in hex" if field == HEX_FIELD else "the audio in base64"
    if not isinstance(value, str):
        raise InvalidOption(field, truncate(str(value)), allowed)
    if re.match(r"(https?|s3)://", value):
        raise InvalidOption(field, truncate(value), f"{allowed}; the audio of a URL is not fetched here")
    try:
        if field == HEX_FIELD:
            return bytes.fromhex(value)
        text = value.partition(",")[2] if value.startswith("data:") else value
        return binascii.a2b_base64("".join(text.split()), strict_mode=True)
    except ValueError:
        raise InvalidOption(field, truncate(value), allowed) from None


def _iter_fields(values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """A form's fields and texts of JSON values; null is a field that is not given."""
    for name, value in values.items():
        known = next((it for it in INVOCATION_FORM.fields if name in (it.name, it.form_name)), None)
        if isinstance(value, list) and known is not None and known.is_list:
            yield from ((name, _to_text(item)) for item in value)
        elif isinstance(value, list):
            yield name, ",".join(map(_to_text, value))
        elif value is not None:
            yield name, _to_text(value)


def _to_text(value: object) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _add_fields(form: Form, fields: Iterator[tuple[str, str]]) -> None:
    """Raises InvalidOption for a field that the API does not have, and for a file where fields are."""
    for name, value in fields:
        if name == "file" and value.strip():
            raise InvalidOption(name, truncate(value), f"the audio is the body, or {', '.join(AUDIO_FIELDS)} of JSON")
        INVOCATION_FORM.check_field(name, value)
        form.add_text(name, value.encode())
