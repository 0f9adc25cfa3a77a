"""Words put into segments, against openai-whisper's timing.py, and segments made up in silence."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
import whisper.timing
from hypothesis import given, settings
from hypothesis import strategies as st

from neuron_whisper.decode.alignment import WordTiming
from neuron_whisper.decode.hallucination import is_segment_anomaly, remove_hallucinations, word_anomaly_score
from neuron_whisper.decode.options import APPEND_PUNCTUATIONS, PREPEND_PUNCTUATIONS
from neuron_whisper.decode.segments import SegmentTokens
from neuron_whisper.decode.words import (
    SegmentWithWords,
    assign_words,
    find_last_word_end,
    merge_punctuations,
)
from neuron_whisper.transcript import Word

EOT = 50257
WORDS = [" a", " so", "day", " (", ' "', " ", "-", " -", ".", ",", "?!", "。", ")", '"', "...", " x "]


def timing(text: str, start_s: float, end_s: float, tokens: tuple[int, ...] = (1,)) -> WordTiming:
    return WordTiming(text=text, tokens=tokens, start_s=start_s, end_s=end_s, probability=0.5)


def theirs(words: Sequence[WordTiming]) -> list[Any]:
    return [whisper.timing.WordTiming(w.text, list(w.tokens), w.start_s, w.end_s, w.probability) for w in words]


def spoken(start_s: float, end_s: float, words: Sequence[Word]) -> SegmentWithWords:
    return SegmentWithWords(start_s=start_s, end_s=end_s, tokens=(), words=tuple(words))


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
    expected = theirs(words)
    whisper.timing.merge_punctuations(expected, PREPEND_PUNCTUATIONS, APPEND_PUNCTUATIONS)
    found = merge_punctuations(words)
    assert [(w.text, list(w.tokens), w.start_s) for w in found] == [
        (w.word, w.tokens, w.start) for w in expected if w.word
    ]
    assert "".join(w.text for w in found) == "".join(texts)


# --- segments -------------------------------------------------------------------------------------


@st.composite
def windows(draw: st.DrawFn) -> tuple[list[SegmentTokens], list[list[WordTiming]], int, float]:
    """Spans, their words, the window's seek, when speech ended before. Words touch, as DTW leaves them."""
    steps = st.sampled_from([0, 1, 5, 10, 15, 20, 31, 34, 60, 200])  # of 20 ms
    off = st.sampled_from([-50, -30, -26, -25, -10, 0, 10, 25, 26, 30, 50])
    counts = draw(st.lists(st.integers(0, 5), min_size=1, max_size=4))
    seek = draw(st.sampled_from([0, 37, 1500, 123457]))
    ends = list(itertools.accumulate(draw(st.lists(steps, min_size=sum(counts), max_size=sum(counts)))))
    times = [0, *(min(end, 1500) for end in ends)]
    spans, timings = [], []
    token = 0
    for count in counts:
        start, end = sorted((times[token] + draw(off), times[token + count] + draw(off)))
        words = []
        for place in range(count):
            # a plain word at both ends: openai-whisper joins marks across segments
            text = " a" if place in (0, count - 1) else draw(st.sampled_from(WORDS))
            words.append(timing(text, times[token] / 50, times[token + 1] / 50, (token,)))
            token += 1
        timings.append(words)
        spans.append(
            SegmentTokens(
                start_s=seek / 100 + max(0, start) * 0.02,
                end_s=seek / 100 + max(0, min(end, 1500)) * 0.02,
                tokens=tuple(token for word in words for token in word.tokens),
            )
        )
    return spans, timings, seek, draw(st.sampled_from([0.0, seek / 100, max(0.0, seek / 100 - 5)]))


def check_law(found: Sequence[SegmentWithWords], start_s: float, end_s: float) -> None:
    at = start_s
    for span in found:
        if span.words:
            assert (span.start_s, span.end_s) == (span.words[0].start_s, span.words[-1].end_s)
        for word in span.words:
            assert at <= word.start_s <= word.end_s <= end_s
            at = word.end_s


