"""The OpenAPI operation of POST /invocations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from litestar.openapi.spec import OpenAPIMediaType, Operation, Parameter, RequestBody

from neuron_whisper.server.audio.examples import EXAMPLE_TEXT, REQUEST_EXAMPLES
from neuron_whisper.server.audio.openapi import describe_form, describe_responses
from neuron_whisper.server.http.openapi import describe_body, to_schema
from neuron_whisper.server.sagemaker.invocation import ATTRIBUTES_HEADER, BASE64_FIELDS, HEX_FIELD, INVOCATION_FORM

_FIELDS: Mapping[str, Any] = {"type": "object", "description": "Fields of the form of /v1/audio/transcriptions."}
JSON_SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "properties": {
        **{name: {"type": "string", "contentEncoding": "base64"} for name in BASE64_FIELDS},
        HEX_FIELD: {"type": "string", "pattern": "^([0-9a-fA-F]{2})*$"},
        "parameters": _FIELDS,
    },
    "oneOf": [{"required": [name]} for name in (*BASE64_FIELDS, HEX_FIELD)],
}
JSON_EXAMPLES = {
    "base64": ("A file in base64", {"inputs": "UklGRiQAAABXQVZF", "parameters": {"language": "en"}}),
    "beside": ("Fields beside the file", {"audio": "UklGRiQAAABXQVZF", "task": "translate", "prompt": EXAMPLE_TEXT}),
}


@dataclass
class InvocationOperation(Operation):
    """An operation whose handler reads its body itself, in any of three types."""

    def __post_init__(self) -> None:
        form = describe_form(INVOCATION_FORM, {"required": ["file"]}, REQUEST_EXAMPLES)
        file = OpenAPIMediaType(schema=to_schema({"type": "string", "format": "binary"}))
        self.request_body = RequestBody(
            required=True,
            content={
                "audio/*": file,
                "application/octet-stream": file,
                "application/json": describe_body(JSON_SCHEMA, JSON_EXAMPLES),
                **form.content,
            },
        )
        self.parameters = [
            Parameter(
                name=ATTRIBUTES_HEADER,
                param_in="header",
                schema=to_schema({"type": "string", "maxLength": 1024}),
                description="Fields of the form as NAME=VALUE, with semicolons between and values percent-encoded, or "
                "as a JSON object.",
            )
        ]
        self.responses = dict(describe_responses())
