"""Timeline: frames lie where their timestamps say, within what timestamps can be believed."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neuron_whisper.audio.container.timeline import MAX_GAP_S, MIN_GAP_S, TimedFrame, Timeline
from neuron_whisper.audio.decode_warnings import DecodeDiagnostics

WRAP_S = 2**33 / 90_000


def place(
    starts_s: Sequence[float | None], duration_s: float = 1.0, lost_s: float = 0.0, **options: object
) -> tuple[list[float], tuple[str, ...]]:
    """(the silence before each frame, the warnings)"""
    diagnostics = DecodeDiagnostics()
    frames = [
        TimedFrame(content=n, start_s=start_s, duration_s=duration_s, lost_s=lost_s)
        for n, start_s in enumerate(starts_s)
    ]
    placed = list(Timeline(diagnostics, **options).place(frames))  # type: ignore[arg-type]  # by name
    assert [content for _, content in placed] == list(range(len(starts_s)))
    return [round(silence_s, 6) for silence_s, _ in placed], diagnostics.messages()


@pytest.mark.parametrize(
    ("starts_s", "zero_s", "silences_s"),
    [
        ([5.0, 6.0], 0.0, [5.0, 0.0]),  # after the video
        ([5.0, 6.0], None, [0.0, 0.0]),  # alone
        ([1.4, 2.4], 1.4, [0.0, 0.0]),
        ([0.0, 1.0], 5.0, [0.0, 0.0]),  # before the video
        ([-0.5, 0.5], -2.0, [1.5, 0.0]),
        ([0.05, 1.05], 0.0, [0.0, 0.0]),  # an encoder's delay
        ([0.0, 1.0, 4.0, 5.0], None, [0.0, 0.0, 2.0, 0.0]),
        ([0.0, 1.05, 3.05, 4.05], None, [0.0, 0.0, 1.05, 0.0]),
        ([0.0, None, 4.0, 5.0], None, [0.0, 0.0, 2.0, 0.0]),
        ([0.0, 9.0], None, [0.0, 8.0]),  # the last frame stands alone
        ([0.0, 50.0, 2.0, 3.0], None, [0.0, 0.0, 0.0, 0.0]),  # one wrong timestamp
        ([None, None], None, [0.0, 0.0]),
        ([], None, []),
    ],
)
def test_the_silence_before_each_frame_is_what_its_timestamp_says(
    starts_s: list[float | None], zero_s: float | None, silences_s: list[float]
) -> None:
    assert place(starts_s, zero_s=zero_s)[0] == silences_s


def test_a_start_offset_is_no_damage_and_a_gap_is_told() -> None:
    assert place([5.0, 6.0], zero_s=0.0)[1] == ()
    assert place([0.0, 3.0, 4.0])[1] == (
        "2.00 s are missing in the middle, in 1 gap: 1.00-3.00 s; silence was filled in there",
    )


def test_timestamps_that_wrap_go_on() -> None:
    around = [WRAP_S - 1.5, WRAP_S - 0.5, 0.5, 3.5, 4.5]
    silences, warnings = place(around, zero_s=WRAP_S - 3.5, wrap_s=WRAP_S)
    assert silences == [2.0, 0.0, 0.0, 2.0, 0.0]
    assert warnings == ("2.00 s are missing in the middle, in 1 gap: 5.00-7.00 s; silence was filled in there",)
    assert place(around[:3])[1][0].startswith("the timestamps jump back")


def test_a_jump_back_or_too_far_is_told_and_later_gaps_are_measured_from_there() -> None:
    silences, warnings = place([100.0, 101.0, 0.0, 1.0, 4.0, 5.0])
    assert silences == [0.0, 0.0, 0.0, 0.0, 2.0, 0.0]
    assert len(warnings) == 2
    silences, warnings = place([0.0, 1.0, 9000.0, 9001.0, 9004.0])
    assert silences == [0.0, 0.0, 0.0, 0.0, 2.0]
    assert "jump ahead" in warnings[1]
    assert place([9000.0, 9001.0], zero_s=0.0)[0] == [0.0, 0.0]


def test_a_few_frames_with_wrong_timestamps_move_nothing() -> None:
    assert place([10.0, 11.0, 0.0, 1.0, 14.0, 15.0])[0] == [0.0] * 6


def test_a_clock_that_drifts_is_followed_without_a_warning() -> None:
    ahead = [n * 1.005 for n in range(100)]
    silences, warnings = place(list(ahead))
    assert sum(silences) == pytest.approx(0.5, abs=0.15)
    assert warnings == ()
    assert place([n * 0.995 for n in range(100)])[1] == ()


def test_counted_timestamps_show_only_the_start_and_what_was_damaged() -> None:
    assert place([2.0, 9.0], zero_s=0.0, has_timestamps=False)[0] == [2.0, 0.0]
    assert place([0.0, 1.0], lost_s=0.3, has_timestamps=False)[0] == [0.0, 0.3]


TIMES = st.one_of(st.none(), st.floats(-1e5, 1e5), st.floats(-1e19, 1e19), st.integers(0, 50).map(float))


@settings(max_examples=300, deadline=None)
@given(
    frames=st.lists(st.tuples(TIMES, st.floats(0, 2), st.floats(0, 2)), max_size=30),
    zero_s=st.one_of(st.none(), st.floats(-1e5, 1e5)),
    wrap_s=st.sampled_from([None, WRAP_S, 2**32 / 1000]),
    has_timestamps=st.booleans(),
)
def test_any_timestamps_give_every_frame_once_with_bounded_silence(
    frames: list[tuple[float | None, float, float]], zero_s: float | None, wrap_s: float | None, has_timestamps: bool
) -> None:
    diagnostics = DecodeDiagnostics()
    timeline = Timeline(diagnostics, zero_s=zero_s, wrap_s=wrap_s, has_timestamps=has_timestamps)
    timed = [
        TimedFrame(content=n, start_s=start_s, duration_s=duration_s, lost_s=lost_s)
        for n, (start_s, duration_s, lost_s) in enumerate(frames)
    ]
    placed = list(timeline.place(timed))
    assert [content for _, content in placed] == list(range(len(frames)))
    assert all(silence_s == 0 or 0 < silence_s <= MAX_GAP_S for silence_s, _ in placed)
    diagnostics.messages()


@settings(max_examples=200, deadline=None)
@given(
    steps=st.lists(
        st.tuples(st.floats(0.02, 2), st.one_of(st.just(0.0), st.floats(0.2, 1000)), st.floats(-0.04, 0.04)),
        min_size=1,
        max_size=30,
    ),
    first_s=st.floats(-100, WRAP_S),
    offset_s=st.one_of(st.just(0.0), st.floats(0.2, 1000)),
    wraps=st.booleans(),
)
def test_frames_of_any_lengths_and_gaps_lie_where_the_recorder_heard_them(
    steps: list[tuple[float, float, float]], first_s: float, offset_s: float, wraps: bool
) -> None:
    """Each step: a frame's length, the gap behind it, and the jitter of its timestamp."""
    frames: list[TimedFrame[int]] = []
    heard_s, at_s = [], offset_s
    for duration_s, gap_s, jitter_s in steps:
        start_s = first_s + at_s + (jitter_s if frames else 0.0)
        frames.append(TimedFrame(content=0, start_s=start_s % WRAP_S if wraps else start_s, duration_s=duration_s))
        heard_s.append(at_s)
        at_s += duration_s + gap_s
    zero_s = first_s % WRAP_S if wraps else first_s
    timeline = Timeline(DecodeDiagnostics(), zero_s=zero_s, wrap_s=WRAP_S if wraps else None)
    position_s = 0.0
    for expected_s, frame, (silence_s, _) in zip(heard_s, frames, timeline.place(frames), strict=True):
        position_s += silence_s
        assert position_s == pytest.approx(expected_s, abs=MIN_GAP_S + 0.08)
        position_s += frame.duration_s
