"""The fields of the audio API's forms: OpenAI's, and the decoding options as vLLM and faster-whisper name them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Annotated, Any

from msgspec import Meta

from neuron_whisper.decode.options import TranscribeOptions
from neuron_whisper.errors import InvalidOption, UnknownOption
from neuron_whisper.formats.subtitles import SubtitleOptions
from neuron_whisper.option_spec import FINITE, OptionSpec, list_option_specs
from neuron_whisper.server.audio.chunking import ALLOWED_CHUNKING, ServerVad, is_bracket_field, read_chunking
from neuron_whisper.server.audio.ignored_fields import is_ignored
from neuron_whisper.server.http.field_types import (
    BOOLEAN,
    TEXT,
    FieldType,
    FormField,
    choice,
    comma_list,
    number,
    truncate,
)
from neuron_whisper.server.http.openapi import get_schema
from neuron_whisper.text.audio_tracks import ALLOWED_TRACK, parse_audio_track
from neuron_whisper.text.languages import LANGUAGES, parse_language

RESPONSE_FORMATS = ("json", "text", "srt", "verbose_json", "vtt")
MAX_COMMA_VALUES = 1000

# Fields of other APIs that this server rejects: to ignore one would change the result silently.
NO_DIARIZATION = "speaker labels; speakers are not distinguished"
UNSUPPORTED_FIELDS: Mapping[str, str] = MappingProxyType(
    {
        "known_speaker_names": NO_DIARIZATION,
        "known_speaker_references": NO_DIARIZATION,
        # of WhisperX, AssemblyAI, ElevenLabs and Azure
        "diarize": NO_DIARIZATION,
        "diarization": NO_DIARIZATION,
        "speaker_labels": NO_DIARIZATION,
        "speaker_diarization": NO_DIARIZATION,
        "speakers_expected": NO_DIARIZATION,
        "num_speakers": NO_DIARIZATION,
        "min_speakers": NO_DIARIZATION,
        "max_speakers": NO_DIARIZATION,
        "task": "use /v1/audio/transcriptions, or /v1/audio/translations to translate into English",
        "to_language": "a translation is into English",
        "word_timestamps": "use timestamp_granularities[]=word with response_format=verbose_json",
        "use_beam_search": "use beam_size",
        "n": "a response has one text; best_of is the number of samples that it is chosen from",
        "max_completion_tokens": "use max_new_tokens",
        "stream_include_usage": "a stream's last event always has the usage",
        "top_p": "samples are drawn from all tokens",
        "top_k": "samples are drawn from all tokens",
        "min_p": "samples are drawn from all tokens",
        "repetition_penalty": "use repetition_cut or compression_ratio_threshold",
        "frequency_penalty": "use repetition_cut or compression_ratio_threshold",
        "presence_penalty": "use repetition_cut or compression_ratio_threshold",
    }
)

_LANGUAGE_TYPE = FieldType(
    schema={"type": "string", "enum": ["", *LANGUAGES, *LANGUAGES.values()]},
    allowed="a language's code or English name, such as de or German",
    parse=parse_language,
    splits_at_commas=True,
)
_CHUNKING_TYPE = FieldType(
    schema={"anyOf": [{"type": "string", "enum": ["auto"]}, get_schema(ServerVad)]},
    allowed=ALLOWED_CHUNKING,
    parse=read_chunking,
)

_TRACK_TYPE = FieldType(schema={"type": "string"}, allowed=ALLOWED_TRACK, parse=parse_audio_track)

FILE_FIELD = FormField(
    name="file",
    description="The audio: wav, flac, mp3, mp4, m4a, ogg, opus, webm and more, detected by content.",
    field_type=FieldType(schema={"type": "string", "format": "binary"}, allowed="a file", parse=str),
)
AUDIO_TRACK = FormField(
    name="audio_track",
    field_type=_TRACK_TYPE,
    examples=["1", "en"],
    description="Of a file with several audio tracks: a number from 0, or a language. Default: the track tagged with "
    "the language asked for, or the model's only one, else the one that a player would play.",
)
# fields that are no decoding option, or set one in another way than by its value
_REQUEST_FIELDS = (
    FILE_FIELD,
    FormField(
        name="model", field_type=TEXT, examples=["whisper-1"], description="A served model; by default the first."
    ),
    FormField(
        name="keywords",
        field_type=TEXT,
        is_list=True,
        examples=[["Nakamura", "O'Brien"]],
        description="Names and words to expect, as hotwords.",
    ),
    FormField(
        name="response_format",
        field_type=choice(*RESPONSE_FORMATS),
        description="Format of the response. Default: json.",
    ),
    FormField(
        name="timestamp_granularities",
        field_type=choice("word", "segment"),
        is_list=True,
        description="With verbose_json: what has timestamps; word alone leaves the segments out. With srt and vtt, not "
        "in OpenAI's API: word makes cues begin and end with their words. Otherwise ignored. Default: segment.",
    ),
    FormField(
        name="include",
        field_type=choice("logprobs", "peaks"),
        is_list=True,
        description="logprobs, with json: add the log probability of every token of the text. peaks, with stream=true "
        "and not in OpenAI's API: the audio's waveform as the first event.",
    ),
    FormField(
        name="chunking_strategy",
        field_type=_CHUNKING_TYPE,
        description="Cut the audio in pauses and decode the pieces in parallel: auto, or a server_vad object as JSON "
        "or as fields chunking_strategy[threshold] etc. Needs voice activity detection.",
    ),
    FormField(
        name="stream",
        field_type=BOOLEAN,
        description="With json or verbose_json: server-sent events, one for each finished segment. Default: false.",
    ),
    AUDIO_TRACK,
)
_OPENAI_OPTIONS = ("language", "languages", "prompt", "temperature")
OPENAI_NAMES = frozenset((*(field.name for field in _REQUEST_FIELDS), *_OPENAI_OPTIONS)) - {AUDIO_TRACK.name}


def _create_field(spec: OptionSpec, option: str | None = None) -> FormField:
    """The form field of a decoding or subtitle option, from its declaration."""
    if spec.name == "vad_filter":
        spec = replace(spec, default_note="the server's setting")
    assert spec.form_field is not None
    default = f" Default: {spec.default_text}." if spec.default_text else ""
    return FormField(
        name=spec.form_field,
        field_type=_to_field_type(spec),
        description=f"{spec.help}{default}",
        option=option,
        is_list=spec.kind == "languages",
        examples=spec.examples,
    )


def _to_field_type(spec: OptionSpec) -> FieldType:
    match spec.kind:
        case "text":
            return TEXT
        case "boolean":
            return BOOLEAN
        case "choice":
            return choice(*spec.choices)
        case "language" | "languages":
            return _LANGUAGE_TYPE
        case "times":
            return comma_list(r" *[0-9]{1,6}(\.[0-9]{1,6})? *", spec.allowed, float, MAX_COMMA_VALUES)
        case "token_ids":
            allowed = f"comma-separated {replace(spec, is_optional=False).allowed}"  # None cannot be sent
            return comma_list(r"(-1|[0-9]{1,6})", allowed, int, MAX_COMMA_VALUES)
        case "integer" | "number" | "temperatures":
            value_type: Any = int if spec.kind == "integer" else float
            minimum = None if spec.minimum == -math.inf else spec.minimum
            maximum = None if spec.maximum >= FINITE else spec.maximum
            annotation = Annotated[value_type, Meta(ge=minimum, le=maximum)]
            return number(annotation, spec.allowed, or_none=spec.is_switched_off_by_none)


# OpenAI's temperature is one number, whose 0 means temperature fallback
_TEMPERATURE = FormField(
    name="temperature",
    field_type=number(Annotated[float, Meta(ge=0, le=1)], "a number from 0 to 1"),
    description="Sampling temperature. 0, the default: the most likely text; where a threshold rejects it, sampled at "
    "0.2, 0.4, ... 1 until one is accepted.",
)
FIELDS = (
    *_REQUEST_FIELDS,
    *(
        _TEMPERATURE if spec.name == "temperature" else _create_field(spec, spec.name)
        for spec in list_option_specs(TranscribeOptions).values()
        if spec.form_field
    ),
    *(_create_field(spec) for spec in list_option_specs(SubtitleOptions).values() if spec.form_field),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirement:
    """Field `name` (where `value` is set: with that value) requires another field to have one of these values.

    `value` of a list is one of its values. `required_default`: the other field's default; `required_values` empty: any
    value, but it must be given.
    """

    name: str
    requires: str
    required_values: tuple[Any, ...] = ()
    required_default: Any = None
    value: Any = None

    def check(self, given: Mapping[str, Any]) -> None:
        """Raises InvalidOption about `name`."""
        if self.name not in given or not self._concerns(given[self.name]):
            return
        other = given.get(self.requires, self.required_default)
        if other in self.required_values or (not self.required_values and self.requires in given):
            return
        words = (
            " or ".join(f"{self.requires}={_format_value(value)}" for value in self.required_values) or self.requires
        )
        raise InvalidOption(self.name, _format_value(given[self.name]), f"it needs {words}")

    def _concerns(self, value: Any) -> bool:
        return self.value is None or (self.value in value if isinstance(value, tuple) else value == self.value)


def _format_value(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, ServerVad):
        return value.type
    return truncate(", ".join(value) if isinstance(value, tuple) else str(value))


REQUIREMENTS = (
    Requirement(
        name="include",
        value="logprobs",
        requires="response_format",
        required_values=("json",),
        required_default="json",
    ),
    Requirement(name="include", value="peaks", requires="stream", required_values=(True,), required_default=False),
    Requirement(
        name="stream",
        value=True,
        requires="response_format",
        required_values=("json", "verbose_json"),
        required_default="json",
    ),
    Requirement(name="chunking_strategy", requires="vad_filter", required_values=(True,), required_default=True),
    Requirement(
        name="chunking_strategy", requires="long_form", required_values=("auto", "batched"), required_default="auto"
    ),
    Requirement(name="patience", requires="beam_size"),
    Requirement(name="max_line_count", requires="max_line_width"),
    *(
        Requirement(name=name, requires="response_format", required_values=("srt", "vtt"), required_default="json")
        for name in ("max_line_width", "max_line_count", "max_words_per_line")
    ),
    Requirement(
        name="highlight_words",
        value=True,
        requires="response_format",
        required_values=("srt", "vtt"),
        required_default="json",
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioForm:
    """The form of one endpoint: its task and its fields."""

    task: str
    fields: tuple[FormField, ...] = FIELDS

    def check_field(self, name: str, value: str) -> None:
        """Raises InvalidOption for an unknown field, with the reason where another API has it.

        A blank field, and one of another API that means nothing here, is none.
        """
        if is_bracket_field(name):
            return
        bare_name = name.removesuffix("[]")
        for known in self.fields:
            if name in (known.name, known.form_name):
                return
            if bare_name == known.name:
                raise InvalidOption(bare_name, name, "it is no list; send it once, without brackets")
        if is_ignored(name, value, self.task):
            return
        if bare_name in UNSUPPORTED_FIELDS:
            raise InvalidOption(bare_name, truncate(value), f"not supported here: {UNSUPPORTED_FIELDS[bare_name]}")
        raise UnknownOption(truncate(bare_name) or "(unnamed field)", [known.form_name for known in self.fields])


TRANSCRIPTIONS = AudioForm(task="transcribe")
TRANSLATIONS = AudioForm(task="translate")
