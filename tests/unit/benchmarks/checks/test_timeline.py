"""A timeline of known clips, and what is made of a system's times on it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.checks.timeline import SOUNDS, PlacedClip, Timeline, build_timeline, measure_timing, summarize

RATE = 16_000
TWO = Timeline(
    samples=np.zeros(1, np.float32),
    clips=(PlacedClip(start_s=5, end_s=10, text="a b"), PlacedClip(start_s=20, end_s=30, text="c")),
)


def clip(seconds: float, value: float) -> np.ndarray:
    return np.full(int(seconds * RATE), value, np.float32)


@given(st.floats(1, 40), st.integers(0, 5))
def test_clips_lie_where_the_timeline_says_whole_and_apart(seconds: float, seed: int) -> None:
    laid = build_timeline(
        [(clip(0.5, 2.0), "one"), (clip(1.0, 3.0), "two")], seconds=seconds, gap_s=(0.1, 2.0), seed=seed
    )
    assert len(laid.samples) >= seconds * RATE
    for placed in laid.clips:
        inside = laid.samples[round(placed.start_s * RATE) : round(placed.end_s * RATE)]
        assert set(inside.tolist()) == {2.0 if placed.text == "one" else 3.0}
    starts = [placed.start_s for placed in laid.clips]
    assert all(b.start_s >= a.end_s + 0.09 for a, b in zip(laid.clips, laid.clips[1:], strict=False))
    assert starts == sorted(starts)
    assert laid.reference.split() == [placed.text for placed in laid.clips]


def test_a_timeline_is_the_same_for_a_seed_and_takes_every_clip_before_one_comes_again() -> None:
    clips = [(clip(n + 1.0, 0.5), f"clip{n}") for n in range(3)]
    laid, again, other = (build_timeline(clips, seconds=40, gap_s=(0.3, 4.0), seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(laid.samples, again.samples)
    assert laid.clips == again.clips != other.clips
    assert set(laid.reference.split()[:3]) == {"clip0", "clip1", "clip2"}


@pytest.mark.parametrize("name", SOUNDS)
def test_sounds_are_as_long_as_asked_and_never_clip(name: str) -> None:
    made = SOUNDS[name](RATE, np.random.default_rng(0))
    assert made.shape == (RATE,)
    assert made.dtype == np.float32
    assert np.abs(made).max() <= 1


def test_times_are_held_against_the_nearest_clip() -> None:
    found = measure_timing(TWO, [(5.0, 9.0, "a"), (4.5, 10.25, "b"), (19.0, 31.0, "c")])
    assert found.outside_s == (0.0, 0.0, 0.5, 0.25, 1.0, 1.0)
    assert (found.gap_texts, found.n_across_clips) == ((), 0)
    assert summarize(found) == {
        "within_300ms": 0.5,
        "max_outside_s": 1.0,
        "across_clips": 0,
        "gap_words": 0,
    }


def test_text_in_a_gap_and_segments_across_clips_are_counted() -> None:
    found = measure_timing(TWO, [(12.0, 18.0, " thanks for watching"), (9.0, 21.0, "both"), (0.0, 1.0, "music")])
    assert found.gap_texts == ("thanks for watching", "both", "music")
    assert found.n_across_clips == 1
    assert summarize(found)["gap_words"] == 5


def test_no_segments_have_no_errors() -> None:
    assert summarize(measure_timing(TWO, [])) == {
        "within_300ms": 1.0,
        "max_outside_s": 0.0,
        "across_clips": 0,
        "gap_words": 0,
    }
