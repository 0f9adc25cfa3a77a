"""A voice made by arithmetic: as long as asked for, in syllables, around its pitch."""

from __future__ import annotations

import numpy as np
import pytest

from neuron_whisper.audio.synthetic_voice import sing


@pytest.mark.parametrize("seconds", [1.22, 3.0])
def test_a_voice_is_as_long_as_asked_for_and_never_clips(seconds: float) -> None:
    samples = sing(seconds, 120.0, 3.0)
    assert samples.shape == (round(seconds * 16_000),)
    assert samples.dtype == np.float32
    assert 0.05 < np.abs(samples).max() < 1


@pytest.mark.parametrize("pitch_hz", [110.0, 220.0])
def test_its_energy_lies_at_multiples_of_a_pitch_that_glides_by_a_fifth(pitch_hz: float) -> None:
    power = np.abs(np.fft.rfft(sing(2.5, pitch_hz, 3.0))) ** 2
    hz = np.fft.rfftfreq(40_000, 1 / 16_000)
    assert power[hz < 0.7 * pitch_hz].sum() < 0.01 * power.sum()
    assert power[hz < 5_000].sum() > 0.99 * power.sum()


def test_it_pauses_between_syllables() -> None:
    loudness = np.abs(sing(2.0, 120.0, 4.0)).reshape(-1, 160).max(1)
    assert (loudness < 0.01).mean() > 0.3
