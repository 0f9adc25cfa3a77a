"""The mean of channels, and what takes its place where they cancel each other."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from neuron_whisper.audio.downmix import Downmixer

RATE = 8_000
Samples = NDArray[np.float32]


def voice(seconds: float = 2.0, seed: int = 0) -> Samples:
    """Noise in syllables of 0.2 s with pauses, as loud as speech."""
    n = int(seconds * RATE)
    swell = np.maximum(0, np.sin(np.arange(n) * 2 * np.pi / (0.4 * RATE)))
    made: Samples = (0.2 * swell * np.random.default_rng(seed).standard_normal(n)).astype(np.float32)
    return made


def hum(seconds: float = 2.0) -> Samples:
    return (0.3 * np.sin(np.arange(int(seconds * RATE)) * 2 * np.pi * 150 / RATE)).astype(np.float32)


def mix(*channels: Samples, piece: int = 0) -> tuple[Samples, float]:
    """The mixture, in pieces of so many samples, and the seconds that were cancelled."""
    samples = np.stack(channels)
    downmixer = Downmixer(RATE, len(samples))
    step = piece or samples.shape[1]
    parts = [downmixer.push(samples[:, at : at + step]) for at in range(0, samples.shape[1], step)]
    return np.concatenate([*parts, downmixer.finish()]), downmixer.cancelled_s


def rms(samples: Samples) -> float:
    return float(np.sqrt(np.mean(np.square(samples, dtype=np.float64))))


# --- what does not cancel is the plain mean ---------------------------------------------------------


@pytest.mark.parametrize(
    "channels",
    [
        (voice(), voice()),
        (voice(), 0 * voice()),
        (voice(), voice(seed=1)),  # a speaker on each side
        (voice(), np.concatenate([0 * voice(1.0), voice(1.0, seed=1)])),
        (voice(), 0.9 * voice() + 0.05 * voice(seed=1)),  # real stereo
        (voice(), np.roll(voice(), 7)),  # a second microphone further away
        (voice(), -0.3 * voice() + 0.2 * voice(seed=1)),
        (voice(), voice(seed=1), voice(seed=2)),
        (voice(), 0 * voice(), 0 * voice(), voice(seed=3), 0 * voice(), 0 * voice()),
        tuple(voice(seed=n) for n in range(12)),
        (0 * voice(), 0 * voice()),
    ],
)
def test_channels_that_do_not_cancel_are_averaged_as_ever(channels: tuple[Samples, ...]) -> None:
    mixed, cancelled_s = mix(*channels)
    assert cancelled_s == 0
    assert np.array_equal(mixed, np.stack(channels).mean(axis=0))


# --- what cancels -----------------------------------------------------------------------------------


@pytest.mark.parametrize("factor", [-1.0, -0.8, -1.2])
def test_of_two_channels_of_opposite_phase_the_louder_is_taken(factor: float) -> None:
    left, right = voice(), np.float32(factor) * voice()
    mixed, cancelled_s = mix(left, right)
    louder = left if abs(factor) <= 1 else right
    assert np.allclose(mixed, louder, atol=1e-6)
    assert 0.9 < cancelled_s <= 2.0


def test_noise_that_is_not_opposite_does_not_hide_a_voice_that_is() -> None:
    noise = [0.02 * voice(seed=n) for n in (1, 2)]
    mixed, _ = mix(voice() + noise[0], noise[1] - voice())
    assert np.corrcoef(mixed, voice())[0, 1] > 0.95


@pytest.mark.parametrize(
    "others",
    [
        (voice(seed=1),),
        (0 * voice(),),
        (0 * voice(), voice(seed=1), 0 * voice(), 0.5 * voice(seed=2)),
    ],
)
def test_two_channels_of_several_cancel(others: tuple[Samples, ...]) -> None:
    mixed, cancelled_s = mix(voice(), -voice(), *others)
    assert cancelled_s > 0.9
    assert np.corrcoef(mixed, voice())[0, 1] > 0.5


@pytest.mark.parametrize("channels", [3, 5, 9, 16])
def test_channels_whose_sum_is_nothing_do_not_leave_nothing(channels: int) -> None:
    parts = np.full(channels, -1 / (channels - 1), np.float32)
    parts[1] = 1
    mixed, _ = mix(*(part * voice() for part in parts))
    assert np.allclose(mixed, voice(), atol=1e-6)


def test_a_stretch_that_cancels_is_replaced_and_the_rest_is_the_mean() -> None:
    left = hum(3.0)
    right = left.copy()
    right[RATE : 2 * RATE] *= -1
    mixed, cancelled_s = mix(left, right)
    assert cancelled_s == pytest.approx(1.0)
    assert rms(mixed[RATE + 100 : 2 * RATE]) == pytest.approx(rms(left), rel=0.02)
    assert np.array_equal(mixed[:RATE], left[:RATE])
    assert np.allclose(mixed[2 * RATE + 100 :], left[2 * RATE + 100 :])


def test_silence_and_pauses_between_words_of_opposite_phase_switch_nothing() -> None:
    noise = [0.0005 * voice(seed=n) for n in (1, 2)]
    gaps = np.repeat(np.array([1, 0, 1, 0, 0, 1, 0, 1, 1, 0], np.float32), RATE // 5)
    left, right = gaps * voice() + noise[0], -gaps * voice() + noise[1]
    mixed, _ = mix(left, right)
    assert np.array_equal(mixed, left) or np.allclose(mixed, right, atol=1e-7)


@pytest.mark.parametrize("levels", [(1.0, 0.9), (0.9, 1.0)])
def test_no_switch_is_heard_where_the_louder_channel_changes(levels: tuple[float, float]) -> None:
    """The step between samples is never larger than the hum's own."""
    t = np.arange(3 * RATE) // RATE % 2
    left, right = hum(3.0), -hum(3.0)
    left, right = left * np.where(t, *levels).astype(np.float32), right * np.where(t, *levels[::-1]).astype(np.float32)
    mixed, _ = mix(left, right)
    assert np.abs(np.diff(mixed)).max() <= 1.2 * np.abs(np.diff(hum())).max()
    assert rms(mixed) > 0.85 * rms(hum())


