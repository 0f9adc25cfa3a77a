"""Turns an array of samples into an AudioClip."""

from __future__ import annotations

from typing import Any

import numpy as np

from neuron_whisper.audio.clip import SAMPLE_RATE, AudioClip
from neuron_whisper.audio.levels import MAX_SAMPLE_VALUE, IntegerSizeDetector, find_peak
from neuron_whisper.audio.limits import MAX_RATE, MIN_RATE
from neuron_whisper.audio.resample import resample
from neuron_whisper.errors import InvalidOption

FIELD = "audio"
INT16_SCALE = 32768.0


def clip_from_array(array: Any, sample_rate: int | None = None) -> AudioClip:
    """Checks mono samples and converts them to float32 at 16 kHz.

    `array` is a numpy array, or anything that numpy makes one of without a change of type: (n,) float32 or float64 of
    about [-1, 1], or int16, which is scaled. Floats that hold integers are scaled too, with a warning. `sample_rate`
    None: 16 kHz. Raises InvalidOption about `audio` or `sample_rate`.
    """
    samples = np.asarray(array)
    if samples.dtype.kind == "c":
        raise InvalidOption(FIELD, f"{samples.dtype} array", "real samples: float32, float64 or int16")
    if samples.dtype not in (np.float32, np.float64, np.int16):
        raise InvalidOption(FIELD, f"{samples.dtype} array", "samples of float32, float64 or int16")
    if samples.ndim != 1:
        raise InvalidOption(
            FIELD, f"array of shape {samples.shape}", "mono: one dimension; average the channels of stereo"
        )
    if not samples.size:
        raise InvalidOption(FIELD, "empty array", "at least one sample")
    size = IntegerSizeDetector()
    if samples.dtype == np.int16:
        mono = samples.astype(np.float32) / np.float32(INT16_SCALE)
    else:
        if not find_peak(samples) <= MAX_SAMPLE_VALUE:  # NaN is not, either
            raise InvalidOption(FIELD, "array with NaN or infinity", "finite samples of about -1 to 1")
        mono = samples.astype(np.float32)  # a copy: the caller may change the array while it is decoded
        size.record(mono)
        mono *= np.float32(size.scale)
    rate = _check_rate(sample_rate)
    resampled = mono if rate == SAMPLE_RATE else resample(mono, rate)
    return AudioClip(samples=resampled, source="array", warnings=tuple(size.messages()))


def _check_rate(sample_rate: int | None) -> int:
    if sample_rate is None:
        return SAMPLE_RATE
    is_whole = isinstance(sample_rate, (int, np.integer)) and not isinstance(sample_rate, bool)
    if not is_whole or not MIN_RATE <= sample_rate <= MAX_RATE:
        raise InvalidOption("sample_rate", sample_rate, f"a whole number from {MIN_RATE} to {MAX_RATE}")
    return int(sample_rate)
