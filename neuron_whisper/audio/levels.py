"""The size of samples: values that are no audio, floats that hold integers, and quiet stretches."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

MAX_SAMPLE_VALUE = 1e12  # far beyond any recording, far below where the power of a spectrum overflows float32
MAX_FLOAT_LEVEL = 16.0  # 24 dB beyond full scale; larger floats are integers that were not scaled
INTEGER_BITS = (16, 24, 32)
SPIKE_SAMPLES, SPIKE_SHARE = 800, 0.01  # so many large samples, or a smaller part of the signal, say nothing about it

# The voice detector hears speech whose peaks are at QUIET_PEAK, -26 dB; from 10 dB below it misses words.
QUIET_PEAK = 0.05
PEAK_CHUNKS = 32  # 1 s: a pause between words is no quiet stretch
MAX_GAIN = 1000.0  # 60 dB; the noise of 16-bit samples then stays below QUIET_PEAK

LIFTED_PEAK = 0.5  # what a run of speech is scaled to
LIFT_MARGIN_SAMPLES = 1600  # 0.1 s around a run, which has its gain; in as many the gain goes back to 1


def find_peak(samples: NDArray[np.float32]) -> float:
    """The largest magnitude, 0 without samples; NaN if one is NaN."""
    return float(max(samples.max(), -samples.min())) if samples.size else 0.0


def silence_invalid_samples(samples: NDArray[np.float32]) -> tuple[NDArray[np.float32], int]:
    """Replace NaN, infinities and values that would overflow later by 0 -> the samples, and how many were replaced."""
    if find_peak(samples) <= MAX_SAMPLE_VALUE:
        return samples, 0
    valid = np.abs(samples) <= MAX_SAMPLE_VALUE  # False for NaN
    return np.where(valid, samples, np.float32(0)), samples.size - int(np.count_nonzero(valid))


class IntegerSizeDetector:
    """Tells floats of about [-1, 1] from floats that hold 16-, 24- or 32-bit integers; record all samples of a signal.

    A few large samples among others are damage, not a scale: JFK in 16-bit integers -> 16; one sample of 1e6 -> None.
    """

    def __init__(self) -> None:
        self._n = 0
        self._peak = 0.0
        # twice the full scale: what was resampled or compressed overshoots
        self._limits = (MAX_FLOAT_LEVEL, *(2.0**bits for bits in INTEGER_BITS[:-1]))
        self._n_beyond = [0] * len(self._limits)

    def record(self, samples: NDArray[np.float32]) -> None:
        """Record samples without NaN, of any shape."""
        self._n += samples.size
        peak = find_peak(samples)
        self._peak = max(self._peak, peak)
        if peak > MAX_FLOAT_LEVEL:
            magnitudes = np.abs(samples)
            for i, limit in enumerate(self._limits):
                self._n_beyond[i] += int(np.count_nonzero(magnitudes > limit))

    @property
    def bits(self) -> int | None:
        """How many bits the integers have; None for floats of about [-1, 1]."""
        enough = max(1.0, min(SPIKE_SAMPLES, SPIKE_SHARE * self._n))
        if self._n_beyond[0] < enough:
            return None
        return INTEGER_BITS[sum(count >= enough for count in self._n_beyond[1:])]

    @property
    def scale(self) -> float:
        """What the samples are multiplied by, a power of two; 1 for floats of about [-1, 1]."""
        return 1.0 if self.bits is None else 2.0 ** (1 - self.bits)

    def messages(self) -> list[str]:
        """A warning where the samples have to be scaled."""
        if self.bits is None:
            return []
        divisor = 2 ** (self.bits - 1)
        return [f"the samples are floats of {self.bits}-bit size, up to {self._peak:,.0f}; divided by {divisor:,}"]


class QuietGain:
    """The gain of each chunk of 32 ms that lifts the peaks of the second up to it to QUIET_PEAK; for one thread.

    1 where they are not below it, and in digital silence. It looks only back, so that live speech has the same, but
    for a clip's first second, which is not quiet if `first_peak`, its peak, is not: the pause before a first word.
    """

    def __init__(self, first_peak: float = 0.0) -> None:
        self._recent = np.zeros(PEAK_CHUNKS - 1, np.float32)
        self._recent[-1] = first_peak if first_peak >= QUIET_PEAK else 0.0

    def push(self, peaks: NDArray[np.float32]) -> NDArray[np.float32]:
        """The gains (n,) of chunks with these peaks (n,), which follow those before."""
        known = np.concatenate([self._recent, peaks])
        self._recent = known[len(peaks) :]
        running = sliding_window_view(known, PEAK_CHUNKS).max(axis=1) if len(peaks) else peaks
        lifted = np.float32(QUIET_PEAK) / np.maximum(running, np.float32(QUIET_PEAK / MAX_GAIN))
        gains: NDArray[np.float32] = np.where(running > 0, np.maximum(lifted, np.float32(1)), np.float32(1))
        return gains


def lift_runs(samples: NDArray[np.float32], runs: Sequence[tuple[int, int]]) -> NDArray[np.float32]:
    """Scales each run of speech, (first, end) in samples, to a peak of LIFTED_PEAK: a copy; what is louder stays.

    The runs are in order and disjoint. What lies between them keeps its level, but for LIFT_MARGIN_SAMPLES; between two
    runs with less than four of these between them the gain goes from one to the other.
    """
    if not runs:
        return samples.copy()
    positions, gains = [0], [0.0]
    for i, (first, end) in enumerate(runs):
        peak = max(find_peak(samples[first:end]), LIFTED_PEAK / MAX_GAIN)
        gain = max(0.0, float(np.log(LIFTED_PEAK / peak)))
        before = first - (runs[i - 1][1] if i else -4 * LIFT_MARGIN_SAMPLES)
        after = (runs[i + 1][0] if i + 1 < len(runs) else len(samples) + 4 * LIFT_MARGIN_SAMPLES) - end
        for gap, at, side in ((before, first, -1), (after, end, 1)):
            knots = [(at + side * min(LIFT_MARGIN_SAMPLES, gap // 4), gain)]
            if gap >= 4 * LIFT_MARGIN_SAMPLES:
                knots.append((at + side * 2 * LIFT_MARGIN_SAMPLES, 0.0))
            for position, value in knots[::side]:
                positions.append(max(position, positions[-1]))
                gains.append(value)
    interpolated = np.interp(np.arange(len(samples)), positions[1:], gains[1:])
    lifted: NDArray[np.float32] = samples * np.exp(interpolated).astype(np.float32)
    return lifted
