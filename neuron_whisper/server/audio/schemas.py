"""JSON schemas and examples of the audio routes' responses: OpenAI's fields and our extensions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from neuron_whisper.server.http.errors import INVALID_REQUEST, SERVER_ERROR

Schema = Mapping[str, Any]


def _object_schema(required: Mapping[str, Schema], optional: Mapping[str, Schema] | None = None) -> Schema:
    return {
        "type": "object",
        "required": list(required),
        "properties": {**required, **(optional or {})},
        "additionalProperties": False,
    }


def _array_schema(items: Schema) -> Schema:
    return {"type": "array", "items": items}


TEXT: Schema = {"type": "string"}
NUMBER: Schema = {"type": "number"}
SECONDS: Schema = {"type": "number", "minimum": 0}
COUNT: Schema = {"type": "integer", "minimum": 0}
BYTE: Schema = {"type": "integer", "minimum": 0, "maximum": 255}
TEXT_OR_NULL: Schema = {"type": ["string", "null"]}

ERROR = _object_schema(
    {
        "error": _object_schema(
            {
                "message": TEXT,
                "type": {"type": "string", "enum": [INVALID_REQUEST, SERVER_ERROR]},
                "param": TEXT_OR_NULL,
                "code": TEXT_OR_NULL,
            }
        )
    }
)
LANGUAGES = _array_schema(_object_schema({"code": TEXT}))
LOGPROBS = _array_schema(_object_schema({"token": TEXT, "bytes": _array_schema(BYTE), "logprob": NUMBER}))
WARNINGS = _array_schema(TEXT)
DURATION_USAGE = _object_schema({"type": {"type": "string", "enum": ["duration"]}, "seconds": COUNT})
TOKENS_USAGE = _object_schema(
    {
        "type": {"type": "string", "enum": ["tokens"]},
        "input_tokens": COUNT,
        "output_tokens": COUNT,
        "total_tokens": COUNT,
        "input_token_details": _object_schema({"audio_tokens": COUNT, "text_tokens": COUNT}),
    }
)
WORD = _object_schema({"word": TEXT, "start": SECONDS, "end": SECONDS})
SEGMENT = _object_schema(
    {
        "id": COUNT,
        "seek": COUNT,
        "start": SECONDS,
        "end": SECONDS,
        "text": TEXT,
        "tokens": _array_schema(COUNT),
        "temperature": {"type": "number", "minimum": 0, "maximum": 1},
        "avg_logprob": NUMBER,
        "compression_ratio": NUMBER,
        "no_speech_prob": {"type": "number", "minimum": 0, "maximum": 1},
    },
    {
        "retries": _array_schema(_object_schema({"temperature": NUMBER, "reason": TEXT})),
        "is_truncated": {"type": "boolean"},
    },
)
SKIPPED = _object_schema({"start": SECONDS, "end": SECONDS, "reason": TEXT, "text": TEXT})

_JSON_REQUIRED = {"text": TEXT, "languages": LANGUAGES}
_JSON_OPTIONAL = {"logprobs": LOGPROBS, "warnings": WARNINGS}
_VERBOSE_REQUIRED = {
    "task": {"type": "string", "enum": ["transcribe", "translate"]},
    "language": TEXT,
    "duration": SECONDS,
    "text": TEXT,
}
_VERBOSE_OPTIONAL = {
    "segments": _array_schema(SEGMENT),
    "words": _array_schema(WORD),
    "source_language": TEXT,
    "skipped": _array_schema(SKIPPED),
    "warnings": WARNINGS,
}
TRANSCRIPTION = _object_schema({**_JSON_REQUIRED, "usage": DURATION_USAGE}, _JSON_OPTIONAL)
VERBOSE_TRANSCRIPTION = _object_schema({**_VERBOSE_REQUIRED, "usage": DURATION_USAGE}, _VERBOSE_OPTIONAL)


def _event_schema(name: str, required: Mapping[str, Schema], optional: Mapping[str, Schema]) -> Schema:
    return _object_schema({"type": {"type": "string", "enum": [name]}, **required}, optional)


EVENT = {
    "anyOf": [
        _event_schema(
            "transcript.text.delta",
            {"delta": TEXT},
            {"logprobs": LOGPROBS, "segment": SEGMENT, "words": _array_schema(WORD)},
        ),
        _event_schema("transcript.text.done", {**_JSON_REQUIRED, "usage": TOKENS_USAGE}, _JSON_OPTIONAL),
        _event_schema("transcript.text.done", {**_VERBOSE_REQUIRED, "usage": TOKENS_USAGE}, _VERBOSE_OPTIONAL),
        ERROR,
    ]
}

# a stream is a sequence of these, as OpenAPI describes server-sent events
SERVER_SENT_EVENT: Schema = {
    "type": "object",
    "required": ["data"],
    "properties": {"data": {"type": "string", "contentMediaType": "application/json", "contentSchema": EVENT}},
}

# --- examples -------------------------------------------------------------------------------------

EXAMPLE_TEXT = "And so, my fellow Americans, ask not what your country can do for you."
SEGMENT_EXAMPLE = {
    "id": 0,
    "seek": 0,
    "start": 0.0,
    "end": 10.4,
    "text": f" {EXAMPLE_TEXT}",
    "tokens": [50363, 843, 523, 11, 50883],
    "temperature": 0.0,
    "avg_logprob": -0.24,
    "compression_ratio": 1.28,
    "no_speech_prob": 0.01,
}
VERBOSE_EXAMPLE = {"task": "transcribe", "language": "english", "duration": 11.0, "text": EXAMPLE_TEXT}
USAGE_EXAMPLE = {"type": "duration", "seconds": 11}
WORDS_EXAMPLE = [{"word": "And", "start": 0.32, "end": 0.6}, {"word": "so,", "start": 0.6, "end": 0.92}]
JSON_EXAMPLES: Mapping[str, tuple[str, Any]] = {
    "json": ("response_format=json", {"text": EXAMPLE_TEXT, "languages": [{"code": "en"}], "usage": USAGE_EXAMPLE}),
    "logprobs": (
        "response_format=json, include[]=logprobs",
        {
            "text": "And so",
            "languages": [{"code": "en"}],
            "usage": USAGE_EXAMPLE,
            "logprobs": [
                {"token": " And", "bytes": [32, 65, 110, 100], "logprob": -0.31},
                {"token": " so", "bytes": [32, 115, 111], "logprob": -0.02},
            ],
        },
    ),
    "verbose_json": (
        "response_format=verbose_json",
        {**VERBOSE_EXAMPLE, "segments": [SEGMENT_EXAMPLE], "usage": USAGE_EXAMPLE},
    ),
    "words": (
        "response_format=verbose_json, timestamp_granularities[]=word",
        {**VERBOSE_EXAMPLE, "words": WORDS_EXAMPLE, "usage": USAGE_EXAMPLE},
    ),
}
TEXT_EXAMPLES: Mapping[str, tuple[str, Any]] = {
    "text": ("response_format=text", f"{EXAMPLE_TEXT}\n"),
    "srt": ("response_format=srt", f"1\n00:00:00,000 --> 00:00:10,400\n{EXAMPLE_TEXT}\n\n"),
}
VTT_EXAMPLES: Mapping[str, tuple[str, Any]] = {
    "vtt": ("response_format=vtt", f"WEBVTT\n\n00:00.000 --> 00:10.400\n{EXAMPLE_TEXT}\n\n"),
}
EVENT_EXAMPLES: Mapping[str, tuple[str, Any]] = {
    "stream": (
        "stream=true: an event for each segment, then one for the whole; a failure on the way is the last event",
        'data: {"type":"transcript.text.delta","delta":"And so, my fellow Americans,"}\n\n'
        'data: {"type":"transcript.text.delta","delta":" ask not what your country can do for you."}\n\n'
        f'data: {{"type":"transcript.text.done","text":"{EXAMPLE_TEXT}","languages":[{{"code":"en"}}],'
        '"usage":{"type":"tokens","input_tokens":550,"output_tokens":26,"total_tokens":576,'
        '"input_token_details":{"audio_tokens":550,"text_tokens":0}}}\n\n',
    ),
}
ERROR_EXAMPLE = {
    "error": {
        "message": "temperature: '1.5' is not allowed; a number from 0 to 1",
        "type": INVALID_REQUEST,
        "param": "temperature",
        "code": "invalid_value",
    }
}
