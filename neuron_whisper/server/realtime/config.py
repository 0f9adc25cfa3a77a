"""The configuration of a realtime transcription session, in the format of OpenAI's API and in that of its beta."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, get_args

from msgspec import UNSET, UnsetType

from neuron_whisper.audio.pcm import G711_RATE, PCM_RATES
from neuron_whisper.decode.options import TranscribeOptions
from neuron_whisper.errors import InvalidOption
from neuron_whisper.live.options import LiveOptions, TurnDetection
from neuron_whisper.server.realtime.events import (
    BetaSessionUpdate,
    FormatUpdate,
    Logprobs,
    SessionUpdate,
    TranscriptionUpdate,
    TurnDetectionUpdate,
)
from neuron_whisper.server.realtime.options import create_options, list_realtime_specs, read_fields

PCM_RATE = 24_000  # OpenAI's only one, and the default
(LOGPROBS,) = get_args(Logprobs)
GA_ENCODINGS: Mapping[str, str] = MappingProxyType(
    {"audio/pcm": "pcm16", "audio/pcmu": "g711_ulaw", "audio/pcma": "g711_alaw"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RealtimeConfig:
    """Settings of a session. `model` None: the server's default. `turn_detection` None: the client commits.

    `transcription` are the decoding options that are set, by the names of OpenAI's fields.
    """

    model: str | None = None
    transcription: Mapping[str, Any] = field(default_factory=dict)
    encoding: str = "pcm16"
    rate: int = PCM_RATE
    turn_detection: TurnDetection | None = field(default_factory=TurnDetection)
    wants_logprobs: bool = False

    def live_options(self, *, vad_filter: bool) -> LiveOptions:
        """Raises InvalidOption."""
        return LiveOptions(
            transcribe=create_options(TranscribeOptions, self.transcription, vad_filter=vad_filter),
            turn_detection=self.turn_detection,
        )

    # --- updates ----------------------------------------------------------------------------------

    def with_update(self, session: SessionUpdate) -> RealtimeConfig:
        """The configuration with the changes of a session.update. Raises InvalidOption."""
        config = self._with_include(session.include)
        if session.audio is UNSET or session.audio.input is UNSET:
            return config
        path, audio = "session.audio.input", session.audio.input
        if audio.format is not UNSET:
            config = config._with_format(audio.format, f"{path}.format")
        config = config._with_transcription(audio.transcription, f"{path}.transcription")
        return config._with_turn_detection(audio.turn_detection, f"{path}.turn_detection")

    def with_beta_update(self, session: BetaSessionUpdate) -> RealtimeConfig:
        """The configuration with the changes of a transcription_session.update. Raises InvalidOption."""
        config = self._with_include(session.include)
        if (encoding := session.input_audio_format) is not None:
            config = replace(config, encoding=encoding, rate=PCM_RATE if encoding == "pcm16" else G711_RATE)
        path = "session.input_audio_transcription"
        config = config._with_transcription(session.input_audio_transcription, path)
        return config._with_turn_detection(session.turn_detection, "session.turn_detection")

    def _with_include(self, include: list[Logprobs] | UnsetType | None) -> RealtimeConfig:
        return self if include is UNSET else replace(self, wants_logprobs=bool(include))

    def _with_format(self, update: FormatUpdate, path: str) -> RealtimeConfig:
        name = update.type or "audio/pcm"
        encoding = GA_ENCODINGS[name]
        rates, default = (PCM_RATES, PCM_RATE) if encoding == "pcm16" else ((G711_RATE,), G711_RATE)
        rate = default if update.rate is None else update.rate
        if rate not in rates:
            raise InvalidOption(f"{path}.rate", rate, f"with {name}: {', '.join(map(str, rates))}")
        return replace(self, encoding=encoding, rate=rate)

    def _with_transcription(self, update: TranscriptionUpdate | UnsetType, path: str) -> RealtimeConfig:
        if update is UNSET:
            return self
        fields = {**self.transcription, **read_fields(update, TranscribeOptions)}
        create_options(TranscribeOptions, fields, path)  # refuses an invalid value with its path
        model = self.model if update.model is UNSET else (update.model or "").strip() or None
        return replace(self, model=model, transcription={name: value for name, value in fields.items() if value})

    def _with_turn_detection(self, update: TurnDetectionUpdate | UnsetType | None, path: str) -> RealtimeConfig:
        if update is UNSET:
            return self
        if update is None:
            return replace(self, turn_detection=None)
        return replace(self, turn_detection=create_options(TurnDetection, read_fields(update, TurnDetection), path))

    # --- session objects --------------------------------------------------------------------------

    def to_session(self, session_id: str, model: str) -> dict[str, Any]:
        """The session of session.created and session.updated."""
        name = next(ga for ga, encoding in GA_ENCODINGS.items() if encoding == self.encoding)
        audio_input = {
            "format": {"type": name, "rate": self.rate} if self.encoding == "pcm16" else {"type": name},
            "noise_reduction": None,
            "transcription": self._to_transcription(model),
            "turn_detection": self._to_turn_detection(),
        }
        return {
            "type": "transcription",
            "object": "realtime.transcription_session",
            "id": session_id,
            "audio": {"input": audio_input},
            "include": [LOGPROBS] if self.wants_logprobs else None,
        }

    def to_beta_session(self, session_id: str, model: str) -> dict[str, Any]:
        """The session of transcription_session.created and transcription_session.updated."""
        return {
            "id": session_id,
            "object": "realtime.transcription_session",
            "modalities": ["text"],
            "input_audio_format": self.encoding,
            "input_audio_noise_reduction": None,
            "input_audio_transcription": self._to_transcription(model),
            "turn_detection": self._to_turn_detection(),
            "include": [LOGPROBS] if self.wants_logprobs else None,
        }

    def _to_transcription(self, model: str) -> dict[str, Any]:
        return {"model": self.model or model, "language": None, "prompt": "", **self.transcription}

    def _to_turn_detection(self) -> dict[str, Any] | None:
        if self.turn_detection is None:
            return None
        specs = list_realtime_specs(TurnDetection)
        values = {name: getattr(self.turn_detection, spec.name) for name, spec in specs.items()}
        return {"type": "server_vad", **values}
