"""Timed words -> the words of each segment: punctuation joined, pauses cut off, nothing out of order.

Follows openai/whisper timing.py add_word_timestamps and merge_punctuations.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain

import numpy as np

from neuron_whisper.decode.alignment import WordTiming
from neuron_whisper.decode.segments import SegmentTokens
from neuron_whisper.transcript import Word

# openai/whisper transcribe.py: what belongs to the word after it, and to the word before it
PREPEND_PUNCTUATIONS = "\"'“¿([{-"
APPEND_PUNCTUATIONS = "\"'.。,，!！?？:：”)]}、"
SENTENCE_END_MARKS = ".。!！?？"

MAX_MEDIAN_S = 0.7  # a window's median word is taken to be no longer, so that music does not stretch it
LONG_WORD_MEDIANS = 2.0  # in medians: a longer one holds a pause
PAUSE_MEDIANS = 4.0  # in medians: speech that ends so long after the last follows a pause
SEGMENT_TIME_TOLERANCE_S = 0.5  # a word that reaches further out of its segment's timestamps is cut at them
MEL_FRAMES_PER_SECOND = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentWithWords(SegmentTokens):
    """A span with its words, from the start of the first to the end of the last. Without words: as decoded."""

    words: tuple[Word, ...] = ()


@dataclass(slots=True, kw_only=True)
class _MutableWord:
    """A word while its times move; seconds from the clip's start."""

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
    """Marks joined to the word they belong to, whose time and probability stay: ' "', 'No', '.' -> ' "No.'."""
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
    """One window's spans with their words, in seconds from the clip's start; `timings` are align_words of them.

    `last_speech_s` is when speech before this window ended. Words and spans with words are in order, inside the
    window, and no word ends after the next one starts. Times are openai/whisper's, except where those leave the
    window or the segment, or overlap the next word.
    """
    window_start_s = seek_frames / MEL_FRAMES_PER_SECOND
    window_end_s = (seek_frames + window_frames) / MEL_FRAMES_PER_SECOND
    median_s = _compute_median_length(list(chain.from_iterable(timings)))
    cut = _cut_at_sentence_ends(timings, LONG_WORD_MEDIANS * median_s)
    drafts = [
        [_to_mutable_word(word, window_start_s) for word in merge_punctuations(words, prepended, appended)]
        for words in cut
    ]
    # when the next word starts, as it was before its own segment is corrected
    nexts = [window_end_s] * len(segments)
    for i in range(len(segments) - 2, -1, -1):
        nexts[i] = drafts[i + 1][0].start_s if drafts[i + 1] else nexts[i + 1]
    floor_s = window_start_s  # when the word before ended
    worded = []
    for span, words, next_s in zip(segments, drafts, nexts, strict=True):
        start_s, end_s = span.start_s, span.end_s
        if words:
            _cut_after_pause(words, median_s, last_speech_s)
            _prefer_segment_times(words, span, median_s)
            words[0].start_s = max(words[0].start_s, floor_s)
            words[-1].end_s = max(words[-1].start_s, min(words[-1].end_s, next_s))
            start_s, end_s = words[0].start_s, words[-1].end_s
            floor_s = last_speech_s = end_s
        made = tuple(
            Word(start_s=word.start_s, end_s=word.end_s, text=word.text, probability=word.probability) for word in words
        )
        worded.append(SegmentWithWords(start_s=start_s, end_s=end_s, tokens=span.tokens, words=made))
    return worded


def find_last_word_end(segments: Sequence[SegmentWithWords]) -> float | None:
    """When the last word ends; without words, when the last span does; None without spans."""
    ends = [word.end_s for span in segments for word in span.words] or [span.end_s for span in segments]
    return ends[-1] if ends else None


def _compute_median_length(words: Sequence[WordTiming]) -> float:
    lengths = [word.end_s - word.start_s for word in words if word.end_s != word.start_s]
    return min(MAX_MEDIAN_S, float(np.median(lengths))) if lengths else 0.0


def _cut_at_sentence_ends(timings: Sequence[Sequence[WordTiming]], max_length_s: float) -> list[list[WordTiming]]:
    """The pause between two sentences belongs to neither's mark nor the next one's first word."""
    texts = [word.text for word in chain.from_iterable(timings)]
    before = iter([None, *texts])
    return [[_cut_at_sentence_end(word, next(before), max_length_s) for word in words] for words in timings]


def _cut_at_sentence_end(word: WordTiming, previous_text: str | None, max_length_s: float) -> WordTiming:
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


def _cut_after_pause(words: list[_MutableWord], median_s: float, last_speech_s: float) -> None:
    """The first two words of a segment, where they come after a pause and hold it."""
    first, longest_s = words[0], LONG_WORD_MEDIANS * median_s
    second = words[1] if len(words) > 1 else None
    if first.end_s - last_speech_s <= PAUSE_MEDIANS * median_s:
        return
    if first.length_s > longest_s or (second and second.end_s - first.start_s > 2 * longest_s):
        if second and second.length_s > longest_s:
            first.end_s = second.start_s = second.end_s - longest_s
        first.start_s = first.end_s - longest_s


def _prefer_segment_times(words: list[_MutableWord], segment: SegmentTokens, median_s: float) -> None:
    """The segment's timestamps for a first or last word which reaches far out of them."""
    first, last = words[0], words[-1]
    if segment.start_s < first.end_s and segment.start_s - SEGMENT_TIME_TOLERANCE_S > first.start_s:
        first.start_s = min(first.end_s - median_s, segment.start_s)
    if segment.end_s > last.start_s and segment.end_s + SEGMENT_TIME_TOLERANCE_S < last.end_s:
        last.end_s = max(last.start_s + median_s, segment.end_s)
