"""Signals that arithmetic makes: noise, and vowels that a voice detector takes for speech."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

RATE = 16_000


def time_s(seconds: float) -> NDArray[np.float64]:
    return np.arange(int(seconds * RATE)) / RATE


def noise(seconds: float, level: float = 0.1) -> NDArray[np.float32]:
    return np.random.default_rng(0).normal(0, level, int(seconds * RATE)).astype(np.float32)


def vowels(seconds: float) -> NDArray[np.float32]:
    """A buzz of about 120 Hz with the formants of a vowel, twice a second: as near to speech as arithmetic gets."""
    t = time_s(seconds)
    phase = 2 * np.pi * np.cumsum(120 + 20 * np.sin(2 * np.pi * 0.7 * t)) / RATE
    harmonics = np.arange(1, 30)
    formants = [(600, 150), (1200, 200), (2500, 300)]
    weights = np.sum([np.exp(-(((harmonics * 120 - centre) / width) ** 2)) for centre, width in formants], axis=0)
    buzz = weights @ np.sin(harmonics[:, None] * phase)
    return np.asarray(0.1 * buzz * np.maximum(0, np.sin(4 * np.pi * t)), np.float32)
