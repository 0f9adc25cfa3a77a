"""What was said and when, and what was not taken. Times are float seconds from the clip's start."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    start_s: float
    end_s: float
    text: str
    probability: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """A temperature at which a window's text was not taken, and why: "compression_ratio" or "avg_logprob"."""

    temperature: float
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """A stretch of speech between two timestamps, with the numbers that say how far to trust it.

    `tokens` are the model's, timestamps included, `token_logprobs` has one for each; `seek_s` is the start of the
    window they were decoded in. `retries` are what its window was decoded to before, `is_truncated` whether a
    repetition was taken off the window's end, `language` what the window was decoded as.
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


@dataclass(frozen=True, slots=True, kw_only=True)
class SkippedRegion:
    """A stretch that gives no text, and why.

    "no_voice": the voice detector hears nothing there; "no_speech": the model says so itself; "hallucination":
    anomalous words around silence; "empty": a segment without text or length. `text` is what was decoded, if anything.
    """

    start_s: float
    end_s: float
    reason: str
    text: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Transcript:
    """A whole clip. `language` is a code ("en"); its probability is None where the language was given.

    `long_form` is the plan that was used: sequential or batched.
    """

    text: str
    language: str
    duration_s: float
    segments: tuple[Segment, ...]
    task: str = "transcribe"
    language_probability: float | None = None
    warnings: tuple[str, ...] = ()
    skipped: tuple[SkippedRegion, ...] = ()
    long_form: str = "sequential"
