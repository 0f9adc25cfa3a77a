"""Values that are no audio, and floats that hold integers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from neuron_whisper.audio.levels import IntegerSizeDetector, find_peak, silence_invalid_samples


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
