"""The gaps between the regions of a batched plan: nothing is decoded there, and the transcript says so."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence

from neuron_whisper.audio.clip import FRAMES_PER_SECOND
from neuron_whisper.audio.speech import MAX_GAP_S
from neuron_whisper.longform.plan import AwaitAction, Plan, SubmitAction
from neuron_whisper.longform.speech_map import PAUSE_MS, SpeechMap
from neuron_whisper.transcript import SkippedRegion


def find_gaps(
    ranges: Iterable[tuple[int, int]], regions: Sequence[tuple[int, int]], speech_map: SpeechMap
) -> list[SkippedRegion]:
    """Finds what is left out of the frame ranges, where it is worth telling, in order.

    That is a silence longer than MAX_GAP_S, as in the sequential plan, a gap with speech in it that was too short to
    count, and a range without any speech. `regions` are in order and inside the ranges.
    """
    gaps = []
    for first, last in ranges:
        inside = [(start, end) for start, end in regions if first <= start < last]
        starts, ends = [start for start, _ in inside], [end for _, end in inside]
        for start, end in zip([first, *ends], [*starts, last], strict=True):
            start_s, end_s = start / FRAMES_PER_SECOND, end / FRAMES_PER_SECOND
            has_speech = speech_map.measure_speech(start_s, end_s) >= PAUSE_MS / 1000
            if end - start > MAX_GAP_S * FRAMES_PER_SECOND or has_speech or (not inside and start < end):
                gaps.append(SkippedRegion(start_s=start_s, end_s=end_s, reason="vad"))
    return gaps


def report_gaps(plan: Plan, gaps: Iterable[SkippedRegion]) -> Plan:
    """Runs the plan and yields the gaps among its segments, in order of time."""
    waiting = deque(gaps)
    item = next(plan, None)
    while item is not None:
        if not isinstance(item, SubmitAction | AwaitAction):
            start_s = getattr(item, "start_s", float("inf"))  # the summary comes after all gaps
            while waiting and waiting[0].start_s < start_s:
                yield waiting.popleft()
        plan_input = yield item
        try:
            item = plan.send(plan_input)
        except StopIteration:
            return
