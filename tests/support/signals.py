"""Signals that arithmetic makes: noise, vowels, and syllables that a voice detector takes for speech."""

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


VOWEL_FORMANTS_HZ = ((730, 1090, 2440), (270, 2290, 3010), (300, 870, 2240), (530, 1840, 2480), (570, 840, 2410))


def babble(seconds: float, seed: int = 0) -> NDArray[np.float32]:
    """Syllables of a hiss and a vowel that glides into another, peaks of 0.5: speech to a voice detector, no words."""
    rng, n = np.random.default_rng(seed), int(0.18 * RATE)
    t = np.arange(n) / n
    envelope = np.minimum(1, np.minimum(t / 0.15, (1 - t) / 0.2))
    pieces: list[NDArray[np.float64]] = []
    while sum(map(len, pieces)) < seconds * RATE:
        first, second = (np.array(VOWEL_FORMANTS_HZ[i]) for i in rng.choice(len(VOWEL_FORMANTS_HZ), 2, replace=False))
        pitch = 120 * (1.15 - 0.3 * t) * rng.uniform(0.9, 1.15)
        harmonics = np.arange(1, 33)[:, None]
        weights = 0.02 / harmonics * np.ones(n)
        for a, b, height, width in zip(first, second, (1.0, 0.6, 0.3), (90, 110, 170), strict=True):
            weights += height * np.exp(-(((harmonics * pitch - a - (b - a) * t) / width) ** 2) / 2)
        vowel = (weights * np.sin(harmonics * 2 * np.pi * np.cumsum(pitch) / RATE)).sum(0) * envelope
        hiss = 0.3 * np.diff(rng.standard_normal(801)) * np.hanning(800)
        pieces += [hiss, vowel]
        if rng.random() < 0.2:
            pieces.append(np.zeros(int(0.12 * RATE)))
    joined = np.concatenate(pieces)[: int(seconds * RATE)]
    return np.asarray(0.5 * joined / np.abs(joined).max(), np.float32)
