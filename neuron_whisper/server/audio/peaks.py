"""compute_peaks: the waveform of a clip as a player draws it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from neuron_whisper.audio.clip import SAMPLE_RATE
from neuron_whisper.audio.sample_buffer import release_pages

PEAKS_PER_SECOND = 20
PEAK_SAMPLES = SAMPLE_RATE // PEAKS_PER_SECOND
FULL_SCALE = 255
BLOCK_PEAKS = 1200  # a minute, 4 MB of samples


def compute_peaks(samples: NDArray[np.float32]) -> NDArray[np.uint8]:
    """The largest |sample| of each twentieth of a second, (ceil(n / 800),); 255 is full scale and beyond.

    Reads the samples once, block by block: memory is the result and a minute of them, also where they are mapped.
    """
    plain = np.asarray(samples)
    peaks = np.empty(-(-len(plain) // PEAK_SAMPLES), np.uint8)
    for start in range(0, len(peaks), BLOCK_PEAKS):
        end = start + BLOCK_PEAKS
        block = plain[start * PEAK_SAMPLES : end * PEAK_SAMPLES]
        if missing := -len(block) % PEAK_SAMPLES:
            block = np.pad(block, (0, missing))
        rows = block.reshape(-1, PEAK_SAMPLES)
        largest = np.nan_to_num(np.maximum(rows.max(axis=1), -rows.min(axis=1)), nan=0.0, posinf=1.0)
        peaks[start:end] = np.rint(np.minimum(largest, 1.0) * FULL_SCALE)
        release_pages(samples, end * PEAK_SAMPLES)
    return peaks
