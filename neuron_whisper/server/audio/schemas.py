"""The JSON of the audio routes' responses as msgspec Structs: OpenAI's fields and our extensions.

The OpenAPI document is generated from them; UNSET fields are left out of a response.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

Count = Annotated[int, Meta(ge=0)]
Seconds = Annotated[float, Meta(ge=0)]
Byte = Annotated[int, Meta(ge=0, le=255)]
Probability = Annotated[float, Meta(ge=0, le=1)]


class _Json(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class ErrorDetail(_Json, frozen=True, kw_only=True):
    message: str
    type: Literal["invalid_request_error", "server_error"]
    param: str | None
    code: str | None


class ErrorResponse(_Json, frozen=True, kw_only=True):
    """An error of any route."""

    error: ErrorDetail


class DurationUsage(_Json, frozen=True, kw_only=True):
    type: Literal["duration"]
    seconds: Count


class InputTokenDetails(_Json, frozen=True, kw_only=True):
    audio_tokens: Count
    text_tokens: Count


class TokenUsage(_Json, frozen=True, kw_only=True):
    type: Literal["tokens"]
    input_tokens: Count
    output_tokens: Count
    total_tokens: Count
    input_token_details: InputTokenDetails


class DetectedLanguage(_Json, frozen=True, kw_only=True):
    code: str


class TokenLogprob(_Json, frozen=True, kw_only=True):
    """`bytes`: a token may be a part of a character."""

    token: str
    bytes: list[Byte]
    logprob: float


class TimedWord(_Json, frozen=True, kw_only=True):
    word: str
    start: Seconds
    end: Seconds


class Retry(_Json, frozen=True, kw_only=True):
    """A temperature whose text was rejected, and the threshold that rejected it."""

    temperature: float
    reason: str


class VerboseSegment(_Json, frozen=True, kw_only=True):
    """`is_truncated`: a repetition loop at its end was removed."""

    id: Count
    seek: Count
    start: Seconds
    end: Seconds
    text: str
    tokens: list[Count]
    temperature: Probability
    avg_logprob: float
    compression_ratio: float
    no_speech_prob: Probability
    retries: list[Retry] | UnsetType = UNSET
    is_truncated: bool | UnsetType = UNSET


class Skipped(_Json, frozen=True, kw_only=True):
    """A region of the audio without text, with the reason and the text that was discarded."""

    start: Seconds
    end: Seconds
    reason: str
    text: str


class _Text(_Json, frozen=True, kw_only=True):
    text: str
    languages: list[DetectedLanguage]
    logprobs: list[TokenLogprob] | UnsetType = UNSET
    warnings: list[str] | UnsetType = UNSET


class _Verbose(_Json, frozen=True, kw_only=True):
    task: Literal["transcribe", "translate"]
    language: str
    duration: Seconds
    text: str
    segments: list[VerboseSegment] | UnsetType = UNSET
    words: list[TimedWord] | UnsetType = UNSET
    source_language: str | UnsetType = UNSET
    skipped: list[Skipped] | UnsetType = UNSET
    warnings: list[str] | UnsetType = UNSET


class TranscriptionResponse(_Text, frozen=True, kw_only=True):
    """response_format=json."""

    usage: DurationUsage


class VerboseTranscriptionResponse(_Verbose, frozen=True, kw_only=True):
    """response_format=verbose_json."""

    usage: DurationUsage


class TextDeltaEvent(_Json, frozen=True, kw_only=True):
    """A finished segment of a stream; `segment` and `words` with response_format=verbose_json."""

    type: Literal["transcript.text.delta"]
    delta: str
    logprobs: list[TokenLogprob] | UnsetType = UNSET
    segment: VerboseSegment | UnsetType = UNSET
    words: list[TimedWord] | UnsetType = UNSET


class TextDoneEvent(_Text, frozen=True, kw_only=True):
    """The last event of a stream with response_format=json."""

    type: Literal["transcript.text.done"]
    usage: TokenUsage


class VerboseDoneEvent(_Verbose, frozen=True, kw_only=True):
    """The last event of a stream with response_format=verbose_json."""

    type: Literal["transcript.text.done"]
    usage: TokenUsage


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


TEXT_SCHEMA: Mapping[str, Any] = {"type": "string"}
# a stream is a sequence of these, as OpenAPI describes server-sent events
SERVER_SENT_EVENT_SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "required": ["data"],
    "properties": {
        "data": {
            "type": "string",
            "contentMediaType": "application/json",
            "contentSchema": get_schema(TextDeltaEvent, TextDoneEvent, VerboseDoneEvent, ErrorResponse),
        }
    },
}
