"""A realtime transcription session's configuration, in the shape of OpenAI's API and in that of its beta."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from neuron_whisper.audio.pcm import G711_RATE, RATES
from neuron_whisper.decode.options import TranscribeOptions
from neuron_whisper.errors import InvalidOption
from neuron_whisper.live.options import LiveOptions, TurnDetection
from neuron_whisper.server.realtime.json_fields import Fields, short

PCM_RATE = 24_000  # OpenAI's only one, and the default
LOGPROBS = "item.input_audio_transcription.logprobs"
GA_ENCODINGS: Mapping[str, str] = MappingProxyType(
    {"audio/pcm": "pcm16", "audio/pcmu": "g711_ulaw", "audio/pcma": "g711_alaw"}
)
ECHOED = ("id", "object", "expires_at")  # of a session that was told; clients send it back, changed
NO_ANSWERS = "this server transcribes, and answers nothing"
NOT_HERE: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "transcription": {"delay": "partial text comes when two hypotheses agree"},
        "turn_detection": {
            "create_response": NO_ANSWERS,
            "interrupt_response": NO_ANSWERS,
            "idle_timeout_ms": NO_ANSWERS,
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
    """`model` None: the server's own. `turns` None: the client commits."""

    model: str | None = None
    language: str | None = None
    languages: tuple[str, ...] = ()
    prompt: str | None = None
    keywords: tuple[str, ...] = ()
    encoding: str = "pcm16"
    rate: int = PCM_RATE
    turns: TurnDetection | None = field(default_factory=TurnDetection)
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
            turns=self.turns,
        )

    # --- updates ----------------------------------------------------------------------------------

    def updated(self, session: object) -> RealtimeConfig:
        """With what the `session` of a session.update changes. Raises InvalidOption."""
        fields = Fields(session, "session")
        kind = fields.text("type")
        if kind not in (None, "transcription"):
            raise InvalidOption("session.type", short(kind), f"transcription: {NO_ANSWERS}")
        fields.drop(ECHOED)
        made = self._included(fields)
        if fields.has("audio"):
            audio = Fields(fields.take("audio"), "session.audio")
            if audio.has("input"):
                heard = Fields(audio.take("input"), "session.audio.input")
                if heard.has("format"):
                    made = made._formatted(Fields(heard.take("format"), heard.at("format")))
                made = made._transcribing(heard, "transcription")._turning(heard)
                heard.refuse(NOT_HERE["input"])
                heard.end()
            audio.end()
        fields.end()
        return made

    def updated_beta(self, event: Mapping[str, Any]) -> RealtimeConfig:
        """The same for a transcription_session.update, whose fields some clients do not put into a `session`."""
        if "session" in event:
            fields = Fields(event["session"], "session")
        else:
            fields = Fields({name: it for name, it in event.items() if name not in ("type", "event_id")}, "")
        fields.drop(ECHOED)
        made = self._included(fields)
        if (name := fields.text("input_audio_format")) is not None:
            if name not in GA_ENCODINGS.values():
                allowed = f"one of {', '.join(GA_ENCODINGS.values())}"
                raise InvalidOption(fields.at("input_audio_format"), short(name), allowed)
            made = replace(made, encoding=name, rate=PCM_RATE if name == "pcm16" else G711_RATE)
        made = made._transcribing(fields, "input_audio_transcription")._turning(fields)
        if (modalities := fields.texts("modalities")) and modalities != ("text",):
            raise InvalidOption(fields.at("modalities"), short(list(modalities)), '["text"]')
        fields.refuse(NOT_HERE["beta"])
        fields.end()
        return made

    def _included(self, fields: Fields) -> RealtimeConfig:
        if not fields.has("include"):
            return self
        included = fields.texts("include")
        for name in included:
            if name != LOGPROBS:
                raise InvalidOption(fields.at("include"), short(name), LOGPROBS)
        return replace(self, wants_logprobs=bool(included))

    def _formatted(self, fields: Fields) -> RealtimeConfig:
        name = fields.one_of("type", tuple(GA_ENCODINGS), "audio/pcm")
        encoding = GA_ENCODINGS[name]
        own = PCM_RATE if encoding == "pcm16" else G711_RATE
        rate = fields.whole("rate", own)
        allowed = RATES if encoding == "pcm16" else (G711_RATE,)
        if rate not in allowed:
            raise InvalidOption(fields.at("rate"), rate, f"with {name}: {', '.join(map(str, allowed))}")
        fields.end()
        return replace(self, encoding=encoding, rate=rate)

    def _transcribing(self, parent: Fields, name: str) -> RealtimeConfig:
        if not parent.has(name):
            return self
        value = parent.take(name)
        if value is None:
            raise InvalidOption(parent.at(name), None, "an object: a transcription session transcribes")
        fields = Fields(value, parent.at(name))
        changes: dict[str, Any] = {
            key: fields.text(key) or None for key in ("model", "language", "prompt") if fields.has(key)
        }
        changes |= {key: fields.texts(key) for key in ("languages", "keywords") if fields.has(key)}
        fields.refuse(NOT_HERE["transcription"])
        fields.end()
        return replace(self, **changes)

    def _turning(self, parent: Fields) -> RealtimeConfig:
        name = "turn_detection"
        if not parent.has(name):
            return self
        value = parent.take(name)
        if value is None:
            return replace(self, turns=None)
        fields = Fields(value, parent.at(name))
        fields.one_of("type", ("server_vad",), "server_vad")
        default = TurnDetection()
        numbers = {
            "threshold": fields.number("threshold", default.threshold),
            "prefix_padding_ms": fields.whole("prefix_padding_ms", default.prefix_padding_ms),
            "silence_duration_ms": fields.whole("silence_duration_ms", default.silence_duration_ms),
        }
        fields.refuse(NOT_HERE["turn_detection"])
        fields.end()
        try:
            return replace(self, turns=TurnDetection(**numbers))  # type: ignore[arg-type]  # whole ones are whole
        except InvalidOption as fault:
            raise InvalidOption(fields.at(fault.field), fault.value, fault.allowed) from None

    # --- as it is told ----------------------------------------------------------------------------

    def told(self, session_id: str, model: str) -> dict[str, Any]:
        """The session of session.created and session.updated."""
        name = next(ga for ga, ours in GA_ENCODINGS.items() if ours == self.encoding)
        form = {"type": name, "rate": self.rate} if self.encoding == "pcm16" else {"type": name}
        heard = {
            "format": form,
            "noise_reduction": None,
            "transcription": self._told_transcription(model),
            "turn_detection": self._told_turns(),
        }
        return {
            "type": "transcription",
            "object": "realtime.transcription_session",
            "id": session_id,
            "audio": {"input": heard},
            "include": [LOGPROBS] if self.wants_logprobs else None,
        }

    def told_beta(self, session_id: str, model: str) -> dict[str, Any]:
        """The session of transcription_session.created and transcription_session.updated."""
        return {
            "id": session_id,
            "object": "realtime.transcription_session",
            "modalities": ["text"],
            "input_audio_format": self.encoding,
            "input_audio_noise_reduction": None,
            "input_audio_transcription": self._told_transcription(model),
            "turn_detection": self._told_turns(),
            "include": [LOGPROBS] if self.wants_logprobs else None,
        }

    def _told_transcription(self, model: str) -> dict[str, Any]:
        told = {"model": self.model or model, "language": self.language, "prompt": self.prompt or ""}
        lists = {"languages": list(self.languages), "keywords": list(self.keywords)}
        return told | {name: values for name, values in lists.items() if values}

    def _told_turns(self) -> dict[str, Any] | None:
        if self.turns is None:
            return None
        return {
            "type": "server_vad",
            "threshold": self.turns.threshold,
            "prefix_padding_ms": self.turns.prefix_padding_ms,
            "silence_duration_ms": self.turns.silence_duration_ms,
        }
