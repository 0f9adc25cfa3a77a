"""Transcripts under openai/whisper's names."""

from __future__ import annotations

import pytest

from neuron_whisper.transcript import SkippedRegion, Transcript, Word, is_silence
from tests.support.transcripts import make_segment


def test_times_have_openai_whispers_names_too() -> None:
    word = Word(start_s=1.0, end_s=1.5, text=" a", probability=0.9)
    region = SkippedRegion(start_s=2.0, end_s=3.0, reason="vad")
    assert (word.start, word.end) == (1.0, 1.5)
    assert (region.start, region.end) == (2.0, 3.0)
    assert Transcript(text="", language="en", duration_s=4.0, segments=()).duration == 4.0


@pytest.mark.parametrize(
    ("reason", "text", "expected"),
    [("vad", "", True), ("no_speech_threshold", "", True), ("no_text", "", False), ("no_speech_threshold", "A", False)],
)
def test_silence_is_what_has_no_text_that_was_dropped_either(reason: str, text: str, expected: bool) -> None:
    skipped = [
        SkippedRegion(start_s=0.0, end_s=1.0, reason="vad"),
        SkippedRegion(start_s=0.0, end_s=1.0, reason=reason, text=text),
    ]
    assert is_silence([], skipped) == expected
    assert not is_silence([make_segment(0, 1, " x")], skipped)