def test_a_channel_that_ends_leaves_the_other_without_a_click() -> None:
    left, right = hum(3.0), -hum(3.0)
    left[RATE:] *= 0.1  # by 20 dB
    mixed, _ = mix(left, right)
    steps = np.abs(np.diff(mixed))
    assert steps[RATE + 100 :].max() <= 1.01 * np.abs(np.diff(hum())).max()
    assert all(rms(mixed[a:b]) > 0.4 * rms(hum()) for a, b in pairwise(range(0, 3 * RATE + 1, RATE // 2)))


# --- laws -------------------------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 9), st.lists(st.integers(1, 4000), min_size=1, max_size=6), st.integers(0, 99))
def test_the_sizes_of_pieces_change_nothing(channels: int, lengths: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    signs = rng.choice([-1, 0, 1], channels)
    samples = np.stack([sign * voice(1.0) + 0.01 * voice(1.0, seed=n) for n, sign in enumerate(signs)])
    whole = Downmixer(RATE, channels)
    expected = np.concatenate([whole.push(samples), whole.finish()])
    pieces: list[Samples] = []
    at = 0
    downmixer = Downmixer(RATE, channels)
    while at < samples.shape[1]:
        length = lengths[len(pieces) % len(lengths)]
        pieces.append(downmixer.push(samples[:, at : at + length]))
        at += length
    assert np.array_equal(np.concatenate([*pieces, downmixer.finish()]), expected)
    assert downmixer.cancelled_s == pytest.approx(whole.cancelled_s)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(-1, 1), min_size=1, max_size=8))
def test_one_voice_at_any_levels_and_phases_is_heard(levels: list[float]) -> None:
    """At least as loud as a third of its mean without regard to phases."""
    mixed, _ = mix(*(np.float32(level) * voice(1.0) for level in levels))
    assert rms(mixed) >= 0.15 * rms(voice(1.0)) * np.mean(np.abs(levels)) - 1e-6
