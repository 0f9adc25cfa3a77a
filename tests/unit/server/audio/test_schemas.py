"""JSON schemas of responses."""

from __future__ import annotations

import json

import pytest

from neuron_whisper.server.audio.schemas import (
    SERVER_SENT_EVENT_SCHEMA,
    DurationUsage,
    TextDeltaEvent,
    TranscriptionResponse,
    VerboseTranscriptionResponse,
)
from neuron_whisper.server.http.openapi import get_schema


def test_a_schema_has_the_fields_of_its_type() -> None:
    schema = dict(get_schema(DurationUsage))
    assert schema.pop("title") == "DurationUsage"
    assert schema == {
        "type": "object",
        "properties": {"type": {"enum": ["duration"]}, "seconds": {"type": "integer", "minimum": 0}},
        "required": ["type", "seconds"],
        "additionalProperties": False,
    }


def test_fields_that_may_be_left_out_are_not_required() -> None:
    assert set(get_schema(TranscriptionResponse)["required"]) == {"text", "languages", "usage"}
    assert {"words", "skipped"}.isdisjoint(get_schema(VerboseTranscriptionResponse)["required"])
    assert set(get_schema(TextDeltaEvent)["required"]) == {"type", "delta"}


@pytest.mark.parametrize("schema", [SERVER_SENT_EVENT_SCHEMA, get_schema(VerboseTranscriptionResponse)])
def test_no_reference_is_left(schema: object) -> None:
    assert "$ref" not in json.dumps(schema)
