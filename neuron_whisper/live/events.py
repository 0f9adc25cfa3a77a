"""What a live session tells. Samples and seconds count from the first sample that it was fed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from neuron_whisper.transcript import Segment, SkippedRegion


@dataclass(frozen=True, slots=True, kw_only=True)
class TextPiece:
    """A word, or a mark, with the space before it and the tokens it is made of."""

    text: str
    tokens: tuple[int, ...]
    logprobs: tuple[float, ...]


def join_pieces(pieces: Sequence[TextPiece]) -> str:
    """The pieces as text: [" And", " so", ","] -> "And so,"."""
    return "".join(piece.text for piece in pieces).lstrip()


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeechStarted:
    """The voice detector heard somebody; the utterance begins at `start_s`, padding included."""

    utterance: int
    start_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeechStopped:
    """The silence that ends an utterance is long enough, at `end_s`."""

    utterance: int
    end_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class UtteranceCommitted:
    """The utterance has its end; its final text will come."""

    utterance: int
    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PartialText:
    """Text of an utterance that goes on. `stable` only ever grows at its end; `unstable` is the latest guess at what
    follows it. `end_s` is how far was heard.
    """

    utterance: int
    start_s: float
    end_s: float
    stable: tuple[TextPiece, ...]
    unstable: tuple[TextPiece, ...]
    language: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FinalText:
    """An utterance's text, decoded with every gate: it has the last word where partial text was something else.

    `emitted` is the stable text with what was missing at its end, for those who only append: it equals `text` where
    the partial text was right. `pieces` are the words of `text`.
    """

    utterance: int
    start_s: float
    end_s: float
    text: str
    segments: tuple[Segment, ...]
    skipped: tuple[SkippedRegion, ...]
    pieces: tuple[TextPiece, ...]
    emitted: tuple[TextPiece, ...]
    language: str
    language_probability: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class UtteranceFailed:
    """An utterance that has no text, because of `error`. The session goes on."""

    utterance: int
    error: Exception


LiveEvent: TypeAlias = SpeechStarted | SpeechStopped | UtteranceCommitted | PartialText | FinalText | UtteranceFailed
