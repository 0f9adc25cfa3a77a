"""Assigns timed words to segments: merges punctuation, trims pauses, keeps the order.

Follows openai/whisper timing.py add_word_timestamps and merge_punctuations.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain

import numpy as np

from neuron_whisper.audio.clip import FRAMES_PER_SECOND
from neuron_whisper.decode.alignment import WordTiming
from neuron_whisper.decode.options import APPEND_PUNCTUATIONS, PREPEND_PUNCTUATIONS
from neuron_whisper.decode.segments import SegmentTokens
from neuron_whisper.transcript import Word

SENTENCE_END_MARKS = ".。!！?？"

MAX_MEDIAN_S = 0.7  # upper limit of a window's median word length, so that music does not inflate it
LONG_WORD_MEDIANS = 2.0  # times the median: a longer word contains a pause
PAUSE_MEDIANS = 4.0  # times the median: a first word that ends this long after the last speech follows a pause
SEGMENT_TIME_TOLERANCE_S = 0.5  # a word that exceeds its segment's timestamps by more is cut at them


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentWithWords(SegmentTokens):
    """A segment with its words; its times are those of the first and last word, or as decoded if it has none."""

    words: tuple[Word, ...] = ()


@dataclass(slots=True, kw_only=True)
class _MutableWord:
    """A word whose times are being corrected; seconds from the clip's start."""

    text: str
    start_s: float
    end_s: float
    probability: float

    @property
    def length_s(self) -> float:
        return self.end_s - self.start_s


def merge_punctuations(
    words: Sequence[WordTiming], prepended: str = PREPEND_PUNCTUATIONS, appended: str = APPEND_PUNCTUATIONS
) -> list[WordTiming]:
    """Joins marks to the word they belong to, which keeps its times and probability: ' "', 'No', '.' -> ' "No.'."""
    leftward: list[WordTiming] = []  # last word first
    for word in reversed(words):
        if leftward and word.text.startswith(" ") and word.text.strip() in prepended:
            after = leftward[-1]
            leftward[-1] = replace(after, text=word.text + after.text, tokens=word.tokens + after.tokens)
        else:
            leftward.append(word)
    merged: list[WordTiming] = []
    for word in reversed(leftward):
        if merged and not merged[-1].text.endswith(" ") and word.text in appended:
            before = merged[-1]
            merged[-1] = replace(before, text=before.text + word.text, tokens=before.tokens + word.tokens)
        else:
            merged.append(word)
    return merged


def assign_words(
    segments: Sequence[SegmentTokens],
    timings: Sequence[Sequence[WordTiming]],
    *,
    seek_frames: int,
    window_frames: int,
    last_speech_s: float,
    prepended: str = PREPEND_PUNCTUATIONS,
    appended: str = APPEND_PUNCTUATIONS,
) -> list[SegmentWithWords]:
    """Adds words to one window's segments, in seconds from the clip's start; `timings` come from align_words.

    `last_speech_s` is when speech before this window ended. Words and segments with words are in order and inside
    the window, and no word ends after the next one starts. Times equal openai/whisper's, except where those leave
    the window or the segment or overlap the next word.
    """
    window_start_s = seek_frames / FRAMES_PER_SECOND
    window_end_s = (seek_frames + window_frames) / FRAMES_PER_SECOND
    median_s = _compute_median_length(list(chain.from_iterable(timings)))
    shortened = _shorten_at_sentence_ends(timings, LONG_WORD_MEDIANS * median_s)
    words_by_segment = [
        [_to_mutable_word(word, window_start_s) for word in merge_punctuations(words, prepended, appended)]
        for words in shortened
    ]
    # start of the next word, before its own segment is corrected
    next_starts = [window_end_s] * len(segments)
    for i in range(len(segments) - 2, -1, -1):
        next_starts[i] = words_by_segment[i + 1][0].start_s if words_by_segment[i + 1] else next_starts[i + 1]
    floor_s = window_start_s  # end of the previous word
    segments_with_words = []
    for segment, words, next_start_s in zip(segments, words_by_segment, next_starts, strict=True):
        start_s, end_s = segment.start_s, segment.end_s
        if words:
            _shorten_after_pause(words, median_s, last_speech_s)
            _prefer_segment_times(words, segment, median_s)
            words[0].start_s = max(words[0].start_s, floor_s)
            words[-1].end_s = max(words[-1].start_s, min(words[-1].end_s, next_start_s))
            start_s, end_s = words[0].start_s, words[-1].end_s
            floor_s = last_speech_s = end_s
        timed_words = tuple(
            Word(start_s=word.start_s, end_s=word.end_s, text=word.text, probability=word.probability) for word in words
        )
        segments_with_words.append(
            SegmentWithWords(start_s=start_s, end_s=end_s, tokens=segment.tokens, words=timed_words)
        )
    return segments_with_words


