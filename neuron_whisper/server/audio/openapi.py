"""OpenAPI operations of the audio routes: their forms, from the form fields, and their responses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from litestar.openapi.spec import OpenAPIResponse, Operation, RequestBody

from neuron_whisper.server.audio.examples import (
    EVENT_EXAMPLES,
    JSON_EXAMPLES,
    REQUEST_EXAMPLES,
    TEXT_EXAMPLES,
    VTT_EXAMPLES,
)
from neuron_whisper.server.audio.fields import (
    OPENAI_NAMES,
    REQUIREMENTS,
    TRANSCRIPTIONS,
    TRANSLATIONS,
    AudioForm,
    Requirement,
)
from neuron_whisper.server.audio.schemas import (
    SERVER_SENT_EVENT_SCHEMA,
    TEXT_SCHEMA,
    TranscriptionResponse,
    VerboseTranscriptionResponse,
)
from neuron_whisper.server.http.field_types import MAX_LIST_VALUES, FormField
from neuron_whisper.server.http.openapi import (
    ERROR_DESCRIPTIONS,
    Examples,
    describe_body,
    describe_errors,
    get_schema,
)


def describe_form(form: AudioForm, required: Mapping[str, Any], examples: Examples) -> RequestBody:
    """A form with its fields and their requirements; `required` is the schema of what must be given."""
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
    description = field.description if field.name in OPENAI_NAMES else f"{field.description} Not in OpenAI's API."
    schema: dict[str, Any] = dict(field.field_type.schema)
    if field.is_list:
        schema = {"type": "array", "items": schema, "maxItems": MAX_LIST_VALUES}
    return {**schema, "description": description, **({"examples": list(field.examples)} if field.examples else {})}


def _describe_requirement(requirement: Requirement) -> Mapping[str, Any]:
    """A requirement as if/then of JSON schema."""
    field, other = (
        next(field for field in TRANSCRIPTIONS.fields if field.name == plain)
        for plain in (requirement.name, requirement.requires)
    )
    name, needs = field.form_name, other.form_name
    given: dict[str, Any] = {"required": [name]}
    if requirement.value is not None:
        value = {"const": requirement.value}
        given["properties"] = {name: {"contains": value} if field.is_list else value}
    then: dict[str, Any] = {}
    if requirement.required_values:
        then["properties"] = {needs: {"enum": list(requirement.required_values)}}
    if requirement.required_default not in requirement.required_values:
        then["required"] = [needs]
    return {"if": given, "then": then}


def describe_responses() -> dict[str, OpenAPIResponse]:
    done = OpenAPIResponse(
        description="The transcript in the requested format",
        content={
            "application/json": describe_body(
                get_schema(TranscriptionResponse, VerboseTranscriptionResponse), JSON_EXAMPLES
            ),
            "text/plain": describe_body(TEXT_SCHEMA, TEXT_EXAMPLES),
            "text/vtt": describe_body(TEXT_SCHEMA, VTT_EXAMPLES),
            "text/event-stream": describe_body(SERVER_SENT_EVENT_SCHEMA, EVENT_EXAMPLES),
        },
    )
    return {"200": done, **describe_errors(*ERROR_DESCRIPTIONS)}


@dataclass
class _AudioOperation(Operation):
    """An operation whose handler parses its form itself, so Litestar cannot derive the form from the signature."""

    form: ClassVar[AudioForm]

    def __post_init__(self) -> None:
        self.request_body = describe_form(self.form, {"required": ["file"]}, REQUEST_EXAMPLES)
        self.responses = dict(describe_responses())


@dataclass
class TranscriptionOperation(_AudioOperation):
    form: ClassVar[AudioForm] = TRANSCRIPTIONS


@dataclass
class TranslationOperation(_AudioOperation):
    form: ClassVar[AudioForm] = TRANSLATIONS
