"""What was said and when: Word, Segment, Transcript. Times are float seconds from the clip's start."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    start_s: float
    end_s: float
    text: str
    probability: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """A stretch of speech between two timestamps, with the numbers that say how far to trust it.

    `tokens` are the model's, timestamps included; `seek_s` is the start of the window they were decoded in.
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Transcript:
    """A whole clip. `language` is a code ("en"); its probability is None where the language was given."""

    text: str
    language: str
    duration_s: float
    segments: tuple[Segment, ...]
    task: str = "transcribe"
    language_probability: float | None = None
    warnings: tuple[str, ...] = ()
