"""Options of a transcription. Names and defaults are openai/whisper's, else faster-whisper's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from neuron_whisper.audio.clip import WINDOW_S
from neuron_whisper.audio.vad_options import GROUP as VAD_GROUP
from neuron_whisper.audio.vad_options import VadOptions
from neuron_whisper.errors import InvalidOption
from neuron_whisper.option_spec import FINITE, SAME, check_options, option, to_numbers, whisper_option
from neuron_whisper.text.chinese import SCRIPTS
from neuron_whisper.text.languages import parse_language
from neuron_whisper.text.special_tokens import TASKS
from neuron_whisper.text.word_splitting import WHOLE, WORD_SPLITTINGS

LONG_FORMS = ("auto", "sequential", "batched")
# faster-whisper's defaults, but with a minimum of speech: an organ's chord passes for 40 ms of it
DEFAULT_VAD = VadOptions()
TEMPERATURES = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
MAX_BEAMS = 16  # the maximum of a program
MAX_CANDIDATES = 32
MAX_NEW_TOKENS = 448  # the text context of every Whisper model
# openai/whisper transcribe.py: marks that belong to the next word, and to the previous one
PREPEND_PUNCTUATIONS = "\"'“¿([{-"
APPEND_PUNCTUATIONS = "\"'.。,，!！?？:：”)]}、"

LANGUAGE, PROMPTS, SEARCH = "Language and task", "Prompts", "Search and sampling"
FALLBACK, TEXT, REGIONS = "Temperature fallback", "Tokens and timestamps", "Regions and long form"


@dataclass(frozen=True, slots=True, kw_only=True)
class TranscribeOptions:
    """Validated on creation: raises InvalidOption with field, value and the allowed range.

    `language` None: detected in the first window (`multilingual`: in every window), among `languages` if given.
    `temperature`: one, or several for temperature fallback: a window is decoded again at the next one if its
    compression ratio is above `compression_ratio_threshold` or its average log-probability below `logprob_threshold`.
    At 0 a window is decoded greedily or with `beam_size` beams, above 0 as the best of `best_of` samples drawn from
    `seed`. A window is skipped as silence when its no-speech probability is above `no_speech_threshold` and its average
    log-probability not above `logprob_threshold`. None switches a threshold off.

    `initial_prompt` is text before the audio (`carry_initial_prompt`: before every window), `prefix` the beginning of
    the first window's text, `hotwords` are in the prompt of each window. `max_initial_timestamp_s` None: no limit for
    the first timestamp. `repetition_cut`: a text that ends in a loop at every temperature is truncated there.
    `hallucination_silence_threshold_s`: with word timestamps, longer silences around probable hallucinations are
    skipped. `clip_timestamps` are start, end, start, end ... in seconds, or "0,12.5" as in openai/whisper; the
    last end may be left out.
    `vad_filter`: text only where there is speech. `long_form` auto: batched from `MIN_BATCHED_S` on.
    `chinese_script`: Chinese and Cantonese in "simplified" or "traditional" characters; None: as the model writes them.
    """

    task: str = whisper_option(
        "transcribe",
        "choice",
        "Transcribe, or translate into English.",
        group=LANGUAGE,
        choices=TASKS,
        flags=(SAME,),
    )
    language: str | None = whisper_option(
        None,
        "language",
        "Language spoken, as a code or English name.",
        group=LANGUAGE,
        default_note="detected",
        metavar="CODE",
        flags=("-l", SAME),
        form_field=SAME,
        realtime_field=SAME,
        examples=("en",),
    )
    languages: tuple[str, ...] = option(
        (),
        "languages",
        "Languages that detection may choose from, such as en,de,ja.",
        group=LANGUAGE,
        default_note="all",
        metavar="CODES",
        flags=(SAME,),
        form_field=SAME,
        realtime_field=SAME,
        examples=(["en", "de"],),
    )
    multilingual: bool = option(
        False,
        "boolean",
        "Detect the language of every window, not only of the first.",
        group=LANGUAGE,
        flags=(SAME,),
        form_field=SAME,
        faster_whisper=SAME,
    )
    chinese_script: str | None = option(
        None,
        "choice",
        "Convert Chinese and Cantonese text to these characters.",
        group=LANGUAGE,
        choices=SCRIPTS,
        default_note="as the model writes them",
        flags=(SAME,),
        form_field=SAME,
    )
    initial_prompt: str | None = whisper_option(
        None,
        "text",
        "Text as if spoken before the audio: names, spelling, style.",
        group=PROMPTS,
        metavar="TEXT",
        flags=("--prompt",),
        form_field="prompt",
        realtime_field="prompt",
        examples=("Names: Nakamura, O'Brien.",),
    )
    carry_initial_prompt: bool = option(
        False,
        "boolean",
        "Prompt every window with the initial prompt, not only the first.",
        group=PROMPTS,
        flags=(SAME,),
        form_field=SAME,
        openai_whisper=SAME,
    )
    prefix: str | None = whisper_option(
        None,
        "text",
        "Text that the first window begins with.",
        group=PROMPTS,
        metavar="TEXT",
        flags=(SAME,),
        form_field=SAME,
    )
    hotwords: str | None = option(
        None,
        "text",
        "Names and words to expect, added to the prompt of every window.",
        group=PROMPTS,
        metavar="TEXT",
        flags=(SAME,),
        form_field=SAME,
        realtime_field="keywords",
        faster_whisper=SAME,
    )
    condition_on_previous_text: bool = whisper_option(
        True,
        "boolean",
        "Prompt each window with the text before it.",
        group=PROMPTS,
        flags=("--no-condition-on-previous-text",),
        form_field=SAME,
    )
    prompt_reset_on_temperature: float = option(
        0.5,
        "number",
        "Drop the previous text from the prompt after a window decoded above this temperature.",
        group=PROMPTS,
        minimum=0,
        maximum=1,
        faster_whisper=SAME,
    )
    temperature: float | Sequence[float] = whisper_option(
        TEMPERATURES,
        "temperatures",
        "Sampling temperature, or a comma-separated fallback sequence.",
        group=FALLBACK,
        minimum=0,
        maximum=1,
        metavar="T[,T...]",
        flags=(SAME,),
        form_field=SAME,
    )
    compression_ratio_threshold: float | None = whisper_option(
        2.4,
        "number",
        "Retry at the next temperature if the text's gzip compression ratio is above this (repetitive text).",
        group=FALLBACK,
        minimum=0,
        is_optional=True,
        metavar="N|none",
        flags=(SAME,),
        form_field=SAME,
    )
    logprob_threshold: float | None = option(
        -1.0,
        "number",
        "Retry at the next temperature if the average log probability is below this.",
        group=FALLBACK,
        maximum=0,
        is_optional=True,
        metavar="N|none",
        flags=(SAME,),
        form_field=SAME,
        openai_whisper=SAME,
        faster_whisper="log_prob_threshold",
    )
    no_speech_threshold: float | None = whisper_option(
        0.6,
        "number",
        "Treat a window as silence if its no-speech probability is above this and the log-probability check fails.",
        group=FALLBACK,
        minimum=0,
        maximum=1,
        is_optional=True,
        metavar="N|none",
        flags=(SAME,),
        form_field=SAME,
    )
    repetition_cut: bool = option(
        True,
        "boolean",
        "Truncate a repetition loop that remains at every temperature.",
        group=FALLBACK,
        flags=("--no-repetition-cut",),
        form_field=SAME,
    )
    beam_size: int | None = whisper_option(
        None,
        "integer",
        "Beams of the search at temperature 0.",
        group=SEARCH,
        minimum=1,
        maximum=MAX_BEAMS,
        default_note="none, greedy",
        metavar="N",
        flags=(SAME,),
        form_field=SAME,
    )
    best_of: int | None = whisper_option(
        None,
        "integer",
        "Samples to choose from at temperatures above 0.",
        group=SEARCH,
        minimum=1,
        maximum=MAX_CANDIDATES,
        default_note="1",
        metavar="N",
        flags=(SAME,),
        form_field=SAME,
    )
    patience: float | None = whisper_option(
        None,
        "number",
        "Beam search patience factor: the search ends at beam_size times this many sequences.",
        group=SEARCH,
        minimum=0,
        maximum=MAX_CANDIDATES,
        default_note="1",
        metavar="X",
        flags=(SAME,),
        form_field=SAME,
    )
    length_penalty: float | None = whisper_option(
        None,
        "number",
        "Length penalty exponent, 0 to 1.",
        group=SEARCH,
        minimum=0,
        maximum=1,
        default_note="the length itself",
        metavar="X",
        flags=(SAME,),
        form_field=SAME,
    )
    seed: int = option(
        0,
        "integer",
        "Random seed for sampling.",
        group=SEARCH,
        minimum=0,
        maximum=2**63 - 1,
        default_note="0",
        metavar="N",
        flags=(SAME,),
        form_field=SAME,
    )
    suppress_tokens: str | tuple[int, ...] | None = whisper_option(
        "-1",
        "token_ids",
        "Comma-separated token ids to suppress; -1 = default non-speech symbols.",
        group=TEXT,
        is_optional=True,
        metavar="IDS",
        flags=(SAME,),
        form_field=SAME,
        examples=("-1",),
    )
    suppress_blank: bool = whisper_option(
        True,
        "boolean",
        "Suppress a blank at the beginning of the text.",
        group=TEXT,
        form_field=SAME,
    )
    without_timestamps: bool = whisper_option(
        False,
        "boolean",
        "Decode text without timestamps: one segment per window.",
        group=TEXT,
        flags=(SAME,),
        form_field=SAME,
    )
    max_initial_timestamp_s: float | None = option(
        1.0,
        "number",
        "Latest second of a window at which its text may begin.",
        group=TEXT,
        minimum=0,
        maximum=WINDOW_S,
        is_optional=True,
        form_field="max_initial_timestamp",
        openai_whisper="max_initial_timestamp",
        faster_whisper="max_initial_timestamp",
    )
    max_new_tokens: int | None = option(
        None,
        "integer",
        "Maximum number of tokens of a window.",
        group=TEXT,
        minimum=1,
        maximum=MAX_NEW_TOKENS,
        default_note="224",
        metavar="N",
        flags=(SAME,),
        form_field=SAME,
        openai_whisper="sample_len",
        faster_whisper=SAME,
    )
    word_timestamps: bool = whisper_option(
        False,
        "boolean",
        "Add word-level timestamps.",
        group=TEXT,
        flags=(SAME,),
        realtime_field="words",
    )
    word_splitting: str = option(
        WHOLE,
        "choice",
        "Where words end: whole keeps aujourd'hui and $1,250.75 in one, openai splits them as openai-whisper does.",
        group=TEXT,
        choices=WORD_SPLITTINGS,
        flags=(SAME,),
        form_field=SAME,
    )
    prepend_punctuations: str = whisper_option(
        PREPEND_PUNCTUATIONS,
        "text",
        "Punctuation joined to the next word.",
        group=TEXT,
    )
    append_punctuations: str = whisper_option(
        APPEND_PUNCTUATIONS,
        "text",
        "Punctuation joined to the previous word.",
        group=TEXT,
    )
    hallucination_silence_threshold_s: float | None = option(
        None,
        "number",
        "With word timestamps: skip silence longer than this, in seconds, around a probable hallucination.",
        group=TEXT,
        minimum=0,
        metavar="S",
        flags=("--hallucination-silence-threshold",),
        form_field="hallucination_silence_threshold",
        openai_whisper="hallucination_silence_threshold",
        faster_whisper="hallucination_silence_threshold",
    )
    clip_timestamps: str | Sequence[float] = whisper_option(
        (),
        "times",
        "Comma-separated start,end,start,end... in seconds; transcribe only these ranges.",
        group=REGIONS,
        minimum=0,
        maximum=FINITE,
        metavar="S,S...",
        flags=(SAME,),
        form_field=SAME,
        examples=("0,12.5",),
    )
    long_form: str = option(
        "auto",
        "choice",
        "Decode windows in order (sequential) or regions of speech in parallel (batched); auto: by length.",
        group=REGIONS,
        choices=LONG_FORMS,
        flags=(SAME,),
        form_field=SAME,
    )
    vad_filter: bool = option(
        True,
        "boolean",
        "Transcribe only where voice activity detection finds speech.",
        group=VAD_GROUP,
        flags=("--vad/--no-vad",),
        form_field=SAME,
        faster_whisper=SAME,
    )
    vad: VadOptions = DEFAULT_VAD

    def __post_init__(self) -> None:
        check_options(self)
        if not isinstance(self.vad, VadOptions):
            raise InvalidOption("vad", self.vad, "a VadOptions; vad_filter=False switches it off")
        if self.language is not None:
            object.__setattr__(self, "language", parse_language(self.language))
        object.__setattr__(self, "languages", tuple(filter(None, map(parse_language, self.languages))))
        object.__setattr__(self, "temperature", self.temperatures)
        object.__setattr__(self, "clip_timestamps", self.clip_times)
        if self.language and self.languages and self.language not in self.languages:
            raise InvalidOption("language", self.language, f"one of languages: {', '.join(self.languages)}")
        if not self.temperatures:
            raise InvalidOption("temperature", [], "at least one number")
        if self.patience is not None:
            self._check_patience(self.patience)
        if self.hallucination_silence_threshold_s is not None and not self.word_timestamps:
            silence_s = self.hallucination_silence_threshold_s
            raise InvalidOption("hallucination_silence_threshold_s", silence_s, "it needs word_timestamps")

    @property
    def temperatures(self) -> tuple[float, ...]:
        """All temperatures, in order of fallback."""
        given = self.temperature
        return (float(given),) if isinstance(given, (int, float)) else tuple(float(value) for value in given)

    @property
    def clip_times(self) -> tuple[float, ...]:
        """The seconds of `clip_timestamps`."""
        return to_numbers(self.clip_timestamps)

    def _check_patience(self, patience: float) -> None:
        if not self.beam_size:
            raise InvalidOption("patience", patience, "it needs beam_size")
        if round(self.beam_size * patience) < 1:
            raise InvalidOption("patience", patience, "beam_size times it must be at least 1")
