"""The events that a client of OpenAI's realtime API sends, and the session objects in them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, TypeAlias

import msgspec
from msgspec import UNSET, UnsetType

from neuron_whisper.decode.options import TranscribeOptions
from neuron_whisper.live.options import TurnDetection
from neuron_whisper.server.realtime.conversion import JsonObject
from neuron_whisper.server.realtime.options import with_options

Logprobs = Literal["item.input_audio_transcription.logprobs"]
Encoding = Literal["pcm16", "g711_ulaw", "g711_alaw"]
FormatName = Literal["audio/pcm", "audio/pcmu", "audio/pcma"]
Ignored: TypeAlias = Any
"""A read-only field of a session object that the server sent, which clients send back; or noise reduction, which the
session says is null: audio is transcribed as it is sent."""
Unsupported: TypeAlias = Any

NO_RESPONSES = "this server transcribes and generates no responses"

# --- session objects: UNSET leaves a setting as it is, null is its default ------------------------


# OpenAI's object has a list of keywords, and no field for word times
@with_options(TranscribeOptions, exclude=("words",), types={"keywords": list[str]})
class TranscriptionUpdate(JsonObject, frozen=True, kw_only=True):
    """Model and decoding options. The same object in both versions of the API."""

    model: str | UnsetType | None = UNSET
    delay: Unsupported = UNSET
    unsupported: ClassVar[Mapping[str, str]] = {"delay": "partial text is sent when two hypotheses agree"}


@with_options(TurnDetection)
class TurnDetectionUpdate(JsonObject, frozen=True, kw_only=True):
    """Voice activity detection. The same object in both versions of the API."""

    type: Literal["server_vad"] | None = None
    create_response: Unsupported = UNSET
    interrupt_response: Unsupported = UNSET
    idle_timeout_ms: Unsupported = UNSET
    eagerness: Unsupported = UNSET
    unsupported: ClassVar[Mapping[str, str]] = {
        "create_response": NO_RESPONSES,
        "interrupt_response": NO_RESPONSES,
        "idle_timeout_ms": NO_RESPONSES,
        "eagerness": "it belongs to semantic_vad",
    }


class FormatUpdate(JsonObject, frozen=True, kw_only=True):
    type: FormatName | None = None
    rate: int | None = None


class InputUpdate(JsonObject, frozen=True, kw_only=True):
    format: FormatUpdate | UnsetType = UNSET
    transcription: TranscriptionUpdate | UnsetType = UNSET
    turn_detection: TurnDetectionUpdate | UnsetType | None = UNSET
    noise_reduction: Ignored = UNSET


class AudioUpdate(JsonObject, frozen=True, kw_only=True):
    input: InputUpdate | UnsetType = UNSET


class SessionUpdate(JsonObject, frozen=True, kw_only=True):
    """The `session` of a session.update."""

    type: Literal["transcription"] | None = None
    audio: AudioUpdate | UnsetType = UNSET
    include: list[Logprobs] | UnsetType | None = UNSET
    id: Ignored = UNSET
    object: Ignored = UNSET
    expires_at: Ignored = UNSET


class BetaSessionUpdate(JsonObject, frozen=True, kw_only=True):
    """The `session` of a transcription_session.update, of the beta version of the API."""

    input_audio_format: Encoding | None = None
    input_audio_transcription: TranscriptionUpdate | UnsetType = UNSET
    turn_detection: TurnDetectionUpdate | UnsetType | None = UNSET
    modalities: list[Literal["text"]] | None = None
    include: list[Logprobs] | UnsetType | None = UNSET
    input_audio_noise_reduction: Ignored = UNSET
    client_secret: Unsupported = UNSET
    id: Ignored = UNSET
    object: Ignored = UNSET
    expires_at: Ignored = UNSET
    unsupported: ClassVar[Mapping[str, str]] = {
        "client_secret": "sessions are opened with API keys",
    }


# --- events ---------------------------------------------------------------------------------------


class ClientEvent(msgspec.Struct, frozen=True, kw_only=True, tag_field="type"):
    event_id: str | None = None


AUDIO_EVENT = "input_audio_buffer.append"


class AppendAudio(ClientEvent, frozen=True, tag=AUDIO_EVENT):
    """`audio` is base64 of the session's input audio format."""

    audio: str


class CommitAudio(ClientEvent, frozen=True, tag="input_audio_buffer.commit"):
    pass


class ClearAudio(ClientEvent, frozen=True, tag="input_audio_buffer.clear"):
    pass


class UpdateSession(ClientEvent, frozen=True, tag="session.update"):
    session: SessionUpdate


class UpdateBetaSession(ClientEvent, frozen=True, tag="transcription_session.update"):
    session: BetaSessionUpdate


class CloseSession(ClientEvent, frozen=True, tag="session.close"):
    pass


AnyClientEvent: TypeAlias = AppendAudio | CommitAudio | ClearAudio | UpdateSession | UpdateBetaSession | CloseSession
CLIENT_EVENTS = tuple(
    str(event.__struct_config__.tag)
    for event in (UpdateSession, UpdateBetaSession, AppendAudio, CommitAudio, ClearAudio, CloseSession)
)


def nest_beta_session(event: dict[str, Any]) -> dict[str, Any]:
    """Some clients put the fields of a transcription_session.update into the event itself: move them to `session`.

    {"type": "transcription_session.update", "modalities": []} -> {"type": ..., "session": {"modalities": []}}
    """
    if event.get("type") != UpdateBetaSession.__struct_config__.tag or "session" in event:
        return event
    header: dict[str, Any] = {name: event[name] for name in ("type", "event_id") if name in event}
    return {**header, "session": {name: value for name, value in event.items() if name not in header}}
