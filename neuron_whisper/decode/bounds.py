"""Keeps a window's segments and words in order and inside the audio that the window holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from neuron_whisper.decode.words import SegmentWithWords
from neuron_whisper.transcript import Word


def fit_segments(segments: Sequence[SegmentWithWords], *, start_s: float, end_s: float) -> list[SegmentWithWords]:
    """Moves times that lie outside of `start_s` to `end_s`, or before the segment before; all others stay.

    A segment decoded for the silence behind the audio (10.4-12.0 s of 10 s) is left without length at the end.
    """
    fitted = []
    for segment in segments:
        first_s = _clamp(segment.start_s, start_s, end_s)
        last_s = _clamp(segment.end_s, first_s, end_s)
        words = _fit_words(segment.words, first_s, last_s)
        fitted.append(replace(segment, start_s=first_s, end_s=last_s, words=words))
        start_s = last_s
    return fitted


def _fit_words(words: Sequence[Word], start_s: float, end_s: float) -> tuple[Word, ...]:
    fitted = []
    for word in words:
        first_s = _clamp(word.start_s, start_s, end_s)
        start_s = _clamp(word.end_s, first_s, end_s)
        fitted.append(replace(word, start_s=first_s, end_s=start_s))
    return tuple(fitted)


def _clamp(second: float, low: float, high: float) -> float:
    return min(max(round(second, 6), low), high)  # 0.1 + 0.2 is not before 0.3