def find_last_word_end(segments: Sequence[SegmentWithWords]) -> float | None:
    """Finds the end of the last word; without words that of the last segment; None without segments."""
    ends = [word.end_s for segment in segments for word in segment.words] or [segment.end_s for segment in segments]
    return ends[-1] if ends else None


def _compute_median_length(words: Sequence[WordTiming]) -> float:
    lengths = [word.end_s - word.start_s for word in words if word.end_s != word.start_s]
    return min(MAX_MEDIAN_S, float(np.median(lengths))) if lengths else 0.0


def _shorten_at_sentence_ends(timings: Sequence[Sequence[WordTiming]], max_length_s: float) -> list[list[WordTiming]]:
    """Shortens long sentence marks and first words of a sentence: the pause between belongs to neither."""
    texts = [word.text for word in chain.from_iterable(timings)]
    before = iter([None, *texts])
    return [[_shorten_at_sentence_end(word, next(before), max_length_s) for word in words] for words in timings]


def _shorten_at_sentence_end(word: WordTiming, previous_text: str | None, max_length_s: float) -> WordTiming:
    if previous_text is None or word.end_s - word.start_s <= max_length_s:
        return word
    if word.text in SENTENCE_END_MARKS:
        return replace(word, end_s=word.start_s + max_length_s)
    if previous_text in SENTENCE_END_MARKS:
        return replace(word, start_s=word.end_s - max_length_s)
    return word


def _to_mutable_word(word: WordTiming, window_start_s: float) -> _MutableWord:
    return _MutableWord(
        text=word.text,
        start_s=round(window_start_s + word.start_s, 2),  # to the frame, as openai/whisper compares them
        end_s=round(window_start_s + word.end_s, 2),
        probability=word.probability,
    )


def _shorten_after_pause(words: list[_MutableWord], median_s: float, last_speech_s: float) -> None:
    """Shortens the first two words of a segment if they follow a pause and contain it."""
    first, longest_s = words[0], LONG_WORD_MEDIANS * median_s
    second = words[1] if len(words) > 1 else None
    if first.end_s - last_speech_s <= PAUSE_MEDIANS * median_s:
        return
    if first.length_s > longest_s or (second and second.end_s - first.start_s > 2 * longest_s):
        if second and second.length_s > longest_s:
            first.end_s = second.start_s = second.end_s - longest_s
        first.start_s = first.end_s - longest_s


def _prefer_segment_times(words: list[_MutableWord], segment: SegmentTokens, median_s: float) -> None:
    """Uses the segment's timestamps for a first or last word that far exceeds them."""
    first, last = words[0], words[-1]
    if segment.start_s < first.end_s and segment.start_s - SEGMENT_TIME_TOLERANCE_S > first.start_s:
        first.start_s = min(first.end_s - median_s, segment.start_s)
    if segment.end_s > last.start_s and segment.end_s + SEGMENT_TIME_TOLERANCE_S < last.end_s:
        last.end_s = max(last.start_s + median_s, segment.end_s)
