"""Segments and words kept in order and inside the window's audio."""

from __future__ import annotations

import pytest

from neuron_whisper.decode.bounds import fit_segments
from neuron_whisper.decode.words import SegmentWithWords
from neuron_whisper.transcript import Word


def make_segment(start_s: float, end_s: float, *words: tuple[float, float]) -> SegmentWithWords:
    timed = tuple(Word(start_s=a, end_s=b, text=" a", probability=1.0) for a, b in words)
    return SegmentWithWords(start_s=start_s, end_s=end_s, tokens=(1,), words=timed)


@pytest.mark.parametrize(
    ("decoded", "fitted"),
    [
        ([(10.0, 12.5), (12.5, 19.0)], [(10.0, 12.5), (12.5, 19.0)]),
        # 10 s of audio from 10 s on: the model's clock runs to 30 s
        ([(10.0, 24.0)], [(10.0, 20.0)]),
        ([(10.0, 18.0), (18.0, 24.0)], [(10.0, 18.0), (18.0, 20.0)]),
        ([(10.0, 18.0), (22.0, 24.0)], [(10.0, 18.0), (20.0, 20.0)]),
        # times that go back
        ([(10.0, 15.0), (14.0, 16.0)], [(10.0, 15.0), (15.0, 16.0)]),
        ([(10.0, 15.0), (12.0, 13.0)], [(10.0, 15.0), (15.0, 15.0)]),
        ([(-900.0, 12.0), (13.0, 12.5)], [(10.0, 12.0), (13.0, 13.0)]),
    ],
)
def test_times_beyond_the_audio_or_before_the_segment_before_are_moved(
    decoded: list[tuple[float, float]], fitted: list[tuple[float, float]]
) -> None:
    found = fit_segments([make_segment(*times) for times in decoded], start_s=10.0, end_s=20.0)
    assert [(it.start_s, it.end_s) for it in found] == fitted


def test_words_lie_inside_their_segment_and_in_order() -> None:
    segment = make_segment(10.0, 24.0, (9.5, 11.0), (10.5, 12.0), (19.0, 21.0), (22.0, 24.0))
    (found,) = fit_segments([segment], start_s=10.0, end_s=20.0)
    assert [(it.start_s, it.end_s) for it in found.words] == [(10.0, 11.0), (11.0, 12.0), (19.0, 20.0), (20.0, 20.0)]
