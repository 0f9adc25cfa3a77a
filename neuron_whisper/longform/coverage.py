"""Finds detected speech that has neither a segment nor a reason, and segments with too little text for their speech."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TypeAlias

from neuron_whisper.audio.clip import FRAMES_PER_SECOND
from neuron_whisper.text.speaking_time import estimate_longest_s
from neuron_whisper.transcript import Segment, SkippedRegion

MIN_UNHEARD_S = 1.0  # of speech without text that is told of: times of segments are vaguer than that
MIN_SILENT_S = 0.25  # the same where there is no text at all to have wrong times: a word
MIN_SPARSE_S = 2.0  # of speech beyond what a segment's text takes when it is spoken slowly
SHORTEST_SKIPPED_S = 0.02  # of a region whose text has no length: a step of timestamps

MAX_LISTED_SPANS = 5  # in a warning

MeasureSpeech: TypeAlias = Callable[[float, float], float]
"""Gives the seconds of speech between two seconds."""


def find_unheard(
    items: Sequence[Segment | SkippedRegion],
    measure_speech: MeasureSpeech,
    *,
    start: int,
    end: int,
    is_last: bool,
) -> tuple[list[SkippedRegion], int]:
    """Finds stretches of the frames `start` to `end` with speech that no item covers.

    Returns them, and the whole frame from which on nothing is covered: the next call starts there. A stretch that
    reaches the end is told of by the next call, unless this is the last one.
    """
    end_s, least_s = end / FRAMES_PER_SECOND, MIN_UNHEARD_S if items else MIN_SILENT_S
    found, from_s = [], start / FRAMES_PER_SECOND
    covered = sorted((item.start_s, item.end_s) for item in items if not is_point(item))
    for first_s, last_s in [*covered, *([(end_s, end_s)] if is_last else [])]:
        if measure_speech(from_s, first_s) >= least_s:
            found.append(SkippedRegion(start_s=from_s, end_s=first_s, reason="no_text"))
            from_s = first_s
        from_s = max(from_s, last_s)
    return found, min(end, math.ceil(round(from_s * FRAMES_PER_SECOND, 6)))


def is_point(item: Segment | SkippedRegion) -> bool:
    """Whether it covers no speech: it has no length, or is a region that stands for a text without one."""
    shortest_s = SHORTEST_SKIPPED_S + 1e-6 if isinstance(item, SkippedRegion) else 0.0
    return item.end_s - item.start_s <= shortest_s


def measure_excess(segment: Segment, measure_speech: MeasureSpeech) -> float:
    """Measures the seconds of a segment's speech beyond what its text takes, however slowly it is spoken; 0: none.

    With words it is what lies between them and inside the longest of them, if that is more.
    """
    by_letters = _measure_beyond(segment.text, segment.start_s, segment.end_s, measure_speech)
    by_words, from_s = 0.0, segment.start_s
    for word in segment.words:
        beyond = [
            measure_speech(from_s, word.start_s),
            _measure_beyond(word.text, word.start_s, word.end_s, measure_speech),
        ]
        by_words += sum(seconds for seconds in beyond if seconds >= MIN_UNHEARD_S)
        from_s = word.end_s
    return max(by_letters, by_words)


def _measure_beyond(text: str, start_s: float, end_s: float, measure_speech: MeasureSpeech) -> float:
    longest_s = estimate_longest_s(text)
    return max(0.0, measure_speech(start_s, end_s) - longest_s) if end_s - start_s > longest_s else 0.0


def is_sparse(segment: Segment, measure_speech: MeasureSpeech) -> bool:
    """Whether the text is too short for the segment's speech: some of it is the text of nothing."""
    return measure_excess(segment, measure_speech) >= MIN_SPARSE_S


def measure_lack(
    items: Sequence[Segment | SkippedRegion], measure_speech: MeasureSpeech, start_s: float, end_s: float
) -> float:
    """Measures the seconds of speech between these two that no item covers, or a segment with too little text."""
    lack_s, from_s = 0.0, start_s
    for item in sorted(items, key=lambda item: item.start_s):
        lack_s += measure_speech(from_s, max(from_s, item.start_s))
        from_s = max(from_s, item.end_s)
        if isinstance(item, Segment):
            lack_s += measure_excess(item, measure_speech)
    return lack_s + measure_speech(from_s, max(from_s, end_s))


def list_spans(spans: Sequence[tuple[float, float]]) -> str:
    """Lists seconds for a warning: "0.0-18.7 s, 30.2-35.0 s and 3 more"."""
    listed = [f"{start_s:.1f}-{end_s:.1f} s" for start_s, end_s in spans[:MAX_LISTED_SPANS]]
    return ", ".join(listed) + (f" and {len(spans) - len(listed)} more" if len(spans) > len(listed) else "")
