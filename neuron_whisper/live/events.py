"""Events of a live session. Samples and seconds count from the first sample that it was fed."""

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
    """Joins the pieces into text: [" And", " so", ","] -> "And so,"."""
    return "".join(piece.text for piece in pieces).lstrip()


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeechStarted:
    """The voice detector found speech; the utterance begins at `start_s`, padding included."""

    utterance: int
    start_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeechStopped:
    """The voice detector found the silence that ends the utterance, complete at `end_s`."""

    utterance: int
    end_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class UtteranceCommitted:
    """The utterance ended; its final text follows."""

    utterance: int
    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PartialText:
    """Text so far of an utterance in progress. `stable` only grows; `unstable` is the latest guess at what follows it.
    `end_s` is the end of the decoded audio.
    """

    utterance: int
    start_s: float
    end_s: float
    stable: tuple[TextPiece, ...]
    unstable: tuple[TextPiece, ...]
    language: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FinalText:
    """An utterance's final text, decoded with temperature fallback; it replaces partial text that differs.

    `emitted` is the stable text completed at its end, for clients that only append: it equals `text` if the
    partial text was right. `pieces` are the words of `text`. `language` is None where it was not given and no speech
    was heard to tell it by. `warnings` are sentences: text or a prompt that was cut.
    """

    utterance: int
    start_s: float
    end_s: float
    text: str
    segments: tuple[Segment, ...]
    skipped: tuple[SkippedRegion, ...]
    pieces: tuple[TextPiece, ...]
    emitted: tuple[TextPiece, ...]
    language: str | None
    language_probability: float | None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class UtteranceFailed:
    """An utterance without text, because of `error`. The session continues."""

    utterance: int
    error: Exception


LiveEvent: TypeAlias = SpeechStarted | SpeechStopped | UtteranceCommitted | PartialText | FinalText | UtteranceFailed
