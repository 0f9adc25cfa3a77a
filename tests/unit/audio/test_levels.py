"""Values that are no audio, and floats that hold integers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from neuron_whisper.audio.levels import (
    MAX_GAIN,
    QUIET_PEAK,
    IntegerSizeDetector,
    QuietGain,
    find_peak,
    lift_runs,
    silence_invalid_samples,
)


def noise(n: int = 16_000, level: float = 0.2) -> NDArray[np.float32]:
    return (level * np.random.default_rng(0).standard_normal(n)).astype(np.float32)


def detect_bits(*pieces: NDArray[np.float32]) -> tuple[int | None, float]:
    detector = IntegerSizeDetector()
    for piece in pieces:
        detector.record(piece)
    assert bool(detector.messages()) == (detector.bits is not None)
    return detector.bits, detector.scale


@pytest.mark.parametrize(
    ("scale", "found"),
    [
        (1.0, (None, 1.0)),
        (4.0, (None, 1.0)),  # a mixture that is 12 dB too loud
        (2.0**15, (16, 2.0**-15)),
        (2.0**23, (24, 2.0**-23)),
        (2.0**31, (32, 2.0**-31)),
    ],
)
def test_the_size_of_integers_is_found(scale: float, found: tuple[int | None, float]) -> None:
    assert detect_bits(noise() * np.float32(scale)) == found


@pytest.mark.parametrize("quiet", [0.001, 0.01])
def test_a_quiet_recording_of_16_bits_is_one(quiet: float) -> None:
    assert detect_bits(noise(level=quiet) * np.float32(2**15))[0] == 16


def test_a_size_is_found_behind_an_hour_of_silence_and_in_ten_samples() -> None:
    loud = noise(4000) * np.float32(2**15)
    assert detect_bits(np.zeros(60 * 16_000, np.float32), loud)[0] == 16
    assert detect_bits(loud[:10])[0] == 16


@pytest.mark.parametrize("spike", [1e3, 1e6, 1e10])
def test_a_few_damaged_samples_are_no_scale(spike: float) -> None:
    samples = noise()
    samples[100:120] = spike
    assert detect_bits(samples) == (None, 1.0)
    samples *= np.float32(2**15)
    assert detect_bits(samples)[0] == 16


def test_what_overshoots_16_bits_has_16_bits() -> None:
    assert detect_bits(noise(level=0.9) * np.float32(2**14.5))[0] == 16


@settings(deadline=None)
@given(st.lists(st.floats(width=32), max_size=20), st.floats(0, 1))
def test_no_value_that_is_left_is_absurd(values: list[float], share: float) -> None:
    samples = np.array([values, values], np.float32)
    kept, n_replaced = silence_invalid_samples(samples)
    assert find_peak(kept) <= 1e12
    assert n_replaced == np.count_nonzero(~(np.abs(samples) <= 1e12))
    assert np.array_equal(kept[np.abs(samples) <= 1e12], samples[np.abs(samples) <= 1e12])


# --- quiet stretches --------------------------------------------------------------------------------


def find_gains(*peaks: float) -> list[float]:
    return [float(gain) for gain in QuietGain().push(np.array(peaks, np.float32))]


def test_the_gain_lifts_the_peak_of_the_second_so_far() -> None:
    assert find_gains(0.005, 0.001, 0.025, 0.001) == pytest.approx([10, 10, 2, 2])


def test_what_is_loud_enough_and_digital_silence_keep_their_level() -> None:
    assert find_gains(QUIET_PEAK, 1.0, 0.0, 0.001) == [1.0, 1.0, 1.0, 1.0]
    assert find_gains(0.0, 0.0) == [1.0, 1.0]


def test_a_pause_before_a_clips_first_word_is_no_quiet_stretch() -> None:
    gains = QuietGain(first_peak=0.5).push(np.full(40, 0.01, np.float32)).tolist()
    assert gains[:31] == [1.0] * 31
    assert gains[31:] == pytest.approx([5.0] * 9)


def test_the_gain_has_a_limit() -> None:
    assert find_gains(1e-20) == pytest.approx([1000.0])


def test_a_loud_chunk_is_forgotten_after_a_second() -> None:
    gains = find_gains(0.5, *([0.01] * 40))
    assert gains[:32] == [1.0] * 32
    assert gains[32:] == pytest.approx([5.0] * 9)


@given(st.lists(st.floats(0, 2, width=32), max_size=80), st.integers(1, 40))
def test_the_gains_of_pieces_are_those_of_the_whole(peaks: list[float], length: int) -> None:
    values = np.array(peaks, np.float32)
    pieces = QuietGain()
    found = [pieces.push(values[at : at + length]) for at in range(0, len(values), length)]
    assert np.array_equal(np.concatenate([np.zeros(0, np.float32), *found]), QuietGain().push(values))


# --- runs of speech at one level ------------------------------------------------------------------


def test_each_run_of_speech_is_scaled_to_one_peak_and_what_is_no_speech_keeps_its_level() -> None:
    samples = np.full(64_000, 0.001, np.float32)
    samples[20_000:30_000], samples[40_000:50_000] = 0.01, 0.25
    lifted = lift_runs(samples, [(20_000, 30_000), (40_000, 50_000)])
    gains = (lifted / samples)[[0, 16_800, 18_400, 20_000, 29_999, 31_600, 33_200, 36_800, 40_000, 49_999, 63_999]]
    assert gains.tolist() == pytest.approx([1, 1, 50, 50, 50, 50, 1, 1, 2, 2, 1], rel=0.01)


def test_between_runs_that_are_near_each_other_the_gain_goes_over_without_a_step() -> None:
    samples = np.full(30_000, 0.001, np.float32)
    samples[:10_000], samples[12_000:20_000] = 0.5, 0.005
    gains = lift_runs(samples, [(0, 10_000), (12_000, 20_000)]) / samples
    assert gains[[0, 9_999, 11_999, 19_999]].tolist() == pytest.approx([1, 1, 100, 100], rel=0.05)
    assert (np.diff(gains[9_000:13_000]) >= -1e-3).all()


@pytest.mark.parametrize(("level", "gain"), [(0.5, 1), (1.5, 1), (0.0001, 1000), (0.0, 1)])
def test_a_loud_run_keeps_its_level_and_the_gain_has_a_limit(level: float, gain: float) -> None:
    samples = np.full(8_000, level, np.float32)
    assert lift_runs(samples, [(0, 8_000)]) == pytest.approx(samples * gain, rel=1e-3)
    assert np.array_equal(lift_runs(samples, []), samples)


@given(
    st.lists(st.tuples(st.integers(0, 9_000), st.integers(1, 9_000)), max_size=6),
    st.integers(0, 20_000),
)
def test_no_run_is_louder_than_the_peak_that_all_are_scaled_to(gaps: list[tuple[int, int]], rest: int) -> None:
    runs, at = [], 0
    for gap, length in gaps:
        runs.append((at + gap, at + gap + length))
        at += gap + length
    samples = noise(at + rest, level=0.01)
    lifted = lift_runs(samples, runs)
    assert lifted.dtype == np.float32
    for first, end in runs:  # the gain has a limit, which a run of a few samples may need more than
        peak = min(0.5, MAX_GAIN * find_peak(samples[first:end]))
        assert find_peak(lifted[first:end]) == pytest.approx(peak, rel=1e-3)
