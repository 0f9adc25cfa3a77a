"""The fields of the audio API's forms: which there are, what they may be, and what becomes of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from neuron_whisper.decode.options import TEMPERATURES, TranscribeOptions
from neuron_whisper.errors import InvalidOption
from neuron_whisper.server.forms import Form

RESPONSE_FORMATS = ("json", "text", "srt", "verbose_json", "vtt")
LONGEST_ECHO = 80

# Fields of OpenAI's API that this server refuses. To ignore one would be to answer another question.
NOT_HERE: Mapping[str, str] = MappingProxyType({
    "chunking_strategy": "audio of any length is cut into windows as openai/whisper does",
    "include": "log-probabilities stand in the segments of verbose_json, not by token",
    "keywords": "write them into the prompt",
    "known_speaker_names": "speakers are not told apart",
    "known_speaker_references": "speakers are not told apart",
    "languages": "give one language, or none to have it detected",
})


@dataclass(frozen=True, slots=True, kw_only=True)
class FormField:
    """A field that is taken: its name in the form, what it does, and its JSON schema."""

    name: str
    about: str
    schema: Mapping[str, Any]


FILE = FormField(
    name="file",
    about="The audio: wav, flac, mp3, mp4, m4a, ogg, opus, webm and more. The format is told by the content.",
    schema={"type": "string", "format": "binary"},
)
MODEL = FormField(
    name="model",
    about="A name of the loaded model, or whisper-1. Without it: the loaded model.",
    schema={"type": "string", "examples": ["whisper-1"]},
)
LANGUAGE = FormField(
    name="language",
    about="What is spoken: a code or an English name. Without it, it is detected.",
    schema={"type": "string", "examples": ["en"]},
)
PROMPT = FormField(
    name="prompt",
    about="Text as if said before the audio: style, names, spelling.",
    schema={"type": "string", "examples": ["Names: Nakamura, O'Brien."]},
)
RESPONSE_FORMAT = FormField(
    name="response_format",
    about="The form of the answer.",
    schema={"type": "string", "enum": list(RESPONSE_FORMATS), "default": "json"},
)
TEMPERATURE = FormField(
    name="temperature",
    about="Above 0: sampled at it. 0: the likeliest text, and where that repeats itself or is unlikely, higher ones.",
    schema={"type": "number", "minimum": 0, "maximum": 1, "default": 0},
)
GRANULARITIES = FormField(
    name="timestamp_granularities[]",
    about="With verbose_json: segment, word or both. word adds the times of words.",
    schema={"type": "array", "items": {"type": "string", "enum": ["word", "segment"]}},
)
STREAM = FormField(
    name="stream",
    about="false. Streamed answers are refused in this version.",
    schema={"type": "boolean", "enum": [False], "default": False},
)


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioForm:
    """One endpoint's form: the task it stands for and the fields it takes."""

    task: str
    fields: tuple[FormField, ...]

    def check(self, name: str, value: str) -> None:
        """Raises InvalidOption for a field that is not taken, with the reason where it is OpenAI's."""
        names = [known.name for known in self.fields]
        if name in names or f"{name}[]" in names:
            return
        plain = name.partition("[")[0]
        reason = f"not supported here: {NOT_HERE[plain]}" if plain in NOT_HERE else "there is no such field"
        raise InvalidOption(plain or "(unnamed field)", _short(value), f"{reason}; fields: {', '.join(names)}")


TRANSCRIPTIONS = AudioForm(
    task="transcribe",
    fields=(FILE, MODEL, LANGUAGE, PROMPT, RESPONSE_FORMAT, TEMPERATURE, GRANULARITIES, STREAM),
)
TRANSLATIONS = AudioForm(task="translate", fields=(FILE, MODEL, PROMPT, RESPONSE_FORMAT, TEMPERATURE))


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioRequest:
    """What a form asks for. `model` None: the loaded one."""

    model: str | None
    response_format: str
    options: TranscribeOptions

    @classmethod
    def of(cls, form: Form, task: str, *, vad_filter: bool = True) -> AudioRequest:
        """Read a form's texts; a field that is empty is one that was not given. Raises InvalidOption."""
        response_format = _one(form, "response_format") or "json"
        if response_format not in RESPONSE_FORMATS:
            allowed = f"one of {', '.join(RESPONSE_FORMATS)}"
            raise InvalidOption("response_format", _short(response_format), allowed)
        wants_words = _wants_words(form, response_format)
        _check_stream(_one(form, "stream"))
        language = _one(form, "language")
        return cls(
            model=_one(form, "model"),
            response_format=response_format,
            options=TranscribeOptions(
                task=task,
                language=language and _short(language),
                temperature=_temperature(_one(form, "temperature")),
                initial_prompt=_one(form, "prompt"),
                word_timestamps=wants_words,
                vad_filter=vad_filter,
            ),
        )


def _one(form: Form, name: str) -> str | None:
    values = form.texts.get(name, [])
    if len(values) > 1:
        raise InvalidOption(name, f"{len(values)} values", "it may be given once")
    return values[0] if values and values[0].strip() else None


def _temperature(text: str | None) -> float | tuple[float, ...]:
    """0 is OpenAI's word for the ladder: the server raises the temperature itself where a gate fails."""
    try:
        value = float(text or 0.0)
    except ValueError:
        raise InvalidOption("temperature", _short(text or ""), "a number from 0 to 1") from None
    return value or TEMPERATURES


def _wants_words(form: Form, response_format: str) -> bool:
    """Whether timestamp_granularities names words. Raises InvalidOption."""
    name = "timestamp_granularities"
    values = (*form.texts.get(f"{name}[]", ()), *form.texts.get(name, ()))
    for value in values:
        if value not in ("word", "segment"):
            raise InvalidOption(name, _short(value), "word or segment")
        if response_format != "verbose_json":
            raise InvalidOption(name, value, "it needs response_format=verbose_json")
    return "word" in values


def _check_stream(text: str | None) -> None:
    if text is not None and text.strip().lower() not in ("false", "0"):
        raise InvalidOption("stream", _short(text), "false: this version answers at once, when it is done")


def _short(value: str) -> str:
    """A caller's value as it may stand in an answer to it."""
    return value if len(value) <= LONGEST_ECHO else value[:LONGEST_ECHO] + "…"
