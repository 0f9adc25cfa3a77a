"""Detected speech that has neither a segment nor a reason."""

from __future__ import annotations

import pytest

from neuron_whisper.longform.coverage import find_unheard
from neuron_whisper.transcript import Segment, SkippedRegion
from tests.support.plans import make_pauseless_map

SPEECH = make_pauseless_map((1.0, 9.0), (20.0, 20.4))


def skip(start_s: float, end_s: float) -> SkippedRegion:
    return SkippedRegion(start_s=start_s, end_s=end_s, reason="vad")


@pytest.mark.parametrize(
    ("covered", "end", "is_last", "found", "covered_end"),
    [
        # speech before, between and behind
        ([(2.5, 4.0), (6.0, 7.0)], 1000, True, [(0.0, 2.5), (4.0, 6.0), (7.0, 10.0)], 1000),
        # what follows is told of with the next window
        ([(2.5, 9.0)], 1000, False, [(0.0, 2.5)], 900),
        ([], 1000, False, [], 0),
        # less than a second: the times of segments are vague
        ([(1.9, 8.1)], 1000, True, [], 1000),
        # of a text that is not there no time is wrong
        ([], 1000, True, [(0.0, 10.0)], 1000),
        # an item without length, and one inside another, cover nothing more
        ([(5.0, 5.0)], 1000, True, [(0.0, 10.0)], 1000),
        ([(1.0, 9.0), (2.0, 3.0)], 1000, True, [], 1000),
    ],
)
def test_speech_that_nothing_covers_is_found(
    covered: list[tuple[float, float]],
    end: int,
    is_last: bool,
    found: list[tuple[float, float]],
    covered_end: int,
) -> None:
    items: list[Segment | SkippedRegion] = [skip(*times) for times in covered]
    regions, last = find_unheard(items, SPEECH.measure_speech, start=0, end=end, is_last=is_last)
    assert [(it.start_s, it.end_s, it.reason) for it in regions] == [(*times, "no_text") for times in found]
    assert last == covered_end


def test_a_word_without_any_text_is_found_and_a_click_is_not() -> None:
    regions, _ = find_unheard([], SPEECH.measure_speech, start=1950, end=2100, is_last=True)
    assert [(it.start_s, it.end_s) for it in regions] == [(19.5, 21.0)]
    assert find_unheard([], SPEECH.measure_speech, start=2020, end=2100, is_last=True) == ([], 2100)
