"""Words assigned to segments, against openai-whisper's timing.py."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
import whisper.timing
from hypothesis import given, settings
from hypothesis import strategies as st

from neuron_whisper.decode.alignment import WordTiming
from neuron_whisper.decode.options import APPEND_PUNCTUATIONS, PREPEND_PUNCTUATIONS
from neuron_whisper.decode.segments import SegmentTokens
from neuron_whisper.decode.words import (
    SegmentWithWords,
    assign_words,
    find_last_word_end,
    merge_punctuations,
)
from neuron_whisper.transcript import Word
from tests.support.word_windows import WORDS, draw_windows, timing

EOT = 50257


def to_openai_timings(words: Sequence[WordTiming]) -> list[Any]:
    return [whisper.timing.WordTiming(w.text, list(w.tokens), w.start_s, w.end_s, w.probability) for w in words]


# --- punctuation ----------------------------------------------------------------------------------


def test_marks_join_the_word_they_belong_to() -> None:
    texts = [" He", " said", ":", ' "', "No", ".", '"', " (", "Twice", "?", ")"]
    merged = merge_punctuations([timing(text, i, i + 1, (i,)) for i, text in enumerate(texts)])
    assert [word.text for word in merged] == [" He", " said:", ' "No."', " (Twice?)"]
    assert [word.tokens for word in merged] == [(0,), (1, 2), (3, 4, 5, 6), (7, 8, 9, 10)]
    assert [(word.start_s, word.end_s) for word in merged] == [(0, 1), (1, 2), (4, 5), (8, 9)]


@given(st.lists(st.sampled_from(WORDS), max_size=12))
def test_any_marks_are_joined_as_openai_joins_them(texts: list[str]) -> None:
    words = [timing(text, i, i + 1, (i,)) for i, text in enumerate(texts)]
    expected = to_openai_timings(words)
    whisper.timing.merge_punctuations(expected, PREPEND_PUNCTUATIONS, APPEND_PUNCTUATIONS)
    found = merge_punctuations(words)
    assert [(w.text, list(w.tokens), w.start_s) for w in found] == [
        (w.word, w.tokens, w.start) for w in expected if w.word
    ]
    assert "".join(w.text for w in found) == "".join(texts)


# --- segments -------------------------------------------------------------------------------------


def check_law(found: Sequence[SegmentWithWords], start_s: float, end_s: float) -> None:
    at = start_s
    for segment in found:
        if segment.words:
            assert (segment.start_s, segment.end_s) == (segment.words[0].start_s, segment.words[-1].end_s)
        for word in segment.words:
            assert at <= word.start_s <= word.end_s <= end_s
            at = word.end_s


def as_openai(
    segments: Sequence[SegmentTokens], timings: Sequence[Sequence[WordTiming]], seek: int, last: float
) -> list[Any]:
    theirs = [
        {"seek": seek, "start": segment.start_s, "end": segment.end_s, "tokens": list(segment.tokens)}
        for segment in segments
    ]
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(
            whisper.timing, "find_alignment", lambda *_: to_openai_timings([w for ws in timings for w in ws])
        )
        whisper.timing.add_word_timestamps(
            segments=theirs,
            model=None,
            tokenizer=SimpleNamespace(eot=EOT),
            mel=None,
            num_frames=3000,
            last_speech_timestamp=last,
        )
    return theirs


def is_lawful(segments: Sequence[Any], start_s: float, end_s: float) -> bool:
    times = [start_s]
    for segment in segments:
        for word in segment["words"]:
            times += [word["start"], word["end"]]
        if segment["words"] and (
            segment["start"] > segment["words"][0]["start"] or segment["end"] < segment["words"][-1]["end"]
        ):
            return False
    return [*times, end_s] == sorted([*times, end_s])


def test_words_are_openais_if_those_are_in_order_and_always_in_order() -> None:
    compared = corrected = 0

    @settings(max_examples=300, derandomize=True)
    @given(draw_windows())
    def law(window: tuple[list[SegmentTokens], list[list[WordTiming]], int, float]) -> None:
        nonlocal compared, corrected
        segments, timings, seek, last = window
        found = assign_words(segments, timings, seek_frames=seek, window_frames=3000, last_speech_s=last)
        check_law(found, seek / 100, seek / 100 + 30)
        for segment, words in zip(found, timings, strict=True):
            assert "".join(word.text for word in segment.words) == "".join(word.text for word in words)
        expected = as_openai(segments, timings, seek, last)
        if is_lawful(expected, seek / 100, seek / 100 + 30):
            compared += 1
            for segment, theirs in zip(found, expected, strict=True):
                assert [(w.text, w.start_s, w.end_s) for w in segment.words] == [
                    (w["word"], w["start"], w["end"]) for w in theirs["words"]
                ]
                assert (segment.start_s, segment.end_s) == (theirs["start"], theirs["end"])
        else:
            corrected += 1

    law()
    assert compared > 100, "too few windows in which openai-whisper's words are in order to compare with"
    assert corrected > 10, "too few windows in which they are not"


def test_a_long_pause_before_the_first_word_is_cut_off() -> None:
    words = [timing(" Yes", 0.0, 6.0), timing(" we", 6.0, 6.3), timing(" can", 6.3, 6.6), timing(" go", 6.6, 6.9)]
    segments = [SegmentTokens(start_s=105.8, end_s=107.0, tokens=(1, 1, 1, 1))]
    (found,) = assign_words(segments, [words], seek_frames=10_000, window_frames=3000, last_speech_s=100.0)
    assert [(word.text, word.start_s, word.end_s) for word in found.words] == [
        (" Yes", pytest.approx(105.4), 106.0),
        (" we", 106.0, 106.3),
        (" can", 106.3, 106.6),
        (" go", 106.6, 106.9),
    ]
    assert (found.start_s, found.end_s) == (found.words[0].start_s, 106.9)
    assert find_last_word_end([found]) == 106.9


def test_a_last_word_that_is_too_long_ends_with_its_segment() -> None:
    words = [timing(" It", 0.0, 0.3), timing(" is", 0.3, 0.6), timing(" on", 0.6, 0.9), timing(" me", 0.9, 4.0)]
    segments = [SegmentTokens(start_s=0.0, end_s=1.3, tokens=(1, 1, 1, 1))]
    (found,) = assign_words(segments, [words], seek_frames=0, window_frames=3000, last_speech_s=0.0)
    assert (found.words[-1].start_s, found.words[-1].end_s, found.end_s) == (0.9, 1.3, 1.3)


def test_a_short_last_word_does_not_grow_into_the_next_segment() -> None:
    words = [[timing(" a", 0.0, 0.7), timing(" b", 0.7, 1.26)], [timing(" c", 1.26, 1.96), timing(" d", 1.96, 2.66)]]
    segments = [
        SegmentTokens(start_s=0.0, end_s=0.72, tokens=(1, 1)),
        SegmentTokens(start_s=1.26, end_s=2.66, tokens=(1, 1)),
    ]
    found = assign_words(segments, words, seek_frames=0, window_frames=3000, last_speech_s=0.0)
    # openai-whisper gives it the median, 0.7 s, and has it end at 1.4
    assert [(word.start_s, word.end_s) for segment in found for word in segment.words] == [
        (0.0, 0.7),
        (0.7, 1.26),
        (1.26, 1.96),
        (1.96, 2.66),
    ]


def test_a_pause_between_sentences_belongs_to_no_word() -> None:
    words = [timing(" Go", 0.0, 0.4), timing(".", 0.4, 3.4), timing(" Now", 3.4, 6.0), timing(" run", 6.0, 6.4)]
    segments = [SegmentTokens(start_s=0.0, end_s=6.4, tokens=(1, 1, 1, 1))]
    (found,) = assign_words(segments, [words], seek_frames=0, window_frames=3000, last_speech_s=0.0)
    # the median of 0.4, 3.0, 2.6, 0.4 is 1.5, held to 0.7: none is longer than 1.4 s
    assert [(word.text, word.start_s, word.end_s) for word in found.words] == [
        (" Go.", 0.0, 0.4),
        (" Now", 4.6, 6.0),
        (" run", 6.0, 6.4),
    ]


def test_a_segment_without_text_keeps_its_times_and_has_no_words() -> None:
    segments = [
        SegmentTokens(start_s=1.0, end_s=2.0, tokens=(50364, 50400)),
        SegmentTokens(start_s=2.0, end_s=3.0, tokens=(1,)),
    ]
    found = assign_words(segments, [[], [timing(" ok", 2.0, 2.5)]], seek_frames=0, window_frames=500, last_speech_s=0.0)
    assert (found[0].start_s, found[0].end_s, found[0].words) == (1.0, 2.0, ())
    assert found[1].words == (Word(start_s=2.0, end_s=2.5, text=" ok", probability=0.5),)
    assert find_last_word_end(found) == 2.5
    assert find_last_word_end(found[:1]) == 2.0
    assert find_last_word_end([]) is None