def as_openai(
    spans: Sequence[SegmentTokens], timings: Sequence[Sequence[WordTiming]], seek: int, last: float
) -> list[Any]:
    segments = [{"seek": seek, "start": span.start_s, "end": span.end_s, "tokens": list(span.tokens)} for span in spans]
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(whisper.timing, "find_alignment", lambda *_: theirs([w for ws in timings for w in ws]))
        whisper.timing.add_word_timestamps(
            segments=segments,
            model=None,
            tokenizer=SimpleNamespace(eot=EOT),
            mel=None,
            num_frames=3000,
            last_speech_timestamp=last,
        )
    return segments


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


def test_words_are_openais_where_those_are_in_order_and_in_order_everywhere() -> None:
    compared = corrected = 0

    @settings(max_examples=300, derandomize=True)
    @given(windows())
    def law(window: tuple[list[SegmentTokens], list[list[WordTiming]], int, float]) -> None:
        nonlocal compared, corrected
        spans, timings, seek, last = window
        found = assign_words(spans, timings, seek_frames=seek, window_frames=3000, last_speech_s=last)
        check_law(found, seek / 100, seek / 100 + 30)
        for span, words in zip(found, timings, strict=True):
            assert "".join(word.text for word in span.words) == "".join(word.text for word in words)
        expected = as_openai(spans, timings, seek, last)
        if is_lawful(expected, seek / 100, seek / 100 + 30):
            compared += 1
            for span, segment in zip(found, expected, strict=True):
                assert [(w.text, w.start_s, w.end_s) for w in span.words] == [
                    (w["word"], w["start"], w["end"]) for w in segment["words"]
                ]
                assert (span.start_s, span.end_s) == (segment["start"], segment["end"])
        else:
            corrected += 1

    law()
    assert compared > 100, "too few windows in which openai-whisper's words are in order to compare with"
    assert corrected > 10, "too few windows in which they are not"


def test_a_long_pause_before_the_first_word_is_cut_off() -> None:
    words = [timing(" Yes", 0.0, 6.0), timing(" we", 6.0, 6.3), timing(" can", 6.3, 6.6), timing(" go", 6.6, 6.9)]
    spans = [SegmentTokens(start_s=105.8, end_s=107.0, tokens=(1, 1, 1, 1))]
    (found,) = assign_words(spans, [words], seek_frames=10_000, window_frames=3000, last_speech_s=100.0)
    assert [(word.text, word.start_s, word.end_s) for word in found.words] == [
        (" Yes", pytest.approx(105.4), 106.0),
        (" we", 106.0, 106.3),
        (" can", 106.3, 106.6),
        (" go", 106.6, 106.9),
    ]
    assert (found.start_s, found.end_s) == (found.words[0].start_s, 106.9)
    assert find_last_word_end([found]) == 106.9


def test_a_last_word_that_hums_on_ends_with_its_segment() -> None:
    words = [timing(" It", 0.0, 0.3), timing(" is", 0.3, 0.6), timing(" on", 0.6, 0.9), timing(" me", 0.9, 4.0)]
    spans = [SegmentTokens(start_s=0.0, end_s=1.3, tokens=(1, 1, 1, 1))]
    (found,) = assign_words(spans, [words], seek_frames=0, window_frames=3000, last_speech_s=0.0)
    assert (found.words[-1].start_s, found.words[-1].end_s, found.end_s) == (0.9, 1.3, 1.3)


def test_a_short_last_word_does_not_grow_into_the_next_segment() -> None:
    words = [[timing(" a", 0.0, 0.7), timing(" b", 0.7, 1.26)], [timing(" c", 1.26, 1.96), timing(" d", 1.96, 2.66)]]
    spans = [
        SegmentTokens(start_s=0.0, end_s=0.72, tokens=(1, 1)),
        SegmentTokens(start_s=1.26, end_s=2.66, tokens=(1, 1)),
    ]
    found = assign_words(spans, words, seek_frames=0, window_frames=3000, last_speech_s=0.0)
    # openai-whisper gives it the median, 0.7 s, and has it end at 1.4
    assert [(word.start_s, word.end_s) for span in found for word in span.words] == [
        (0.0, 0.7),
        (0.7, 1.26),
        (1.26, 1.96),
        (1.96, 2.66),
    ]


