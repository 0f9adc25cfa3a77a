"""Schemas, bodies and errors of the OpenAPI document."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from neuron_whisper.server.http.openapi import (
    ERROR_DESCRIPTIONS,
    ERROR_EXAMPLE,
    ErrorDetail,
    ErrorResponse,
    JsonObject,
    describe_errors,
    get_schema,
)


class Leaf(JsonObject, frozen=True, kw_only=True):
    n: int


class Tree(JsonObject, frozen=True, kw_only=True):
    first: Leaf
    others: list[Leaf] = []  # noqa: RUF012  # msgspec copies it


def test_a_schema_has_no_references() -> None:
    schema = get_schema(Tree)
    assert "$ref" not in json.dumps(schema)
    assert schema["properties"]["first"]["required"] == ["n"]
    assert schema["properties"]["others"]["items"]["title"] == "Leaf"
    assert schema["required"] == ["first"]


def test_several_types_are_alternatives() -> None:
    assert [schema["title"] for schema in get_schema(Leaf, Tree)["anyOf"]] == ["Leaf", "Tree"]


def test_an_undeclared_field_is_invalid() -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"n": 1, "m": 2}, Leaf)


def test_an_error_has_all_four_keys_as_openai_requires() -> None:
    assert set(get_schema(ErrorDetail)["required"]) == {"message", "type", "param", "code"}
    assert msgspec.convert(ERROR_EXAMPLE, ErrorResponse)


@pytest.mark.parametrize("path", ["/v1/models", "/v1/models/{model}"])
def test_operations_below_v1_have_the_common_errors(document: dict[str, Any], path: str) -> None:
    operation = document["paths"][path]["get"]
    for status in ("400", "401", "403", "404", "500", "503"):
        content = operation["responses"][status]["content"]["application/json"]
        assert content["schema"]["required"] == ["error"]


def test_every_status_has_a_description() -> None:
    responses = describe_errors(*ERROR_DESCRIPTIONS)
    assert {status: it.description for status, it in responses.items()} == ERROR_DESCRIPTIONS
