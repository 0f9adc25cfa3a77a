"""Every field of the audio API's forms: OpenAI's, and what vLLM and faster-whisper have beyond them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from neuron_whisper.audio.clip import WINDOW_S
from neuron_whisper.decode.options import LONG_FORMS, MAX_BEAMS, MAX_CANDIDATES
from neuron_whisper.errors import InvalidOption, UnknownOption
from neuron_whisper.server.audio.chunking import (
    ALLOWED_CHUNKING,
    MAX_VAD_MS,
    ServerVad,
    is_bracket_field,
    read_chunking,
)
from neuron_whisper.server.http.field_types import (
    BOOLEAN,
    MAX_SEED,
    TEXT,
    FieldType,
    FormField,
    choice,
    comma_list,
    integer,
    number,
    truncate,
)
from neuron_whisper.text.chinese import SCRIPTS
from neuron_whisper.text.languages import LANGUAGES, to_language_code

RESPONSE_FORMATS = ("json", "text", "srt", "verbose_json", "vtt")
MAX_SILENCE_S = 7 * 86400.0

# Fields that other APIs have and this server refuses. To ignore one would be to answer another question.
NO_DIARIZATION = "speakers are not distinguished"
UNSUPPORTED_FIELDS: Mapping[str, str] = MappingProxyType(
    {
        "known_speaker_names": NO_DIARIZATION,
        "known_speaker_references": NO_DIARIZATION,
        "task": "/v1/audio/transcriptions transcribes, /v1/audio/translations translates into English",
        "to_language": "a translation is into English",
        "word_timestamps": "say timestamp_granularities[]=word with response_format=verbose_json",
        "use_beam_search": "say beam_size",
        "n": "one text is answered; best_of says among how many it is chosen",
        "max_completion_tokens": "say max_new_tokens",
        "stream_include_usage": "a stream's last event always has the usage",
        "top_p": "samples are drawn from all tokens",
        "top_k": "samples are drawn from all tokens",
        "min_p": "samples are drawn from all tokens",
        "repetition_penalty": "say repetition_cut or compression_ratio_threshold",
        "frequency_penalty": "say repetition_cut or compression_ratio_threshold",
        "presence_penalty": "say repetition_cut or compression_ratio_threshold",
    }
)

_LANGUAGE_TYPE = FieldType(
    schema={"type": "string", "enum": ["", *LANGUAGES, *LANGUAGES.values()]},
    allowed="a language's code or English name, such as de or German",
    parse=to_language_code,
    blank_is_none=True,
)
_CHUNKING_TYPE = FieldType(
    schema={
        "anyOf": [
            {"type": "string", "enum": ["auto"]},
            {
                "type": "object",
                "required": ["type"],
                "additionalProperties": False,
                "properties": {
                    "type": {"type": "string", "enum": ["server_vad"]},
                    "threshold": {"type": "number", "minimum": 0.01, "maximum": 1, "default": 0.5},
                    "prefix_padding_ms": {"type": "integer", "minimum": 0, "maximum": MAX_VAD_MS, "default": 400},
                    "silence_duration_ms": {"type": "integer", "minimum": 0, "maximum": MAX_VAD_MS},
                },
            },
        ]
    },
    allowed=ALLOWED_CHUNKING,
    parse=read_chunking,
)
_TOKENS_TYPE = comma_list(r"(-1|[0-9]{1,6})", "comma-separated token ids; -1: the non-speech symbols", int, 1000)
_TIMES_TYPE = comma_list(
    r"[0-9]{1,6}(\.[0-9]{1,6})?", "ascending seconds with commas between them: 0,12.5", float, 1000
)

FILE_FIELD = FormField(
    name="file",
    description="The audio: wav, flac, mp3, mp4, m4a, ogg, opus, webm and more, detected by content.",
    field_type=FieldType(schema={"type": "string", "format": "binary"}, allowed="a file", parse=str),
)
OPENAI_FIELDS = (
    FILE_FIELD,
    FormField(
        name="model",
        field_type=TEXT,
        examples=["whisper-1"],
        description="A served model. Without it: the default one.",
    ),
    FormField(
        name="language",
        field_type=_LANGUAGE_TYPE,
        option="language",
        examples=["en"],
        description="What is spoken: a code or an English name. Without it, it is detected.",
    ),
    FormField(
        name="languages",
        field_type=_LANGUAGE_TYPE,
        option="languages",
        is_list=True,
        examples=[["en", "de"]],
        description="The languages that may be spoken: detection chooses among them.",
    ),
    FormField(
        name="prompt",
        field_type=TEXT,
        option="initial_prompt",
        examples=["Names: Nakamura, O'Brien."],
        description="Text as if said before the audio: style, names, spelling.",
    ),
    FormField(
        name="keywords",
        field_type=TEXT,
        is_list=True,
        examples=[["Nakamura", "O'Brien"]],
        description="Words and names that every window is reminded of, as by hotwords.",
    ),
    FormField(
        name="response_format",
        field_type=choice(*RESPONSE_FORMATS),
        description="The form of the answer; json by default.",
    ),
    FormField(
        name="temperature",
        field_type=number(0, 1),
        description="Above 0: sampled at it. 0, the default: the likeliest text, and where that repeats itself or is "
        "unlikely, sampled at 0.2, 0.4 ... 1 until one is neither.",
    ),
    FormField(
        name="timestamp_granularities",
        field_type=choice("word", "segment"),
        is_list=True,
        description="With verbose_json: what has times; segment by default. word alone leaves the segments out.",
    ),
    FormField(
        name="include",
        field_type=choice("logprobs"),
        is_list=True,
        description="With json: the log-probability of every token of the text.",
    ),
    FormField(
        name="chunking_strategy",
        field_type=_CHUNKING_TYPE,
        description="Cut the audio where nobody speaks and decode the pieces side by side: auto, or with your own "
        "thresholds: as JSON, or as fields chunking_strategy[threshold] and so on. What is left out stays as "
        "it is here. Needs the voice detector.",
    ),
    FormField(
        name="stream",
        field_type=BOOLEAN,
        description="With json or verbose_json: server-sent events, each segment when it is done. false by default.",
    ),
)
# faster-whisper's and vLLM's names, and a few of our own
_EXTENSION_FIELDS = (
    FormField(
        name="beam_size",
        field_type=integer(1, MAX_BEAMS),
        option="beam_size",
        description="Beams at temperature 0, as many as the model was compiled with. Greedy by default.",
    ),
    FormField(
        name="best_of",
        field_type=integer(1, MAX_CANDIDATES),
        option="best_of",
        description="Samples above temperature 0.",
    ),
    FormField(
        name="patience",
        field_type=number(1, MAX_CANDIDATES),
        option="patience",
        description="With beam_size: the search ends at beam_size times it sequences.",
    ),
    FormField(
        name="length_penalty",
        field_type=number(0, 1),
        option="length_penalty",
        description="Exponent of the length that scores are divided by; the length itself by default.",
    ),
    FormField(name="seed", field_type=integer(0, MAX_SEED), option="seed", description="Of the samples; 0 by default."),
    FormField(
        name="hotwords",
        field_type=TEXT,
        option="hotwords",
        description="Words and names that every window is reminded of.",
    ),
    FormField(name="prefix", field_type=TEXT, option="prefix", description="How the text of the first window begins."),
    FormField(
        name="carry_initial_prompt",
        field_type=BOOLEAN,
        option="carry_initial_prompt",
        description="Give the prompt to every window, not the first alone.",
    ),
    FormField(
        name="condition_on_previous_text",
        field_type=BOOLEAN,
        option="condition_on_previous_text",
        description="Prompt each window with the text before it; true by default.",
    ),
    FormField(
        name="compression_ratio_threshold",
        field_type=number(0, or_none=True),
        option="compression_ratio_threshold",
        description="Gate: a text that packs better repeats itself. 2.4 by default, none switches it off.",
    ),
    FormField(
        name="logprob_threshold",
        field_type=number(high=0, or_none=True),
        option="logprob_threshold",
        description="Gate: least average log-probability. -1 by default, none switches it off.",
    ),
    FormField(
        name="no_speech_threshold",
        field_type=number(0, 1, or_none=True),
        option="no_speech_threshold",
        description="An unlikely text of a window above it is silence. 0.6 by default, none switches it off.",
    ),
    FormField(
        name="repetition_cut",
        field_type=BOOLEAN,
        option="repetition_cut",
        description="Cut off a loop that every temperature ends in; true by default.",
    ),
    FormField(
        name="hallucination_silence_threshold",
        field_type=number(0, MAX_SILENCE_S),
        option="hallucination_silence_threshold_s",
        description="Skip longer silences, in seconds, around words that look made up.",
    ),
    FormField(
        name="max_new_tokens",
        field_type=integer(1, 448),
        option="max_new_tokens",
        description="Tokens of a window at most.",
    ),
    FormField(
        name="without_timestamps",
        field_type=BOOLEAN,
        option="without_timestamps",
        description="Decode without times: one segment for a window.",
    ),
    FormField(
        name="max_initial_timestamp",
        field_type=number(0, WINDOW_S),
        option="max_initial_timestamp_s",
        description="The latest second at which the text of a window may begin; 1 by default.",
    ),
    FormField(
        name="suppress_tokens",
        field_type=_TOKENS_TYPE,
        option="suppress_tokens",
        examples=["-1"],
        description="Tokens never to choose; -1, the default: signs nobody speaks.",
    ),
    FormField(
        name="suppress_blank",
        field_type=BOOLEAN,
        option="suppress_blank",
        description="No text begins with a blank; true.",
    ),
    FormField(
        name="clip_timestamps",
        field_type=_TIMES_TYPE,
        option="clip_timestamps",
        examples=["0,12.5"],
        description="Hear these stretches alone: start, end, start, end ... in seconds; the last end may be left out.",
    ),
    FormField(
        name="multilingual",
        field_type=BOOLEAN,
        option="multilingual",
        description="Detect the language of every window anew.",
    ),
    FormField(
        name="chinese_script",
        field_type=choice(*SCRIPTS),
        option="chinese_script",
        description="Chinese and Cantonese in these characters; as the model writes them by default.",
    ),
    FormField(
        name="vad_filter",
        field_type=BOOLEAN,
        option="vad_filter",
        description="Text only where the voice detector hears speech. By default as the server is set.",
    ),
    FormField(
        name="long_form",
        field_type=choice(*LONG_FORMS),
        option="long_form",
        description="sequential: one window after another; batched: regions of speech side by side; auto: by length.",
    ),
)
_SUBTITLE_FIELDS = (
    FormField(name="max_line_width", field_type=integer(1, 1000), description="srt, vtt: characters in a line."),
    FormField(
        name="max_line_count",
        field_type=integer(1, 1000),
        description="srt, vtt: lines in a cue; needs max_line_width.",
    ),
    FormField(
        name="max_words_per_line",
        field_type=integer(1, 1000),
        description="srt, vtt: words in a line; not with max_line_width.",
    ),
    FormField(name="highlight_words", field_type=BOOLEAN, description="srt, vtt: underline each word as it is said."),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirement:
    """A field (where `value` is set: with that value) needs another one to have a value `required_values` these.

    `required_default`: what the other one is when it is not given; `required_values` empty: any value, but it must be
    given.
    """

    name: str
    requires: str
    required_values: tuple[Any, ...] = ()
    required_default: Any = None
    value: Any = None

    def check(self, given: Mapping[str, Any]) -> None:
        """Raises InvalidOption about `name`."""
        if self.name not in given or (self.value is not None and given[self.name] != self.value):
            return
        other = given.get(self.requires, self.required_default)
        if other in self.required_values or (not self.required_values and self.requires in given):
            return
        words = (
            " or ".join(f"{self.requires}={_format_value(value)}" for value in self.required_values) or self.requires
        )
        raise InvalidOption(self.name, _format_value(given[self.name]), f"it needs {words}")


def _format_value(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, ServerVad):
        return value.type
    return truncate(", ".join(value) if isinstance(value, tuple) else str(value))


REQUIREMENTS = (
    Requirement(
        name="timestamp_granularities",
        requires="response_format",
        required_values=("verbose_json",),
        required_default="json",
    ),
    Requirement(name="include", requires="response_format", required_values=("json",), required_default="json"),
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
    """One endpoint's form: the task it stands for and the fields it takes."""

    task: str
    fields: tuple[FormField, ...] = (*OPENAI_FIELDS, *_EXTENSION_FIELDS, *_SUBTITLE_FIELDS)

    def check_field(self, name: str, value: str) -> None:
        """Raises InvalidOption for a field that is not taken, with the reason where others have it."""
        if is_bracket_field(name):
            return
        plain = name.removesuffix("[]")
        for known in self.fields:
            if name in (known.name, known.form_name):
                return
        if plain in UNSUPPORTED_FIELDS:
            raise InvalidOption(plain, truncate(value), f"not supported here: {UNSUPPORTED_FIELDS[plain]}")
        raise UnknownOption(truncate(plain) or "(unnamed field)", [known.form_name for known in self.fields])


TRANSCRIPTIONS = AudioForm(task="transcribe")
TRANSLATIONS = AudioForm(task="translate")
