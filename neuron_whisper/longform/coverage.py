"""Finds detected speech that has neither a segment nor a reason, window by window."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from neuron_whisper.audio.clip import FRAMES_PER_SECOND
from neuron_whisper.transcript import Segment, SkippedRegion

MIN_UNHEARD_S = 1.0  # of speech without text that is told of: times of segments are vaguer than that
MIN_SILENT_S = 0.25  # the same where there is no text at all to have wrong times: a word


def find_unheard(
    items: Sequence[Segment | SkippedRegion],
    measure_speech: Callable[[float, float], float],
    *,
    start: int,
    end: int,
    is_last: bool,
) -> tuple[list[SkippedRegion], int]:
    """Finds stretches of the frames `start` to `end` with speech that no item covers.

    Returns them, and the frame from which on nothing is covered: the next call starts there. `measure_speech` gives the
    seconds of speech between two seconds. A stretch that reaches the end is told of by the next call, unless this is
    the last one.
    """
    end_s, least_s = end / FRAMES_PER_SECOND, MIN_UNHEARD_S if items else MIN_SILENT_S
    found, from_s = [], start / FRAMES_PER_SECOND
    covered = sorted((item.start_s, item.end_s) for item in items if item.end_s > item.start_s)
    for first_s, last_s in [*covered, *([(end_s, end_s)] if is_last else [])]:
        if measure_speech(from_s, first_s) >= least_s:
            found.append(SkippedRegion(start_s=from_s, end_s=first_s, reason="no_text"))
            from_s = first_s
        from_s = max(from_s, last_s)
    return found, min(end, round(from_s * FRAMES_PER_SECOND))
