"""What a caller may ask of a transcription. Names and defaults are openai/whisper's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from neuron_whisper.errors import InvalidOption
from neuron_whisper.text.languages import language_code

TASKS = ("transcribe", "translate")
WINDOW_LIMIT_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TranscribeOptions:
    """Validated where made: raises InvalidOption with field, value and what is allowed.

    `language` None: detected in the first window. `initial_prompt` is text said before the audio.
    `max_initial_timestamp_s` None: the first timestamp may be any. A window is skipped as silence when its
    no-speech probability is above `no_speech_threshold` and its average log-probability is not above
    `logprob_threshold`; None switches that threshold off.
    """

    task: str = "transcribe"
    language: str | None = None
    temperature: float = 0.0
    initial_prompt: str | None = None
    condition_on_previous_text: bool = True
    suppress_tokens: str | tuple[int, ...] | None = "-1"
    suppress_blank: bool = True
    without_timestamps: bool = False
    max_initial_timestamp_s: float | None = 1.0
    no_speech_threshold: float | None = 0.6
    logprob_threshold: float | None = -1.0

    def __post_init__(self) -> None:
        if self.task not in TASKS:
            raise InvalidOption("task", self.task, f"one of {', '.join(TASKS)}")
        if self.language is not None:
            object.__setattr__(self, "language", language_code(self.language))
        if self.temperature != 0.0:
            raise InvalidOption("temperature", self.temperature, "0: this version decodes greedily")
        self._check_range("max_initial_timestamp_s", self.max_initial_timestamp_s, 0.0, WINDOW_LIMIT_S)
        self._check_range("no_speech_threshold", self.no_speech_threshold, 0.0, 1.0)
        self._check_range("logprob_threshold", self.logprob_threshold, float("-inf"), 0.0)

    @staticmethod
    def _check_range(field: str, value: float | None, low: float, high: float) -> None:
        if value is not None and not low <= value <= high:
            raise InvalidOption(field, value, f"a number from {low:g} to {high:g}, or none")


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowOptions:
    """How one 30 s window is decoded. `prompt` are tokens of text said before; `language` None: detect it."""

    language: str | None
    task: str
    prompt: Sequence[int] = ()
    suppressed: frozenset[int] = frozenset()
    suppress_blank: bool = True
    without_timestamps: bool = False
    max_initial_timestamp_s: float | None = 1.0
