"""A voice that sings no words, made by arithmetic: a model trained on voices is exercised less by noise."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from neuron_whisper.audio.clip import SAMPLE_RATE

N_HARMONICS = 25


def sing(seconds: float, pitch_hz: float, syllables_hz: float) -> NDArray[np.float32]:
    """Samples (seconds * 16000,): harmonics of a gliding pitch under two gliding formants, in syllables.

    The same everywhere, to rounding.
    """
    t = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    pitch = pitch_hz * (1 + 0.2 * np.sin(2 * np.pi * 0.4 * t))
    phase = 2 * np.pi * np.cumsum(pitch) / SAMPLE_RATE
    first, second = 500 + 250 * np.sin(2 * np.pi * 1.1 * t), 1600 + 600 * np.sin(2 * np.pi * 0.7 * t + 1)
    voice = np.zeros_like(t)
    for harmonic in range(1, N_HARMONICS + 1):
        hz = harmonic * pitch
        loudness = np.exp(-(((hz - first) / 150) ** 2)) + np.exp(-(((hz - second) / 250) ** 2))
        voice += loudness * np.sin(harmonic * phase)
    syllables = np.maximum(0, np.sin(2 * np.pi * syllables_hz * t)) * (np.sin(2 * np.pi * 0.5 * t) > -0.6)
    samples: NDArray[np.float32] = (0.1 * voice * syllables).astype(np.float32)
    return samples
