"""Resampler: to 16 kHz by a polyphase filter, block by block, with the same result as one pass."""

from __future__ import annotations

from functools import lru_cache
from math import ceil, gcd

import numpy as np
from numpy.typing import NDArray

from neuron_whisper.audio.clip import SAMPLE_RATE

# The filter of FFmpeg's swresample with its default settings, so that samples agree with `ffmpeg -ar 16000`.
FILTER_TAPS = 32  # at the lower of the two rates
CUTOFF = 0.97
KAISER_BETA = 9.0

BLOCK_SAMPLES = 1 << 16  # per filter call; a call copies the whole filter, up to 6 M taps for odd rates


@lru_cache(maxsize=8)
def design_filter(rate: int) -> tuple[int, int, NDArray[np.float32]]:
    """(up, down, taps) from `rate` Hz to 16 kHz: symmetric, 2 * half + 1 taps at `rate` * up.

    Each of the `up` phases sums to 1, so a constant stays what it is. 48000 -> (1, 3, 101 taps)
    """
    divisor = gcd(SAMPLE_RATE, rate)
    up, down = SAMPLE_RATE // divisor, rate // divisor
    factor = min(1.0, CUTOFF * up / down)
    reach = ceil(FILTER_TAPS / factor / 2)  # input samples to either side
    half = reach * up
    time = np.arange(-half, half + 1) / up
    window = np.i0(KAISER_BETA * np.sqrt(np.maximum(1.0 - (time / reach) ** 2, 0.0)))
    taps = np.sinc(factor * time) * window
    phases = np.pad(taps, (0, -len(taps) % up)).reshape(-1, up)
    phases /= phases.sum(axis=0)
    return up, down, phases.reshape(-1)[: len(taps)].astype(np.float32)


class Resampler:
    """Resamples one signal from `rate` Hz; `push` its pieces in order, then `finish`. For one thread.

    n samples in give ceil(n * 16000 / rate) out, the first at the same instant as the first in. Memory is a block
    and the length of the filter, for a signal of any length. `block_samples`: output is computed when that many
    inputs are buffered, the cheapest way; 1: as early as possible.
    """

    def __init__(self, rate: int, *, block_samples: int = BLOCK_SAMPLES) -> None:
        self.rate = rate
        up, down, taps = design_filter(rate)
        self._up, self._down, self._half = up, down, len(taps) // 2
        # zeros in front make the filter's delay a whole number of outputs
        self._taps = np.pad(taps, (-self._half % down, 0))
        self._delay = -(-self._half // down)
        self._block = max(block_samples, 4 * down) if block_samples > 1 else 1
        self._buffer: list[NDArray[np.float32]] = []
        self._buffered_samples = 0
        self._buffer_start = 0  # input index of the first buffered sample, a multiple of down
        self._n_outputs = 0  # outputs returned so far

    def push(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """The outputs that are complete now, often none; (n,) float32 in, (m,) float32 out."""
        if self._up == self._down:
            return samples
        self._buffer.append(samples)
        self._buffered_samples += len(samples)
        if self._buffered_samples < self._block:
            return np.empty(0, np.float32)
        last = self._buffer_start + self._buffered_samples - 1
        return self._filter_until((last * self._up - self._half) // self._down + 1)

    def finish(self) -> NDArray[np.float32]:
        """The rest, with silence behind the end; nothing may be pushed after it."""
        if self._up == self._down or self._buffer_start + self._buffered_samples == 0:
            return np.empty(0, np.float32)
        total = self._buffer_start + self._buffered_samples
        return self._filter_until(-(-total * self._up // self._down))

    def _filter_until(self, end: int) -> NDArray[np.float32]:
        from scipy.signal import upfirdn  # most of a second of imports, which audio at 16 kHz does not need

        end = max(end, self._n_outputs)
        buffered = np.concatenate(self._buffer)
        filtered = upfirdn(self._taps, buffered, self._up, self._down)
        shift = self._delay - self._buffer_start // self._down * self._up
        outputs: NDArray[np.float32] = filtered[self._n_outputs + shift : end + shift].copy()
        self._n_outputs = end
        needed_from = max(0, -(-(end * self._down - self._half) // self._up))
        origin = max(self._buffer_start, needed_from // self._down * self._down)
        buffered = buffered[origin - self._buffer_start :].copy()
        self._buffer, self._buffered_samples, self._buffer_start = [buffered], len(buffered), origin
        return outputs


def resample(samples: NDArray[np.float32], rate: int) -> NDArray[np.float32]:
    """All of a signal at once: (n,) at `rate` Hz -> (ceil(n * 16000 / rate),) at 16 kHz."""
    resampler = Resampler(rate)
    return np.concatenate([resampler.push(samples), resampler.finish()])
