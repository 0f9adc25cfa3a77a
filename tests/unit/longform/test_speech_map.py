"""The speech make_speech_map of a make_clip: overlap, amount of speech, trimmed silence."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuron_whisper.audio.speech import SpeechSpan
from neuron_whisper.longform.speech_map import SpeechMap
from tests.support.plans import (
    RATE,
    make_pauseless_map,
    make_speech_map,
)


@given(
    st.lists(st.tuples(st.integers(1, 300), st.integers(1, 300)), max_size=8), st.integers(0, 4000), st.integers(1, 900)
)
def test_frames_overlap_speech_where_a_span_lies(pieces: list[tuple[int, int]], start: int, length: int) -> None:
    times, end = [], 0.0
    for gap, long in pieces:
        times.append((end + gap / 100, end + (gap + long) / 100))
        end += (gap + long) / 100
    speech_map = make_speech_map(*times)
    a, b = start / 100, (start + length) / 100
    expected = sum(max(0.0, min(b, y) - max(a, x)) for x, y in times)
    assert speech_map.sum_speech_s(start, start + length) == pytest.approx(expected, abs=0.001)
    if expected > 0.001:
        assert speech_map.overlaps(start, start + length)
    if not any(x < b + 0.001 and y > a - 0.001 for x, y in times):
        assert not speech_map.overlaps(start, start + length)


@pytest.mark.parametrize(
    ("region", "trimmed"),
    [
        ((3.0, 9.0), (3.4, 8.1)),
        ((3.6, 7.0), (3.6, 7.0)),
        ((3.0, 15.0), (3.4, 12.1)),
        ((8.5, 9.5), (8.5, 9.5)),
        ((8.0, 9.9), (8.0, 9.9)),
        ((20.0, 30.0), (20.0, 30.0)),
    ],
)
def test_silence_at_both_ends_of_a_segment_is_trimmed(
    region: tuple[float, float], trimmed: tuple[float, float]
) -> None:
    unpadded = [SpeechSpan(start_sample=int(a * RATE), end_sample=int(b * RATE)) for a, b in ((3.5, 8.0), (10.0, 12.0))]
    speech_map = SpeechMap(unpadded, 0.4, unpadded)
    assert speech_map.trim_silence(*region) == pytest.approx(trimmed)
    assert SpeechMap(unpadded, 0.4).trim_silence(*region) == region, (
        "nothing is known of the speech without its padding"
    )


def test_a_speech_run_ends_at_a_silence_longer_than_three_seconds() -> None:
    speech_map = make_speech_map((0, 4), (6, 9), (20, 25))
    assert speech_map.find_speech_run(100) == (0, 900)
    assert speech_map.find_speech_run(900) == (2000, 2500)
    assert speech_map.find_speech_run(2500) is None


def test_runs_of_speech_are_listed_inside_of_two_seconds_without_pauses() -> None:
    speech_map = make_pauseless_map((0, 4), (6, 9), (20, 25))
    assert speech_map.list_runs(3.0, 8.0) == [(3.0, 4.0), (6.0, 8.0)]
    assert speech_map.list_runs(4.0, 6.0) == speech_map.list_runs(8.0, 7.0) == []
    assert speech_map.measure_speech(3.0, 21.0) == 5.0
    assert speech_map.measure_speech(8.0, 7.0) == 0.0
