"""What a batched plan leaves out is told of: silence, speech that is too short to count, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuron_whisper.audio.clip import AudioClip
from neuron_whisper.audio.speech import SpeechSpan
from neuron_whisper.decode.options import TranscribeOptions
from neuron_whisper.longform import plan_transcription
from neuron_whisper.longform.silent_gaps import find_gaps
from neuron_whisper.longform.speech_map import SpeechMap
from neuron_whisper.transcript import is_silence
from tests.support.plans import RATE, TOKENIZER, run_to_end
from tests.support.signals import babble


def make_map(*fragments: tuple[float, float]) -> SpeechMap:
    """Speech that no span has."""
    return SpeechMap(
        spans=[],
        padding_s=0.0,
        pauseless_spans=[SpeechSpan(start_sample=int(a * RATE), end_sample=int(b * RATE)) for a, b in fragments],
    )


@pytest.mark.parametrize(
    ("ranges", "regions", "fragments", "gaps"),
    [
        ([(0, 20)], [], [], [(0.0, 0.2)]),  # a short clip without speech
        ([(0, 1000)], [(0, 1000)], [], []),
        ([(0, 1000)], [(0, 400), (650, 1000)], [], []),  # a pause
        ([(0, 1000)], [(0, 400), (720, 1000)], [], [(4.0, 7.2)]),
        ([(0, 1000)], [(310, 1000)], [], [(0.0, 3.1)]),
        ([(0, 1000)], [(0, 600)], [], [(6.0, 10.0)]),
        ([(0, 1000)], [(0, 400), (650, 1000)], [(5.0, 5.15)], [(4.0, 6.5)]),  # a word that is too short to count
        ([(0, 1000)], [(0, 980)], [(9.84, 9.96)], [(9.8, 10.0)]),
        ([(0, 100), (500, 600)], [(500, 600)], [(3.0, 4.0)], [(0.0, 1.0)]),  # between the ranges nothing is told
    ],
)
def test_a_gap_is_told_of_when_it_is_long_or_has_speech(
    ranges: list[tuple[int, int]],
    regions: list[tuple[int, int]],
    fragments: list[tuple[float, float]],
    gaps: list[tuple[float, float]],
) -> None:
    found = find_gaps(ranges, regions, make_map(*fragments))
    assert [(it.start_s, it.end_s, it.reason) for it in found] == [(start, end, "vad") for start, end in gaps]


@given(cuts=st.lists(st.integers(0, 6000), min_size=2, max_size=12, unique=True).map(sorted), odd=st.booleans())
def test_regions_and_gaps_leave_at_most_a_pause_uncovered(cuts: list[int], odd: bool) -> None:
    regions = list(zip(cuts[odd::2], cuts[odd + 1 :: 2], strict=False))
    gaps = find_gaps([(0, 6000)], regions, make_map())
    covered = [*regions, *((round(gap.start_s * 100), round(gap.end_s * 100)) for gap in gaps)]
    ends = [0]
    for start, end in sorted(covered):
        assert 0 <= start - ends[-1] <= 300
        ends.append(end)
    assert 6000 - ends[-1] <= 300


@pytest.mark.parametrize("silences_s", [(8, 6), (4, 20), (0, 5)])
def test_both_plans_tell_of_the_same_silence_in_order_of_time(silences_s: tuple[int, int]) -> None:
    first, second = (np.zeros(seconds * RATE, np.float32) for seconds in silences_s)
    clip = AudioClip(samples=np.concatenate([babble(8), first, babble(6), second]))
    told = {}
    for long_form in ("sequential", "batched"):
        options = TranscribeOptions(long_form=long_form, condition_on_previous_text=False)
        segments, skipped, _ = run_to_end(plan_transcription(clip, options, TOKENIZER, n_mels=80, concurrency=2))
        assert segments
        assert [it.start_s for it in skipped] == sorted(it.start_s for it in skipped)
        told[long_form] = [it.start_s for it in skipped if it.end_s - it.start_s > 3.0]
    assert told["batched"] == pytest.approx(told["sequential"], abs=0.5)
    assert len(told["batched"]) == sum(seconds > 3 for seconds in silences_s)


@pytest.mark.parametrize("seconds", [0.1, 0.2, 45.0])
def test_a_clip_without_speech_is_one_region_by_either_plan(seconds: float) -> None:
    clip = AudioClip(samples=np.zeros(int(seconds * RATE), np.float32))
    for long_form in ("sequential", "batched"):
        options = TranscribeOptions(long_form=long_form)
        segments, skipped, _ = run_to_end(plan_transcription(clip, options, TOKENIZER, n_mels=80, concurrency=2))
        assert is_silence(segments, skipped)
        assert [skipped[0].start_s, skipped[-1].end_s] == pytest.approx([0.0, seconds])
