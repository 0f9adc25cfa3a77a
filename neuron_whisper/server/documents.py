"""What the OpenAPI document says of the audio routes: their forms, drawn from the fields, and their answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from litestar.openapi.spec import Example, OpenAPIMediaType, OpenAPIResponse, Operation, Reference, RequestBody, Schema

from neuron_whisper.server.fields import TRANSCRIPTIONS, TRANSLATIONS, AudioForm

ERROR_EXAMPLE = {
    "error": {
        "message": "temperature: 1.5 is not allowed; a number from 0 to 1, or several that rise",
        "type": "invalid_request_error",
        "param": "temperature",
        "code": "invalid_value",
    }
}
JSON_EXAMPLE = {"text": "And so, my fellow Americans ...", "usage": {"type": "duration", "seconds": 11}}
ERRORS = {
    "400": "The request is wrong: a field, its value, or audio that cannot be read",
    "404": "No such model here",
    "413": "The upload or its audio is over a limit",
    "500": "The server failed at this request",
    "503": "No room now, or the server is ending; Retry-After says when to ask again",
    "504": "Not done within the server's time limit",
}


def _schema(data: Mapping[str, Any]) -> Schema:
    """A JSON schema as Litestar's object."""
    known = dict(data)
    if "items" in known:
        known["items"] = _schema(known["items"])
    return Schema(**known)


def _text_or_null() -> Schema:
    return _schema({"type": ["string", "null"]})


ERROR_SCHEMA = Schema(
    type="object",  # type: ignore[arg-type]  # Litestar's enum of these words takes the words
    required=["error"],
    properties={
        "error": Schema(
            type="object",  # type: ignore[arg-type]
            required=["message", "type", "param", "code"],
            properties={
                "message": _schema({"type": "string"}),
                "type": _schema({"type": "string"}),
                "param": _text_or_null(),
                "code": _text_or_null(),
            },
        )
    },
)


def _request_body(form: AudioForm) -> RequestBody:
    properties: dict[str, Schema | Reference] = {
        field.name: _schema({**field.schema, "description": field.about}) for field in form.fields
    }
    schema = Schema(
        type="object",  # type: ignore[arg-type]
        required=["file"],
        properties=properties,
        additional_properties=False,
    )
    return RequestBody(required=True, content={"multipart/form-data": OpenAPIMediaType(schema=schema)})


def _responses() -> dict[str, OpenAPIResponse]:
    text = OpenAPIMediaType(schema=_schema({"type": "string"}))
    answer = OpenAPIMediaType(
        schema=_schema({"type": "object", "required": ["text", "usage"]}),
        examples={"json": Example(summary="response_format=json", value=JSON_EXAMPLE)},
    )
    failure = OpenAPIMediaType(
        schema=ERROR_SCHEMA, examples={"error": Example(summary="A value that is not allowed", value=ERROR_EXAMPLE)}
    )
    done = OpenAPIResponse(
        description="The transcript, in the form that was asked for",
        content={"application/json": answer, "text/plain": text, "text/vtt": text},
    )
    failed = {
        status: OpenAPIResponse(description=about, content={"application/json": failure})
        for status, about in ERRORS.items()
    }
    return {"200": done, **failed}


@dataclass
class _AudioOperation(Operation):
    """The routes read their forms themselves, so Litestar cannot draw these from a signature."""

    form: ClassVar[AudioForm]

    def __post_init__(self) -> None:
        self.request_body = _request_body(self.form)
        self.responses = dict(_responses())


@dataclass
class TranscriptionOperation(_AudioOperation):
    form: ClassVar[AudioForm] = TRANSCRIPTIONS


@dataclass
class TranslationOperation(_AudioOperation):
    form: ClassVar[AudioForm] = TRANSLATIONS
