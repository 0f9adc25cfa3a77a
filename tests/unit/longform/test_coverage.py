"""Detected speech that has neither a segment nor a reason."""

from __future__ import annotations

import pytest

from neuron_whisper.longform.coverage import find_unheard, is_sparse, list_spans, measure_excess, measure_lack
from neuron_whisper.transcript import Segment, SkippedRegion, Word
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
        ([(5.0, 5.02)], 1000, True, [(0.0, 10.0)], 1000),
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


# --- segments with too little text ----------------------------------------------------------------


def say(text: str, start_s: float, end_s: float, *words: tuple[str, float, float]) -> Segment:
    return Segment(
        id=0,
        seek_s=0.0,
        start_s=start_s,
        end_s=end_s,
        text=text,
        tokens=(),
        temperature=0.0,
        avg_logprob=-0.2,
        compression_ratio=1.0,
        no_speech_prob=0.0,
        words=tuple(Word(text=word, start_s=a, end_s=b, probability=1.0) for word, a, b in words),
    )


@pytest.mark.parametrize(
    ("segment", "excess_s", "sparse"),
    [
        (say("a" * 16, 1.0, 9.0), 4.0, True),
        (say("a" * 25, 1.0, 9.0), 1.75, False),
        (say("a" * 80, 1.0, 9.0), 0.0, False),
        (say("", 1.0, 9.0), 8.0, True),
        (say("a" * 16, 0.0, 5.5), 0.5, False),
        (say("a", 9.0, 19.0), 0.0, False),  # silence
        # words that leave speech between them, and one that is stretched over it
        (say("a" * 80, 1.0, 9.0, ("a" * 40, 1.0, 3.0), ("a" * 40, 6.0, 9.0)), 3.0, True),
        (say("a" * 80, 1.0, 9.0, ("a" * 40, 1.0, 3.0), ("aaaa", 3.0, 7.0), ("a" * 36, 7.0, 9.0)), 3.0, True),
        (say("a" * 80, 1.0, 9.0, ("a" * 40, 1.0, 5.0), ("a" * 40, 5.9, 9.0)), 0.0, False),
    ],
)
def test_a_segment_covers_as_much_speech_as_its_text_takes_when_it_is_spoken_slowly(
    segment: Segment, excess_s: float, sparse: bool
) -> None:
    assert measure_excess(segment, SPEECH.measure_speech) == pytest.approx(excess_s)
    assert is_sparse(segment, SPEECH.measure_speech) is sparse


def test_speech_without_text_is_what_no_item_covers_and_what_a_text_is_too_short_for() -> None:
    items: list[Segment | SkippedRegion] = [say("a" * 4, 2.0, 4.0), skip(5.0, 7.0)]
    assert measure_lack(items, SPEECH.measure_speech, 0.0, 10.0) == pytest.approx(1 + 1 + 1 + 2)
    assert measure_lack([], SPEECH.measure_speech, 3.0, 6.0) == pytest.approx(3)


def test_a_warning_lists_five_spans_and_counts_the_others() -> None:
    assert list_spans([(0.0, 18.66), (20.0, 21.0)]) == "0.0-18.7 s, 20.0-21.0 s"
    assert list_spans([(float(at), at + 0.5) for at in range(7)]).endswith("4.0-4.5 s and 2 more")
