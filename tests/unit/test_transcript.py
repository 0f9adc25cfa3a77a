"""Transcripts under openai/whisper's names."""

from __future__ import annotations

from neuron_whisper.transcript import SkippedRegion, Transcript, Word


def test_times_have_openai_whispers_names_too() -> None:
    word = Word(start_s=1.0, end_s=1.5, text=" a", probability=0.9)
    region = SkippedRegion(start_s=2.0, end_s=3.0, reason="vad")
    assert (word.start, word.end) == (1.0, 1.5)
    assert (region.start, region.end) == (2.0, 3.0)
    assert Transcript(text="", language="en", duration_s=4.0, segments=()).duration == 4.0
