"""Every field of the audio API's forms: OpenAI's, and what vLLM and faster-whisper have beyond them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from types import MappingProxyType
from typing import Any

from neuron_whisper.decode.options import LONG_FORMS, MOST_BEAMS, MOST_CANDIDATES, WINDOW_LIMIT_S
from neuron_whisper.errors import InvalidOption
from neuron_whisper.server.audio.chunking import ALLOWED, LONGEST_MS, ServerVad, is_part, read_chunking
from neuron_whisper.server.http.field_types import (
    FLAG,
    LONGEST_TEXT,
    MAX_SEED,
    TEXT,
    FormField,
    Kind,
    listed,
    number,
    one_of,
    short,
    whole,
)
from neuron_whisper.text.chinese import SCRIPTS
from neuron_whisper.text.languages import LANGUAGES, language_code

RESPONSE_FORMATS = ("json", "text", "srt", "verbose_json", "vtt")
LONGEST_S = 7 * 86400.0

# Fields that other APIs have and this server refuses. To ignore one would be to answer another question.
NO_SPEAKERS = "speakers are not told apart"
NOT_HERE: Mapping[str, str] = MappingProxyType(
    {
        "known_speaker_names": NO_SPEAKERS,
        "known_speaker_references": NO_SPEAKERS,
        "task": "/v1/audio/transcriptions transcribes, /v1/audio/translations translates into English",
        "to_language": "a translation is into English",
        "word_timestamps": "say timestamp_granularities[]=word with response_format=verbose_json",
        "use_beam_search": "say beam_size",
        "n": "one text is answered; best_of says among how many it is chosen",
        "max_completion_tokens": "say max_new_tokens",
        "stream_include_usage": "a stream's last event always tells the usage",
        "top_p": "samples are drawn from all tokens",
        "top_k": "samples are drawn from all tokens",
        "min_p": "samples are drawn from all tokens",
        "repetition_penalty": "say repetition_cut or compression_ratio_threshold",
        "frequency_penalty": "say repetition_cut or compression_ratio_threshold",
        "presence_penalty": "say repetition_cut or compression_ratio_threshold",
    }
)

_LANGUAGE = Kind(
    schema={"type": "string", "enum": ["", *LANGUAGES, *LANGUAGES.values()]},
    allowed="a language's code or English name, such as de or German",
    read=language_code,
    blank_is_none=True,
)
_CHUNKING = Kind(
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
                    "prefix_padding_ms": {"type": "integer", "minimum": 0, "maximum": LONGEST_MS, "default": 400},
                    "silence_duration_ms": {"type": "integer", "minimum": 0, "maximum": LONGEST_MS},
                },
            },
        ]
    },
    allowed=ALLOWED,
    read=read_chunking,
)
_TOKENS = listed(r"(-1|[0-9]{1,6})", "token numbers with commas between them; -1: signs nobody speaks", int, 1000)
_TIMES = listed(r"[0-9]{1,6}(\.[0-9]{1,6})?", "ascending seconds with commas between them: 0,12.5", float, 1000)

FILE = FormField(
    name="file",
    about="The audio: wav, flac, mp3, mp4, m4a, ogg, opus, webm and more. Its content tells its format.",
    kind=Kind(schema={"type": "string", "format": "binary"}, allowed="a file", read=str),
)
OPENAI = (
    FILE,
    FormField(name="model", kind=TEXT, examples=["whisper-1"], about="A served model. Without it: the default one."),
    FormField(
        name="language",
        kind=_LANGUAGE,
        option="language",
        examples=["en"],
        about="What is spoken: a code or an English name. Without it, it is detected.",
    ),
    FormField(
        name="languages",
        kind=_LANGUAGE,
        option="languages",
        is_list=True,
        examples=[["en", "de"]],
        about="The languages that may be spoken: detection chooses among them.",
    ),
    FormField(
        name="prompt",
        kind=TEXT,
        option="initial_prompt",
        examples=["Names: Nakamura, O'Brien."],
        about="Text as if said before the audio: style, names, spelling.",
    ),
    FormField(
        name="keywords",
        kind=TEXT,
        is_list=True,
        examples=[["Nakamura", "O'Brien"]],
        about="Words and names that every window is reminded of, as by hotwords.",
    ),
    FormField(name="response_format", kind=one_of(*RESPONSE_FORMATS), about="The form of the answer; json by default."),
    FormField(
        name="temperature",
        kind=number(0, 1),
        about="Above 0: sampled at it. 0, the default: the likeliest text, and where that repeats itself or is "
        "unlikely, sampled at 0.2, 0.4 ... 1 until one is neither.",
    ),
    FormField(
        name="timestamp_granularities",
        kind=one_of("word", "segment"),
        is_list=True,
        about="With verbose_json: what has times; segment by default. word alone leaves the segments out.",
    ),
    FormField(
        name="include",
        kind=one_of("logprobs"),
        is_list=True,
        about="With json: the log-probability of every token of the text.",
    ),
    FormField(
        name="chunking_strategy",
        kind=_CHUNKING,
        about="Cut the audio where nobody speaks and decode the pieces side by side: auto, or with your own "
        "thresholds: as JSON, or as fields chunking_strategy[threshold] and so on. What is left out stays as "
        "it is here. Needs the voice detector.",
    ),
    FormField(
        name="stream",
        kind=FLAG,
        about="With json or verbose_json: server-sent events, each segment when it is done. false by default.",
    ),
)
# faster-whisper's and vLLM's names, and a few of our own
_BEYOND = (
    FormField(
        name="beam_size",
        kind=whole(1, MOST_BEAMS),
        option="beam_size",
        about="Beams at temperature 0, as many as the model was compiled with. Greedy by default.",
    ),
    FormField(name="best_of", kind=whole(1, MOST_CANDIDATES), option="best_of", about="Samples above temperature 0."),
    FormField(
        name="patience",
        kind=number(1, MOST_CANDIDATES),
        option="patience",
        about="With beam_size: the search ends at beam_size times it sequences.",
    ),
    FormField(
        name="length_penalty",
        kind=number(0, 1),
        option="length_penalty",
        about="Exponent of the length that scores are divided by; the length itself by default.",
    ),
    FormField(name="seed", kind=whole(0, MAX_SEED), option="seed", about="Of the samples; 0 by default."),
    FormField(name="hotwords", kind=TEXT, option="hotwords", about="Words and names that every window is reminded of."),
    FormField(name="prefix", kind=TEXT, option="prefix", about="How the text of the first window begins."),
    FormField(
        name="carry_initial_prompt",
        kind=FLAG,
        option="carry_initial_prompt",
        about="Give the prompt to every window, not the first alone.",
    ),
    FormField(
        name="condition_on_previous_text",
        kind=FLAG,
        option="condition_on_previous_text",
        about="Prompt each window with the text before it; true by default.",
    ),
    FormField(
        name="compression_ratio_threshold",
        kind=number(0, or_none=True),
        option="compression_ratio_threshold",
        about="Gate: a text that packs better repeats itself. 2.4 by default, none switches it off.",
    ),
    FormField(
        name="logprob_threshold",
        kind=number(high=0, or_none=True),
        option="logprob_threshold",
        about="Gate: least average log-probability. -1 by default, none switches it off.",
    ),
    FormField(
        name="no_speech_threshold",
        kind=number(0, 1, or_none=True),
        option="no_speech_threshold",
        about="An unlikely text of a window above it is silence. 0.6 by default, none switches it off.",
    ),
    FormField(
        name="repetition_cut",
        kind=FLAG,
        option="repetition_cut",
        about="Cut off a loop that every temperature ends in; true by default.",
    ),
    FormField(
        name="hallucination_silence_threshold",
        kind=number(0, LONGEST_S),
        option="hallucination_silence_threshold_s",
        about="Skip longer silences, in seconds, around words that look made up.",
    ),
    FormField(name="max_new_tokens", kind=whole(1, 448), option="max_new_tokens", about="Tokens of a window at most."),
    FormField(
        name="without_timestamps",
        kind=FLAG,
        option="without_timestamps",
        about="Decode without times: one segment for a window.",
    ),
    FormField(
        name="max_initial_timestamp",
        kind=number(0, WINDOW_LIMIT_S),
        option="max_initial_timestamp_s",
        about="The latest second at which the text of a window may begin; 1 by default.",
    ),
    FormField(
        name="suppress_tokens",
        kind=_TOKENS,
        option="suppress_tokens",
        examples=["-1"],
        about="Tokens never to choose; -1, the default: signs nobody speaks.",
    ),
    FormField(name="suppress_blank", kind=FLAG, option="suppress_blank", about="No text begins with a blank; true."),
    FormField(
        name="clip_timestamps",
        kind=_TIMES,
        option="clip_timestamps",
        examples=["0,12.5"],
        about="Hear these stretches alone: start, end, start, end ... in seconds; the last end may be left out.",
    ),
    FormField(name="multilingual", kind=FLAG, option="multilingual", about="Detect the language of every window anew."),
    FormField(
        name="chinese_script",
        kind=one_of(*SCRIPTS),
        option="chinese_script",
        about="Chinese and Cantonese in these characters; as the model writes them by default.",
    ),
    FormField(
        name="vad_filter",
        kind=FLAG,
        option="vad_filter",
        about="Text only where the voice detector hears speech. By default as the server is set.",
    ),
    FormField(
        name="long_form",
        kind=one_of(*LONG_FORMS),
        option="long_form",
        about="Windows one after another (sequential), or stretches of speech side by side (batched); auto: by length.",
    ),
)
_SUBTITLES = (
    FormField(name="max_line_width", kind=whole(1, 1000), about="srt, vtt: characters in a line."),
    FormField(name="max_line_count", kind=whole(1, 1000), about="srt, vtt: lines in a cue; needs max_line_width."),
    FormField(
        name="max_words_per_line", kind=whole(1, 1000), about="srt, vtt: words in a line; not with max_line_width."
    ),
    FormField(name="highlight_words", kind=FLAG, about="srt, vtt: underline each word as it is said."),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirement:
    """A field (where `value` is set: with that value) needs another one to have a value `among` these.

    `default`: what the other one is when it is not given; `among` empty: any value, but it must be given.
    """

    name: str
    needs: str
    among: tuple[Any, ...] = ()
    default: Any = None
    value: Any = None

    def check(self, given: Mapping[str, Any]) -> None:
        """Raises InvalidOption about `name`."""
        if self.name not in given or (self.value is not None and given[self.name] != self.value):
            return
        other = given.get(self.needs, self.default)
        if other in self.among or (not self.among and self.needs in given):
            return
        words = " or ".join(f"{self.needs}={_spelled(value)}" for value in self.among) or self.needs
        raise InvalidOption(self.name, _spelled(given[self.name]), f"it needs {words}")


def _spelled(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, ServerVad):
        return value.type
    return short(", ".join(value) if isinstance(value, tuple) else str(value))


REQUIREMENTS = (
    Requirement(name="timestamp_granularities", needs="response_format", among=("verbose_json",), default="json"),
    Requirement(name="include", needs="response_format", among=("json",), default="json"),
    Requirement(name="stream", value=True, needs="response_format", among=("json", "verbose_json"), default="json"),
    Requirement(name="chunking_strategy", needs="vad_filter", among=(True,), default=True),
    Requirement(name="chunking_strategy", needs="long_form", among=("auto", "batched"), default="auto"),
    Requirement(name="patience", needs="beam_size"),
    Requirement(name="max_line_count", needs="max_line_width"),
    *(
        Requirement(name=name, needs="response_format", among=("srt", "vtt"), default="json")
        for name in ("max_line_width", "max_line_count", "max_words_per_line")
    ),
    Requirement(name="highlight_words", value=True, needs="response_format", among=("srt", "vtt"), default="json"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioForm:
    """One endpoint's form: the task it stands for and the fields it takes."""

    task: str
    fields: tuple[FormField, ...] = (*OPENAI, *_BEYOND, *_SUBTITLES)

    def check(self, name: str, value: str) -> None:
        """Raises InvalidOption for a field that is not taken, with the reason where others have it."""
        if is_part(name):
            return
        plain = name.removesuffix("[]")
        for known in self.fields:
            if name in (known.name, known.sent_as):
                return
        reason = f"not supported here: {NOT_HERE[plain]}" if plain in NOT_HERE else "there is no such field"
        if near := get_close_matches(plain[:LONGEST_TEXT], [known.sent_as for known in self.fields], n=3):
            reason += f"; is it {' or '.join(near)}?" if plain not in NOT_HERE else ""
        raise InvalidOption(short(plain) or "(unnamed field)", short(value), reason)


TRANSCRIPTIONS = AudioForm(task="transcribe")
TRANSLATIONS = AudioForm(task="translate")
