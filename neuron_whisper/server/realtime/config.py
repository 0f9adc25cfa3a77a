"""A realtime transcription session's configuration, in the shape of OpenAI's API and in that of its beta."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from neuron_whisper.audio.pcm import G711_RATE, PCM_RATES
from neuron_whisper.decode.options import TranscribeOptions
from neuron_whisper.errors import InvalidOption
from neuron_whisper.live.options import LiveOptions, TurnDetection
from neuron_whisper.server.realtime.json_fields import JsonFields, truncate

PCM_RATE = 24_000  # OpenAI's only one, and the default
LOGPROBS = "item.input_audio_transcription.logprobs"
GA_ENCODINGS: Mapping[str, str] = MappingProxyType(
    {"audio/pcm": "pcm16", "audio/pcmu": "g711_ulaw", "audio/pcma": "g711_alaw"}
)
READ_ONLY_FIELDS = ("id", "object", "expires_at")  # of a session that was told; clients send it back, changed
NO_RESPONSES = "this server transcribes, and answers nothing"
UNSUPPORTED: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "transcription": {"delay": "partial text comes when two hypotheses agree"},
        "turn_detection": {
            "create_response": NO_RESPONSES,
            "interrupt_response": NO_RESPONSES,
            "idle_timeout_ms": NO_RESPONSES,
            "eagerness": "it belongs to semantic_vad",
        },
        "input": {"noise_reduction": "audio is heard as it comes"},
        "beta": {
            "input_audio_noise_reduction": "audio is heard as it comes",
            "client_secret": "sessions are opened by API keys",
        },
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RealtimeConfig:
    """`model` None: the server's own. `turn_detection` None: the client commits."""

    model: str | None = None
    language: str | None = None
    languages: tuple[str, ...] = ()
    prompt: str | None = None
    keywords: tuple[str, ...] = ()
    encoding: str = "pcm16"
    rate: int = PCM_RATE
    turn_detection: TurnDetection | None = field(default_factory=TurnDetection)
    wants_logprobs: bool = False

    def live_options(self, *, vad_filter: bool) -> LiveOptions:
        """Raises InvalidOption."""
        return LiveOptions(
            transcribe=TranscribeOptions(
                language=self.language,
                languages=self.languages,
                initial_prompt=self.prompt,
                hotwords=", ".join(self.keywords) or None,
                vad_filter=vad_filter,
            ),
            turn_detection=self.turn_detection,
        )

    # --- updates ----------------------------------------------------------------------------------

    def with_update(self, session: object) -> RealtimeConfig:
        """With what the `session` of a session.update changes. Raises InvalidOption."""
        fields = JsonFields(session, "session")
        kind = fields.read_text("type")
        if kind not in (None, "transcription"):
            raise InvalidOption("session.type", truncate(kind), f"transcription: {NO_RESPONSES}")
        fields.ignore(READ_ONLY_FIELDS)
        made = self._with_include(fields)
        if fields.has("audio"):
            audio = JsonFields(fields.pop("audio"), "session.audio")
            if audio.has("input"):
                heard = JsonFields(audio.pop("input"), "session.audio.input")
                if heard.has("format"):
                    made = made._with_format(JsonFields(heard.pop("format"), heard.field_path("format")))
                made = made._with_transcription(heard, "transcription")._with_turn_detection(heard)
                heard.reject_unsupported(UNSUPPORTED["input"])
                heard.reject_unknown()
            audio.reject_unknown()
        fields.reject_unknown()
        return made

    def with_beta_update(self, event: Mapping[str, Any]) -> RealtimeConfig:
        """The same for a transcription_session.update, whose fields some clients do not put into a `session`."""
        if "session" in event:
            fields = JsonFields(event["session"], "session")
        else:
            fields = JsonFields({name: it for name, it in event.items() if name not in ("type", "event_id")}, "")
        fields.ignore(READ_ONLY_FIELDS)
        made = self._with_include(fields)
        if (name := fields.read_text("input_audio_format")) is not None:
            if name not in GA_ENCODINGS.values():
                allowed = f"one of {', '.join(GA_ENCODINGS.values())}"
                raise InvalidOption(fields.field_path("input_audio_format"), truncate(name), allowed)
            made = replace(made, encoding=name, rate=PCM_RATE if name == "pcm16" else G711_RATE)
        made = made._with_transcription(fields, "input_audio_transcription")._with_turn_detection(fields)
        if (modalities := fields.read_texts("modalities")) and modalities != ("text",):
            raise InvalidOption(fields.field_path("modalities"), truncate(list(modalities)), '["text"]')
        fields.reject_unsupported(UNSUPPORTED["beta"])
        fields.reject_unknown()
        return made

    def _with_include(self, fields: JsonFields) -> RealtimeConfig:
        if not fields.has("include"):
            return self
        included = fields.read_texts("include")
        for name in included:
            if name != LOGPROBS:
                raise InvalidOption(fields.field_path("include"), truncate(name), LOGPROBS)
        return replace(self, wants_logprobs=bool(included))

    def _with_format(self, fields: JsonFields) -> RealtimeConfig:
        name = fields.read_choice("type", tuple(GA_ENCODINGS), "audio/pcm")
        encoding = GA_ENCODINGS[name]
        own = PCM_RATE if encoding == "pcm16" else G711_RATE
        rate = fields.read_integer("rate", own)
        allowed = PCM_RATES if encoding == "pcm16" else (G711_RATE,)
        if rate not in allowed:
            raise InvalidOption(fields.field_path("rate"), rate, f"with {name}: {', '.join(map(str, allowed))}")
        fields.reject_unknown()
        return replace(self, encoding=encoding, rate=rate)

    def _with_transcription(self, parent: JsonFields, name: str) -> RealtimeConfig:
        if not parent.has(name):
            return self
        value = parent.pop(name)
        if value is None:
            raise InvalidOption(parent.field_path(name), None, "an object: a transcription session transcribes")
        fields = JsonFields(value, parent.field_path(name))
        changes: dict[str, Any] = {
            key: fields.read_text(key) or None for key in ("model", "language", "prompt") if fields.has(key)
        }
        changes |= {key: fields.read_texts(key) for key in ("languages", "keywords") if fields.has(key)}
        fields.reject_unsupported(UNSUPPORTED["transcription"])
        fields.reject_unknown()
        return replace(self, **changes)

    def _with_turn_detection(self, parent: JsonFields) -> RealtimeConfig:
        name = "turn_detection"
        if not parent.has(name):
            return self
        value = parent.pop(name)
        if value is None:
            return replace(self, turn_detection=None)
        fields = JsonFields(value, parent.field_path(name))
        fields.read_choice("type", ("server_vad",), "server_vad")
        default = TurnDetection()
        numbers = {
            "threshold": fields.read_number("threshold", default.threshold),
            "prefix_padding_ms": fields.read_integer("prefix_padding_ms", default.prefix_padding_ms),
            "silence_duration_ms": fields.read_integer("silence_duration_ms", default.silence_duration_ms),
        }
        fields.reject_unsupported(UNSUPPORTED["turn_detection"])
        fields.reject_unknown()
        try:
            return replace(self, turn_detection=TurnDetection(**numbers))  # type: ignore[arg-type]  # whole ones are whole
        except InvalidOption as fault:
            raise fault.with_field(fields.field_path(fault.field)) from None

    # --- as it is told ----------------------------------------------------------------------------

    def to_session(self, session_id: str, model: str) -> dict[str, Any]:
        """The session of session.created and session.updated."""
        name = next(ga for ga, ours in GA_ENCODINGS.items() if ours == self.encoding)
        form = {"type": name, "rate": self.rate} if self.encoding == "pcm16" else {"type": name}
        heard = {
            "format": form,
            "noise_reduction": None,
            "transcription": self._to_transcription(model),
            "turn_detection": self._to_turn_detection(),
        }
        return {
            "type": "transcription",
            "object": "realtime.transcription_session",
            "id": session_id,
            "audio": {"input": heard},
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
        told = {"model": self.model or model, "language": self.language, "prompt": self.prompt or ""}
        lists = {"languages": list(self.languages), "keywords": list(self.keywords)}
        return told | {name: values for name, values in lists.items() if values}

    def _to_turn_detection(self) -> dict[str, Any] | None:
        if self.turn_detection is None:
            return None
        return {
            "type": "server_vad",
            "threshold": self.turn_detection.threshold,
            "prefix_padding_ms": self.turn_detection.prefix_padding_ms,
            "silence_duration_ms": self.turn_detection.silence_duration_ms,
        }
