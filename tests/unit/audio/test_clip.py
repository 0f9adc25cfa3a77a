"""AudioClip: its duration is that of its samples."""

from __future__ import annotations

import numpy as np
import pytest

from neuron_whisper.audio.clip import (
    HOP_SAMPLES,
    SAMPLE_RATE,
    WINDOW_FRAMES,
    WINDOW_S,
    WINDOW_SAMPLES,
    AudioClip,
    ms_to_samples,
)


@pytest.mark.parametrize(("samples", "seconds"), [(0, 0.0), (8000, 0.5), (480_000, 30.0)])
def test_the_duration_of_a_clip_is_that_of_its_samples(samples: int, seconds: float) -> None:
    assert AudioClip(samples=np.zeros(samples, np.float32)).duration_s == seconds


def test_a_window_is_the_same_in_seconds_samples_and_frames() -> None:
    assert WINDOW_S * SAMPLE_RATE == WINDOW_SAMPLES == WINDOW_FRAMES * HOP_SAMPLES


def test_milliseconds_are_samples_at_16_khz() -> None:
    assert ms_to_samples(32) == 512