def test_a_pause_between_sentences_is_nobodys() -> None:
    words = [timing(" Go", 0.0, 0.4), timing(".", 0.4, 3.4), timing(" Now", 3.4, 6.0), timing(" run", 6.0, 6.4)]
    spans = [SegmentTokens(start_s=0.0, end_s=6.4, tokens=(1, 1, 1, 1))]
    (found,) = assign_words(spans, [words], seek_frames=0, window_frames=3000, last_speech_s=0.0)
    # the median of 0.4, 3.0, 2.6, 0.4 is 1.5, held to 0.7: none is longer than 1.4 s
    assert [(word.text, word.start_s, word.end_s) for word in found.words] == [
        (" Go.", 0.0, 0.4),
        (" Now", 4.6, 6.0),
        (" run", 6.0, 6.4),
    ]


def test_a_segment_without_text_keeps_its_times_and_has_no_words() -> None:
    spans = [
        SegmentTokens(start_s=1.0, end_s=2.0, tokens=(50364, 50400)),
        SegmentTokens(start_s=2.0, end_s=3.0, tokens=(1,)),
    ]
    found = assign_words(spans, [[], [timing(" ok", 2.0, 2.5)]], seek_frames=0, window_frames=500, last_speech_s=0.0)
    assert (found[0].start_s, found[0].end_s, found[0].words) == (1.0, 2.0, ())
    assert found[1].words == (Word(start_s=2.0, end_s=2.5, text=" ok", probability=0.5),)
    assert find_last_word_end(found) == 2.5
    assert find_last_word_end(found[:1]) == 2.0
    assert find_last_word_end([]) is None


# --- hallucinations -------------------------------------------------------------------------------


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


def sound(start_s: float, end_s: float) -> SegmentWithWords:
    return spoken(start_s, end_s, [word(start_s, end_s)] * 3)


def made_up(start_s: float, end_s: float) -> SegmentWithWords:
    return spoken(start_s, end_s, [word(start_s, end_s, 0.05)] * 3)


def judge(spans: list[SegmentWithWords], content_s: float = 120.0) -> tuple[list[SegmentWithWords], int | None]:
    return remove_hallucinations(
        spans,
        threshold_s=2.0,
        seek_frames=6000,
        window_frames=3000,
        content_frames=round(content_s * 100),
        last_speech_s=60.0,
    )


def test_speech_is_kept() -> None:
    spans = [sound(61, 62), sound(63, 64)]
    assert judge(spans) == (spans, None)


def test_a_made_up_segment_between_silences_ends_the_window() -> None:
    first = sound(61, 62)
    assert judge([first, made_up(70, 71), sound(80, 81)]) == ([first], 7000)


def test_a_made_up_segment_amid_speech_is_kept() -> None:
    spans = [sound(61, 62), made_up(62.5, 63), sound(63.5, 64)]
    assert judge(spans) == (spans, None)


def test_a_made_up_start_after_silence_is_heard_again_without_the_silence() -> None:
    assert judge([made_up(65, 66), sound(66, 67)]) == ([], 6500)


def test_a_made_up_segment_at_the_end_of_the_clip_ends_it() -> None:
    first = sound(61, 62)
    assert judge([first, made_up(68, 69)], content_s=70.0) == ([first], 7000)


def test_a_made_up_segment_at_the_start_moves_the_window_on_by_a_second() -> None:
    assert judge([made_up(60.2, 60.8), made_up(61, 62)]) == ([], 6100)


@given(windows(), st.lists(st.floats(0, 1), min_size=4, max_size=4))
def test_a_window_always_moves_on(
    window: tuple[list[SegmentTokens], list[list[WordTiming]], int, float], likelihoods: list[float]
) -> None:
    spans, timings, seek, last = window
    worded = assign_words(spans, timings, seek_frames=seek, window_frames=3000, last_speech_s=last)
    kept, on = remove_hallucinations(
        worded, threshold_s=1.0, seek_frames=seek, window_frames=3000, content_frames=seek + 3000, last_speech_s=last
    )
    assert kept == worded[: len(kept)]
    assert len(kept) == len(worded) if on is None else on > seek
