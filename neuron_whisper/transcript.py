"""The result of a transcription: segments, words, skipped regions. Times are float seconds from the clip's start."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

SILENCE_REASONS = frozenset({"vad", "no_speech_threshold"})  # of skipped regions


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """A word with its times and its probability. `start` and `end` are openai/whisper's names of the times."""

    start_s: float
    end_s: float
    text: str
    probability: float

    @property
    def start(self) -> float:
        """Start in seconds."""
        return self.start_s

    @property
    def end(self) -> float:
        """End in seconds."""
        return self.end_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """A temperature whose text was rejected, and the reason: "compression_ratio" or "avg_logprob"."""

    temperature: float
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """The text between two timestamps, with the figures that show how reliable it is.

    `tokens` are the model's, timestamps included, `token_logprobs` has one for each; `seek_s` is the start of the
    window they were decoded in. `retries` are the rejected attempts at its window, `is_truncated` whether a
    repetition loop was removed from the window's end, `language` what the window was decoded as.
    """

    id: int
    seek_s: float
    start_s: float
    end_s: float
    text: str
    tokens: tuple[int, ...]
    temperature: float
    avg_logprob: float
    compression_ratio: float
    no_speech_prob: float
    words: tuple[Word, ...] = ()
    token_logprobs: tuple[float, ...] = ()
    retries: tuple[Retry, ...] = ()
    is_truncated: bool = False
    language: str | None = None

    @property
    def start(self) -> float:
        """Start in seconds, by openai/whisper's name."""
        return self.start_s

    @property
    def end(self) -> float:
        """End in seconds, by openai/whisper's name."""
        return self.end_s


@dataclass(frozen=True, slots=True, kw_only=True)
class SkippedRegion:
    """A region without text in the result, and the reason.

    "vad": the voice detector found no speech; "no_speech_threshold": the model's no-speech probability is above it;
    "hallucination": anomalous words around silence; "empty": a segment without duration; "no_text": the voice detector
    heard speech, and the model gave no text for it. `text` is the decoded text, if any.
    """

    start_s: float
    end_s: float
    reason: str
    text: str = ""

    @property
    def start(self) -> float:
        """Start in seconds, by openai/whisper's name."""
        return self.start_s

    @property
    def end(self) -> float:
        """End in seconds, by openai/whisper's name."""
        return self.end_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Transcript:
    """A whole clip. `language` is a code ("en"), None where it was not given and no speech was heard to tell it by.

    `language_probability` is None if the language was given.

    `long_form` is the plan that was used: sequential or batched. `prompt_tokens` counts the tokens of the prompt and
    the hotwords that the first window was decoded with.
    """

    text: str
    language: str | None
    duration_s: float
    segments: tuple[Segment, ...]
    task: str = "transcribe"
    language_probability: float | None = None
    warnings: tuple[str, ...] = ()
    skipped: tuple[SkippedRegion, ...] = ()
    long_form: str = "sequential"
    prompt_tokens: int = 0

    @property
    def duration(self) -> float:
        """Seconds of audio, by OpenAI's name."""
        return self.duration_s


def is_silence(segments: Sequence[Segment], skipped: Sequence[SkippedRegion]) -> bool:
    """Whether everything was taken for silence, so that nothing tells a language: there is no text, dropped or not."""
    return not segments and all(region.reason in SILENCE_REASONS and not region.text for region in skipped)
