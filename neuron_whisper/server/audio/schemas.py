"""JSON schemas and examples of what the audio routes answer: OpenAI's shapes, and what stands there beyond them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from neuron_whisper.server.http.errors import CALLER, SERVER

Schema = Mapping[str, Any]


def _object(required: Mapping[str, Schema], optional: Mapping[str, Schema] | None = None) -> Schema:
    return {
        "type": "object",
        "required": list(required),
        "properties": {**required, **(optional or {})},
        "additionalProperties": False,
    }


def _list(items: Schema) -> Schema:
    return {"type": "array", "items": items}


TEXT: Schema = {"type": "string"}
NUMBER: Schema = {"type": "number"}
SECONDS: Schema = {"type": "number", "minimum": 0}
COUNT: Schema = {"type": "integer", "minimum": 0}
BYTE: Schema = {"type": "integer", "minimum": 0, "maximum": 255}
TEXT_OR_NULL: Schema = {"type": ["string", "null"]}

ERROR = _object(
    {
        "error": _object(
            {
                "message": TEXT,
                "type": {"type": "string", "enum": [CALLER, SERVER]},
                "param": TEXT_OR_NULL,
                "code": TEXT_OR_NULL,
            }
        )
    }
)
LANGUAGES = _list(_object({"code": TEXT}))
LOGPROBS = _list(_object({"token": TEXT, "bytes": _list(BYTE), "logprob": NUMBER}))
WARNINGS = _list(TEXT)
DURATION_USED = _object({"type": {"type": "string", "enum": ["duration"]}, "seconds": COUNT})
TOKENS_USED = _object(
    {
        "type": {"type": "string", "enum": ["tokens"]},
        "input_tokens": COUNT,
        "output_tokens": COUNT,
        "total_tokens": COUNT,
        "input_token_details": _object({"audio_tokens": COUNT, "text_tokens": COUNT}),
    }
)
WORD = _object({"word": TEXT, "start": SECONDS, "end": SECONDS})
SEGMENT = _object(
    {
        "id": COUNT,
        "seek": COUNT,
        "start": SECONDS,
        "end": SECONDS,
        "text": TEXT,
        "tokens": _list(COUNT),
        "temperature": {"type": "number", "minimum": 0, "maximum": 1},
        "avg_logprob": NUMBER,
        "compression_ratio": NUMBER,
        "no_speech_prob": {"type": "number", "minimum": 0, "maximum": 1},
    },
    {"retries": _list(_object({"temperature": NUMBER, "reason": TEXT})), "is_cut": {"type": "boolean"}},
)
DROPPED = _object({"start": SECONDS, "end": SECONDS, "reason": TEXT, "text": TEXT})

_JSON = {"text": TEXT, "languages": LANGUAGES}
_JSON_MORE = {"logprobs": LOGPROBS, "warnings": WARNINGS}
_VERBOSE = {
    "task": {"type": "string", "enum": ["transcribe", "translate"]},
    "language": TEXT,
    "duration": SECONDS,
    "text": TEXT,
}
_VERBOSE_MORE = {
    "segments": _list(SEGMENT),
    "words": _list(WORD),
    "source_language": TEXT,
    "dropped": _list(DROPPED),
    "warnings": WARNINGS,
}
TRANSCRIPTION = _object({**_JSON, "usage": DURATION_USED}, _JSON_MORE)
VERBOSE = _object({**_VERBOSE, "usage": DURATION_USED}, _VERBOSE_MORE)


def _event(name: str, required: Mapping[str, Schema], optional: Mapping[str, Schema]) -> Schema:
    return _object({"type": {"type": "string", "enum": [name]}, **required}, optional)


EVENT = {
    "anyOf": [
        _event(
            "transcript.text.delta", {"delta": TEXT}, {"logprobs": LOGPROBS, "segment": SEGMENT, "words": _list(WORD)}
        ),
        _event("transcript.text.done", {**_JSON, "usage": TOKENS_USED}, _JSON_MORE),
        _event("transcript.text.done", {**_VERBOSE, "usage": TOKENS_USED}, _VERBOSE_MORE),
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

SAID = "And so, my fellow Americans, ask not what your country can do for you."
SEGMENT_EXAMPLE = {
    "id": 0,
    "seek": 0,
    "start": 0.0,
    "end": 10.4,
    "text": f" {SAID}",
    "tokens": [50363, 843, 523, 11, 50883],
    "temperature": 0.0,
    "avg_logprob": -0.24,
    "compression_ratio": 1.28,
    "no_speech_prob": 0.01,
}
VERBOSE_EXAMPLE = {"task": "transcribe", "language": "english", "duration": 11.0, "text": SAID}
USED = {"type": "duration", "seconds": 11}
WORDS_EXAMPLE = [{"word": "And", "start": 0.32, "end": 0.6}, {"word": "so,", "start": 0.6, "end": 0.92}]
JSON_EXAMPLES: Mapping[str, tuple[str, Any]] = {
    "json": ("response_format=json", {"text": SAID, "languages": [{"code": "en"}], "usage": USED}),
    "logprobs": (
        "response_format=json, include[]=logprobs",
        {
            "text": "And so",
            "languages": [{"code": "en"}],
            "usage": USED,
            "logprobs": [
                {"token": " And", "bytes": [32, 65, 110, 100], "logprob": -0.31},
                {"token": " so", "bytes": [32, 115, 111], "logprob": -0.02},
            ],
        },
    ),
    "verbose_json": ("response_format=verbose_json", {**VERBOSE_EXAMPLE, "segments": [SEGMENT_EXAMPLE], "usage": USED}),
    "words": (
        "response_format=verbose_json, timestamp_granularities[]=word",
        {**VERBOSE_EXAMPLE, "words": WORDS_EXAMPLE, "usage": USED},
    ),
}
TEXT_EXAMPLES: Mapping[str, tuple[str, Any]] = {
    "text": ("response_format=text", f"{SAID}\n"),
    "srt": ("response_format=srt", f"1\n00:00:00,000 --> 00:00:10,400\n{SAID}\n\n"),
}
VTT_EXAMPLES: Mapping[str, tuple[str, Any]] = {
    "vtt": ("response_format=vtt", f"WEBVTT\n\n00:00.000 --> 00:10.400\n{SAID}\n\n"),
}
EVENT_EXAMPLES: Mapping[str, tuple[str, Any]] = {
    "stream": (
        "stream=true: an event for each segment, then one for the whole; a failure on the way is the last event",
        'data: {"type":"transcript.text.delta","delta":"And so, my fellow Americans,"}\n\n'
        'data: {"type":"transcript.text.delta","delta":" ask not what your country can do for you."}\n\n'
        f'data: {{"type":"transcript.text.done","text":"{SAID}","languages":[{{"code":"en"}}],'
        '"usage":{"type":"tokens","input_tokens":550,"output_tokens":26,"total_tokens":576,'
        '"input_token_details":{"audio_tokens":550,"text_tokens":0}}}\n\n',
    ),
}
ERROR_EXAMPLE = {
    "error": {
        "message": "temperature: '1.5' is not allowed; a number from 0 to 1",
        "type": CALLER,
        "param": "temperature",
        "code": "invalid_value",
    }
}
