"""Options of a transcription and of a window. Names and defaults are openai/whisper's, else faster-whisper's."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from neuron_whisper.audio.speech import VadOptions
from neuron_whisper.decode.words import APPEND_PUNCTUATIONS, PREPEND_PUNCTUATIONS
from neuron_whisper.errors import InvalidOption
from neuron_whisper.text.chinese import check_script
from neuron_whisper.text.languages import to_language_code

TASKS = ("transcribe", "translate")
LONG_FORMS = ("auto", "sequential", "batched")
WINDOW_LIMIT_S = 30.0
# faster-whisper's defaults, but with a minimum of speech: an organ's chord passes for 40 ms of it
DEFAULT_VAD = VadOptions(min_speech_duration_ms=250)
TEMPERATURES = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
MAX_BEAMS = 16  # the maximum of a program
MAX_CANDIDATES = 32


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
    skipped. `clip_timestamps` are start, end, start, end ... in seconds; the last end may be left out.
    `vad_filter`: text only where there is speech. `long_form` auto: batched from `MIN_BATCHED_S` on.
    `chinese_script`: Chinese and Cantonese in "simplified" or "traditional" characters; None: as the model writes them.
    """

    task: str = "transcribe"
    language: str | None = None
    languages: tuple[str, ...] = ()
    multilingual: bool = False
    temperature: float | Sequence[float] = TEMPERATURES
    beam_size: int | None = None
    best_of: int | None = None
    patience: float | None = None
    length_penalty: float | None = None
    seed: int = 0
    initial_prompt: str | None = None
    carry_initial_prompt: bool = False
    prefix: str | None = None
    hotwords: str | None = None
    condition_on_previous_text: bool = True
    prompt_reset_on_temperature: float = 0.5
    suppress_tokens: str | tuple[int, ...] | None = "-1"
    suppress_blank: bool = True
    without_timestamps: bool = False
    max_initial_timestamp_s: float | None = 1.0
    max_new_tokens: int | None = None
    compression_ratio_threshold: float | None = 2.4
    logprob_threshold: float | None = -1.0
    no_speech_threshold: float | None = 0.6
    repetition_cut: bool = True
    word_timestamps: bool = False
    prepend_punctuations: str = PREPEND_PUNCTUATIONS
    append_punctuations: str = APPEND_PUNCTUATIONS
    hallucination_silence_threshold_s: float | None = None
    clip_timestamps: tuple[float, ...] = ()
    long_form: str = "auto"
    chinese_script: str | None = None
    vad_filter: bool = True
    vad: VadOptions = DEFAULT_VAD

    def __post_init__(self) -> None:
        if self.task not in TASKS:
            raise InvalidOption("task", self.task, f"one of {', '.join(TASKS)}")
        if self.long_form not in LONG_FORMS:
            raise InvalidOption("long_form", self.long_form, f"one of {', '.join(LONG_FORMS)}")
        check_script(self.chinese_script)
        if self.language is not None:
            object.__setattr__(self, "language", to_language_code(self.language))
        object.__setattr__(self, "languages", tuple(to_language_code(name) for name in self.languages))
        if self.language and self.languages and self.language not in self.languages:
            raise InvalidOption("language", self.language, f"one of languages: {', '.join(self.languages)}")
        self._check_temperatures()
        self._check_search()
        self._check_range("max_initial_timestamp_s", self.max_initial_timestamp_s, 0.0, WINDOW_LIMIT_S)
        self._check_range("no_speech_threshold", self.no_speech_threshold, 0.0, 1.0)
        self._check_range("logprob_threshold", self.logprob_threshold, -math.inf, 0.0)
        self._check_range("compression_ratio_threshold", self.compression_ratio_threshold, 0.0, math.inf)
        self._check_range("hallucination_silence_threshold_s", self.hallucination_silence_threshold_s, 0.0, math.inf)
        self._check_count("max_new_tokens", self.max_new_tokens, 1, 448)
        if self.hallucination_silence_threshold_s is not None and not self.word_timestamps:
            raise InvalidOption(
                "hallucination_silence_threshold_s", self.hallucination_silence_threshold_s, "it needs word_timestamps"
            )
        times = self.clip_timestamps
        if any(not 0 <= time < math.inf for time in times) or any(b <= a for a, b in pairwise(times)):
            raise InvalidOption("clip_timestamps", list(times), "ascending seconds: start, end, start, end ...")

    @property
    def temperatures(self) -> tuple[float, ...]:
        """All temperatures, in order of fallback."""
        given = self.temperature
        return (float(given),) if isinstance(given, (int, float)) else tuple(float(value) for value in given)

    def _check_temperatures(self) -> None:
        try:
            temperatures = self.temperatures
        except (TypeError, ValueError):
            temperatures = ()
        if (
            not temperatures
            or any(not 0 <= value <= 1 for value in temperatures)
            or list(temperatures) != sorted(set(temperatures))
        ):
            raise InvalidOption("temperature", self.temperature, "a number from 0 to 1, or several that rise")
        object.__setattr__(self, "temperature", temperatures)

    def _check_search(self) -> None:
        self._check_count("beam_size", self.beam_size, 1, MAX_BEAMS)
        self._check_count("best_of", self.best_of, 1, MAX_CANDIDATES)
        self._check_count("seed", self.seed, 0, 2**63 - 1)
        self._check_range("length_penalty", self.length_penalty, 0.0, 1.0)
        if self.patience is None:
            return
        if not self.beam_size:
            raise InvalidOption("patience", self.patience, "it needs beam_size")
        if not 0 < self.patience <= MAX_CANDIDATES or round(self.beam_size * self.patience) < 1:
            allowed = f"above 0 to {MAX_CANDIDATES}, and beam_size times it at least 1"
            raise InvalidOption("patience", self.patience, allowed)

    @staticmethod
    def _check_range(name: str, value: float | None, low: float, high: float) -> None:
        if value is not None and not low <= value <= high:
            raise InvalidOption(name, value, f"a number from {low:g} to {high:g}, or none")

    @staticmethod
    def _check_count(name: str, value: int | None, low: int, high: int) -> None:
        if value is None:
            return
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise InvalidOption(name, value, f"a whole number from {low} to {high}")


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowOptions:
    """How one 30 s window is decoded. `prompt` are tokens of the previous text, `prefix` tokens that its text begins
    with, `hotwords` tokens before the prompt; `language` None: detect it, among `languages` if given.
    `include_prefix`: the rules continue from the prefix, and the result begins with it.

    The defaults are one greedy attempt without thresholds.
    """

    language: str | None
    task: str
    languages: tuple[str, ...] = ()
    prompt: Sequence[int] = ()
    prefix: Sequence[int] = ()
    include_prefix: bool = False
    hotwords: Sequence[int] = ()
    suppress_tokens: frozenset[int] = frozenset()
    suppress_blank: bool = True
    without_timestamps: bool = False
    max_initial_timestamp_s: float | None = 1.0
    max_new_tokens: int | None = None
    temperatures: tuple[float, ...] = (0.0,)
    beam_size: int | None = None
    best_of: int | None = None
    patience: float | None = None
    length_penalty: float | None = None
    seed: int = 0
    compression_ratio_threshold: float | None = None
    logprob_threshold: float | None = None
    no_speech_threshold: float | None = None
    repetition_cut: bool = False
    word_timestamps: bool = False
