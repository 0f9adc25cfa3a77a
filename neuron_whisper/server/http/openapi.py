"""OpenAPI building blocks that every route uses: schemas of msgspec Structs, bodies with examples, error responses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

import msgspec
from litestar.openapi.spec import Example, OpenAPIMediaType, OpenAPIResponse, Operation, Schema

from neuron_whisper.server.http.errors import INVALID_REQUEST

Examples = Mapping[str, tuple[str, Any]]
"""name -> (summary, value)"""

ERROR_DESCRIPTIONS = {
    "400": "Invalid request: a field, its value, or audio that cannot be decoded",
    "401": "Missing or invalid API key",
    "403": "The API key lacks the permission, or a page's host or origin is not allowed",
    "404": "Unknown model",
    "408": "The upload paused or is too slow",
    "413": "The upload or its audio exceeds a limit",
    "415": "The body has a Content-Encoding, or another type than application/json where JSON is expected",
    "429": "Too many requests of this client in flight; see Retry-After",
    "500": "Internal server error",
    "503": "No capacity now, or the server is shutting down; see Retry-After",
    "504": "Not finished within the server's time limit",
    "507": "The server's disk is full",
}
ERROR_EXAMPLE = {
    "error": {
        "message": "temperature: '1.5' is not allowed; a number from 0 to 1",
        "type": INVALID_REQUEST,
        "param": "temperature",
        "code": "invalid_value",
    }
}


class JsonObject(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A JSON object whose fields are all declared."""


class ErrorDetail(JsonObject, frozen=True, kw_only=True):
    message: str
    type: Literal["invalid_request_error", "server_error"]
    param: str | None
    code: str | None


class ErrorResponse(JsonObject, frozen=True, kw_only=True):
    """An error of any route."""

    error: ErrorDetail


def get_schema(*types: type[msgspec.Struct]) -> Mapping[str, Any]:
    """The JSON schema of a type, or of any of several, without references: Litestar replaces other components."""
    schemas, components = msgspec.json.schema_components(types, ref_template="{name}")
    inlined = [_inline(schema, components) for schema in schemas]
    schema: Mapping[str, Any] = inlined[0] if len(inlined) == 1 else {"anyOf": inlined}
    return schema


def _inline(schema: Any, components: Mapping[str, Any]) -> Any:
    if isinstance(schema, list):
        return [_inline(item, components) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return _inline(components[schema["$ref"]], components)
    return {name: _inline(value, components) for name, value in schema.items()}


def to_schema(data: Mapping[str, Any]) -> Schema:
    """A JSON schema as Litestar's type: its document takes mappings as well, its annotations do not."""
    return cast("Schema", data)


def describe_error(description: str) -> OpenAPIResponse:
    """The response of an error, in OpenAI's format."""
    return OpenAPIResponse(
        description=description,
        content={"application/json": describe_body(get_schema(ErrorResponse), {"error": ("An error", ERROR_EXAMPLE)})},
    )


def describe_errors(*statuses: str) -> dict[str, OpenAPIResponse]:
    """The responses of these statuses, which ERROR_DESCRIPTIONS has."""
    return {status: describe_error(ERROR_DESCRIPTIONS[status]) for status in statuses}


def describe_body(schema: Mapping[str, Any], examples: Examples) -> OpenAPIMediaType:
    """A body with this schema and these examples."""
    return OpenAPIMediaType(
        schema=to_schema(schema),
        examples={name: Example(summary=summary, value=value) for name, (summary, value) in examples.items()},
    )


@dataclass
class GuardedOperation(Operation):
    """An operation below /v1 that Litestar derives from the signature, with the common error responses added."""

    def __post_init__(self) -> None:
        self.responses = {**(self.responses or {}), **describe_errors("400", "401", "403", "404", "500", "503")}


@dataclass
class GuardedJsonOperation(GuardedOperation):
    """A GuardedOperation that reads a JSON body."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.responses = {**(self.responses or {}), **describe_errors("413", "415")}
