"""The JSON of the audio routes' responses as msgspec Structs: OpenAI's fields and our extensions.

The OpenAPI document is generated from them; UNSET fields are left out of a response.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, UnsetType

from neuron_whisper.server.http.openapi import ErrorResponse, JsonObject, get_schema

Count = Annotated[int, Meta(ge=0)]
Seconds = Annotated[float, Meta(ge=0)]
Byte = Annotated[int, Meta(ge=0, le=255)]
Probability = Annotated[float, Meta(ge=0, le=1)]


class DurationUsage(JsonObject, frozen=True, kw_only=True):
    type: Literal["duration"]
    seconds: Count


class InputTokenDetails(JsonObject, frozen=True, kw_only=True):
    audio_tokens: Count
    text_tokens: Count


class TokenUsage(JsonObject, frozen=True, kw_only=True):
    type: Literal["tokens"]
    input_tokens: Count
    output_tokens: Count
    total_tokens: Count
    input_token_details: InputTokenDetails


class DetectedLanguage(JsonObject, frozen=True, kw_only=True):
    code: str


class TokenLogprob(JsonObject, frozen=True, kw_only=True):
    """`bytes`: a token may be a part of a character."""

    token: str
    bytes: list[Byte]
    logprob: float


class TimedWord(JsonObject, frozen=True, kw_only=True):
    """`probability` is the mean of its tokens', as openai/whisper computes it; OpenAI's API has none."""

    word: str
    start: Seconds
    end: Seconds
    probability: Probability


class Retry(JsonObject, frozen=True, kw_only=True):
    """A temperature whose text was rejected, and the threshold that rejected it."""

    temperature: float
    reason: str


class VerboseSegment(JsonObject, frozen=True, kw_only=True):
    """`is_truncated`: a repetition loop at its end was removed. `source_language` is that of a translation."""

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
    language: str | UnsetType = UNSET
    source_language: str | UnsetType = UNSET
    retries: list[Retry] | UnsetType = UNSET
    is_truncated: bool | UnsetType = UNSET


class Skipped(JsonObject, frozen=True, kw_only=True):
    """A region of the audio without text, with the reason and the text that was discarded."""

    start: Seconds
    end: Seconds
    reason: str
    text: str


class _Text(JsonObject, frozen=True, kw_only=True):
    text: str
    languages: list[DetectedLanguage]
    logprobs: list[TokenLogprob] | UnsetType = UNSET
    warnings: list[str] | UnsetType = UNSET


class _Verbose(JsonObject, frozen=True, kw_only=True):
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


class PeaksEvent(JsonObject, frozen=True, kw_only=True):
    """The first event of a stream with include[]=peaks: the waveform of the audio.

    `peaks` are the largest |sample| of each twentieth of a second; 255 is full scale.
    """

    type: Literal["transcript.peaks"]
    peaks_per_second: Count
    peaks: list[Byte]


class TextDeltaEvent(JsonObject, frozen=True, kw_only=True):
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


TEXT_SCHEMA: Mapping[str, Any] = {"type": "string"}
# a stream is a sequence of these, as OpenAPI describes server-sent events
SERVER_SENT_EVENT_SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "required": ["data"],
    "properties": {
        "data": {
            "type": "string",
            "contentMediaType": "application/json",
            "contentSchema": get_schema(PeaksEvent, TextDeltaEvent, TextDoneEvent, VerboseDoneEvent, ErrorResponse),
        }
    },
}
