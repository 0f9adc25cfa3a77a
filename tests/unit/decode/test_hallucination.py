"""Segments hallucinated in silence: the anomaly score, and what is removed."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given

from neuron_whisper.decode.alignment import WordTiming
from neuron_whisper.decode.hallucination import is_segment_anomaly, remove_hallucinations, word_anomaly_score
from neuron_whisper.decode.segments import SegmentTokens
from neuron_whisper.decode.words import (
    SegmentWithWords,
    assign_words,
)
from neuron_whisper.transcript import Word
from tests.support.word_windows import draw_windows


def segment_of(start_s: float, end_s: float, words: Sequence[Word]) -> SegmentWithWords:
    return SegmentWithWords(start_s=start_s, end_s=end_s, tokens=(), words=tuple(words))


def word(start_s: float, end_s: float, probability: float = 0.9, text: str = " w") -> Word:
    return Word(start_s=start_s, end_s=end_s, text=text, probability=probability)


@pytest.mark.parametrize(
    ("length_s", "probability", "score"),
    [(0.3, 0.9, 0.0), (0.3, 0.14, 1.0), (0.3, 0.15, 0.0), (0.033, 0.9, 1.5), (3.5, 0.9, 1.5), (3.5, 0.1, 2.5)],
)
def test_a_word_is_anomalous_when_unlikely_short_or_long(length_s: float, probability: float, score: float) -> None:
    assert word_anomaly_score(word(0.0, length_s, probability)) == pytest.approx(score)


def test_a_segment_is_anomalous_when_its_first_words_are() -> None:
    good, bad = word(0, 0.3), word(0, 0.3, 0.1)
    assert not is_segment_anomaly([])
    assert not is_segment_anomaly([good] * 8)
    assert is_segment_anomaly([bad])
    assert not is_segment_anomaly([bad, good])
    assert is_segment_anomaly([bad, bad, bad, good, good, good, good])
    assert not is_segment_anomaly([good] * 8 + [bad] * 8), "eight words are judged"
    assert is_segment_anomaly([bad, word(0, 0.3, text=",")]), "punctuation alone is not judged"


def speech(start_s: float, end_s: float) -> SegmentWithWords:
    return segment_of(start_s, end_s, [word(start_s, end_s)] * 3)


def hallucination(start_s: float, end_s: float) -> SegmentWithWords:
    return segment_of(start_s, end_s, [word(start_s, end_s, 0.05)] * 3)


def remove(segments: list[SegmentWithWords], content_s: float = 120.0) -> tuple[list[SegmentWithWords], int | None]:
    return remove_hallucinations(
        segments,
        threshold_s=2.0,
        seek_frames=6000,
        window_frames=3000,
        content_frames=round(content_s * 100),
        last_speech_s=60.0,
    )


def test_speech_is_kept() -> None:
    segments = [speech(61, 62), speech(63, 64)]
    assert remove(segments) == (segments, None)


def test_a_hallucination_between_silences_ends_the_window() -> None:
    first = speech(61, 62)
    assert remove([first, hallucination(70, 71), speech(80, 81)]) == ([first], 7000)


def test_a_hallucination_amid_speech_is_kept() -> None:
    segments = [speech(61, 62), hallucination(62.5, 63), speech(63.5, 64)]
    assert remove(segments) == (segments, None)


def test_a_hallucination_after_silence_is_decoded_again_without_the_silence() -> None:
    assert remove([hallucination(65, 66), speech(66, 67)]) == ([], 6500)


def test_a_hallucination_at_the_end_of_the_clip_ends_it() -> None:
    first = speech(61, 62)
    assert remove([first, hallucination(68, 69)], content_s=70.0) == ([first], 7000)


def test_a_hallucination_at_the_start_moves_the_window_on_by_a_second() -> None:
    assert remove([hallucination(60.2, 60.8), hallucination(61, 62)]) == ([], 6100)


@given(draw_windows())
def test_a_window_always_moves_on(
    window: tuple[list[SegmentTokens], list[list[WordTiming]], int, float],
) -> None:
    segments, timings, seek, last = window
    segments_with_words = assign_words(segments, timings, seek_frames=seek, window_frames=3000, last_speech_s=last)
    kept, on = remove_hallucinations(
        segments_with_words,
        threshold_s=1.0,
        seek_frames=seek,
        window_frames=3000,
        content_frames=seek + 3000,
        last_speech_s=last,
    )
    assert kept == segments_with_words[: len(kept)]
    assert len(kept) == len(segments_with_words) if on is None else on > seek
