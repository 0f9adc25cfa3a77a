"""The OpenAPI operations of the audio routes."""

from __future__ import annotations

from typing import Any

import pytest

from neuron_whisper.server.audio.fields import TRANSCRIPTIONS
from neuron_whisper.server.http.openapi import ERROR_DESCRIPTIONS


@pytest.fixture(params=["/v1/audio/transcriptions", "/v1/audio/translations"])
def operation(document: dict[str, Any], request: pytest.FixtureRequest) -> dict[str, Any]:
    operation: dict[str, Any] = document["paths"][request.param]["post"]
    return operation


def test_the_form_has_every_field_with_a_description(operation: dict[str, Any]) -> None:
    schema = operation["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert set(schema["properties"]) == {field.form_name for field in TRANSCRIPTIONS.fields}
    assert all(field["description"] for field in schema["properties"].values())
    assert (schema["required"], schema["additionalProperties"]) == (["file"], False)


def test_a_requirement_is_an_if_and_a_then(operation: dict[str, Any]) -> None:
    schema = operation["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert {
        "if": {"required": ["include[]"], "properties": {"include[]": {"contains": {"const": "logprobs"}}}},
        "then": {"properties": {"response_format": {"enum": ["json"]}}},
    } in schema["allOf"]
    assert {
        "if": {"required": ["include[]"], "properties": {"include[]": {"contains": {"const": "peaks"}}}},
        "then": {"required": ["stream"], "properties": {"stream": {"enum": [True]}}},
    } in schema["allOf"]
    assert {
        "if": {"required": ["max_line_count"]},
        "then": {"required": ["max_line_width"]},
    } in schema["allOf"]


def test_every_body_has_examples(operation: dict[str, Any]) -> None:
    content = operation["responses"]["200"]["content"]
    assert content.keys() == {"application/json", "text/plain", "text/vtt", "text/event-stream"}
    assert all(body["examples"] for body in content.values())
    assert operation["requestBody"]["content"]["multipart/form-data"]["examples"]


@pytest.mark.parametrize("status", ERROR_DESCRIPTIONS)
def test_every_error_has_the_error_schema(operation: dict[str, Any], status: str) -> None:
    assert operation["responses"][status]["content"]["application/json"]["schema"]["required"] == ["error"]
