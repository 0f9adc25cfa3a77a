"""What the OpenAPI document says of the audio routes: their forms, drawn from the fields, and their answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, cast

from litestar.openapi.spec import Example, OpenAPIMediaType, OpenAPIResponse, Operation, RequestBody, Schema

from neuron_whisper.server.audio import schemas as shapes
from neuron_whisper.server.audio.fields import (
    OPENAI_FIELDS,
    REQUIREMENTS,
    TRANSCRIPTIONS,
    TRANSLATIONS,
    AudioForm,
    Requirement,
)
from neuron_whisper.server.http.field_types import MAX_LIST_VALUES, FormField

Examples = Mapping[str, tuple[str, Any]]

ERROR_DESCRIPTIONS = {
    "400": "The request is wrong: a field, its value, or audio that cannot be read",
    "401": "No API key, or one that is not known, where the server wants one",
    "403": "The API key is not for this",
    "404": "No such model here",
    "408": "The upload stopped, or comes too slowly",
    "413": "The upload or its audio is over a limit",
    "429": "This client has as much in work as it may; Retry-After says when to ask again",
    "500": "The server failed at this request",
    "503": "No room now, or the server is ending; Retry-After says when to ask again",
    "504": "Not done within the server's time limit",
    "507": "The server's disk is full",
}
UPLOAD_EXAMPLE = "(the bytes of the file)"
REQUEST_EXAMPLES: Examples = {
    "transcript": ("The text alone", {"file": UPLOAD_EXAMPLE, "model": "whisper-1"}),
    "words": (
        "Times of words and segments",
        {
            "file": UPLOAD_EXAMPLE,
            "model": "whisper-1",
            "language": "en",
            "response_format": "verbose_json",
            "timestamp_granularities[]": ["word", "segment"],
        },
    ),
    "stream": ("Segments as they are done", {"file": UPLOAD_EXAMPLE, "model": "whisper-1", "stream": True}),
    "subtitles": (
        "Subtitles of two lines",
        {"file": UPLOAD_EXAMPLE, "response_format": "srt", "max_line_width": 42, "max_line_count": 2},
    ),
    "careful": (
        "Names, and pauses to cut at",
        {
            "file": UPLOAD_EXAMPLE,
            "keywords[]": ["Nakamura"],
            "chunking_strategy": {"type": "server_vad", "silence_duration_ms": 700},
            "compression_ratio_threshold": 2.2,
        },
    ),
}


def to_schema(data: Mapping[str, Any]) -> Schema:
    """A JSON schema as a mapping, where Litestar's types want its object and its document takes either."""
    return cast("Schema", data)


def describe_error(description: str) -> OpenAPIResponse:
    """An error of any route, in OpenAI's shape."""
    return OpenAPIResponse(
        description=description,
        content={"application/json": describe_body(shapes.ERROR, {"error": ("An error", shapes.ERROR_EXAMPLE)})},
    )


def describe_errors(*statuses: str) -> dict[str, OpenAPIResponse]:
    """Responses of these statuses, which ERRORS describes."""
    return {status: describe_error(ERROR_DESCRIPTIONS[status]) for status in statuses}


def describe_body(schema: Mapping[str, Any], examples: Examples) -> OpenAPIMediaType:
    """A body of this schema, with examples by name."""
    return OpenAPIMediaType(
        schema=to_schema(schema),
        examples={name: Example(summary=about, value=value) for name, (about, value) in examples.items()},
    )


def describe_form(form: AudioForm, required: Mapping[str, Any], examples: Examples) -> RequestBody:
    """A form by its fields and their requirements; `required` is the schema of what must be given."""
    names = [field.name for field in form.fields]
    schema = {
        "type": "object",
        **required,
        "properties": {field.form_name: _describe_field(field) for field in form.fields},
        "additionalProperties": False,
        "allOf": [_describe_requirement(requirement) for requirement in REQUIREMENTS if requirement.name in names],
    }
    return RequestBody(required=True, content={"multipart/form-data": describe_body(schema, examples)})


def _describe_field(field: FormField) -> Mapping[str, Any]:
    about = field.description if field in OPENAI_FIELDS else f"{field.description} Beyond OpenAI's API."
    schema: dict[str, Any] = dict(field.field_type.schema)
    if field.is_list:
        schema = {"type": "array", "items": schema, "maxItems": MAX_LIST_VALUES}
    return {**schema, "description": about, **({"examples": list(field.examples)} if field.examples else {})}


def _describe_requirement(requirement: Requirement) -> Mapping[str, Any]:
    """if this field (with that value), then that one."""
    name, needs = (
        next(field.form_name for field in TRANSCRIPTIONS.fields if field.name == plain)
        for plain in (requirement.name, requirement.requires)
    )
    given: dict[str, Any] = {"required": [name]}
    if requirement.value is not None:
        given["properties"] = {name: {"const": requirement.value}}
    then: dict[str, Any] = {}
    if requirement.required_values:
        then["properties"] = {needs: {"enum": list(requirement.required_values)}}
    if requirement.required_default not in requirement.required_values:
        then["required"] = [needs]
    return {"if": given, "then": then}


def _describe_responses() -> dict[str, OpenAPIResponse]:
    done = OpenAPIResponse(
        description="The transcript, in the form that was asked for",
        content={
            "application/json": describe_body(
                {"anyOf": [shapes.TRANSCRIPTION, shapes.VERBOSE_TRANSCRIPTION]}, shapes.JSON_EXAMPLES
            ),
            "text/plain": describe_body(shapes.TEXT, shapes.TEXT_EXAMPLES),
            "text/vtt": describe_body(shapes.TEXT, shapes.VTT_EXAMPLES),
            "text/event-stream": describe_body(shapes.SERVER_SENT_EVENT, shapes.EVENT_EXAMPLES),
        },
    )
    return {"200": done, **describe_errors(*ERROR_DESCRIPTIONS)}


@dataclass
class GuardedOperation(Operation):
    """A route below /v1 that its signature describes, with the errors that it may have beside its own."""

    def __post_init__(self) -> None:
        self.responses = {**(self.responses or {}), **describe_errors("400", "401", "403", "404", "500", "503")}


@dataclass
class _AudioOperation(Operation):
    """The routes read their forms themselves, so Litestar cannot draw these from a signature."""

    form: ClassVar[AudioForm]

    def __post_init__(self) -> None:
        self.request_body = describe_form(self.form, {"required": ["file"]}, REQUEST_EXAMPLES)
        self.responses = dict(_describe_responses())


@dataclass
class TranscriptionOperation(_AudioOperation):
    form: ClassVar[AudioForm] = TRANSCRIPTIONS


@dataclass
class TranslationOperation(_AudioOperation):
    form: ClassVar[AudioForm] = TRANSLATIONS
