"""A buffer of the latest samples of an endless signal, addressed by sample number from its start."""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

from neuron_whisper.audio.silero.network import CHUNK_SAMPLES
from neuron_whisper.audio.speech import SpeechSpan, spans_from_probabilities
from neuron_whisper.audio.vad_options import VadOptions


class AudioBuffer:
    """Samples `start` to `end`, and the speech probability of each chunk of 512. For one thread."""

    def __init__(self) -> None:
        self.start = self.end = 0
        self._chunks: deque[NDArray[np.float32]] = deque()
        self._probabilities: deque[float] = deque()
        self._first_vad_chunk = 0

    def append(self, samples: NDArray[np.float32]) -> None:
        if len(samples):
            self._chunks.append(samples)
            self.end += len(samples)

    def append_probability(self, probability: float) -> None:
        self._probabilities.append(probability)

    def read(self, start: int, end: int) -> NDArray[np.float32]:
        """Copies samples `start` to `end`, which must be in the buffer."""
        assert self.start <= start <= end <= self.end
        if len(self._chunks) > 1:  # joined once, so that a read costs no more than its copy
            self._chunks = deque([np.concatenate(self._chunks)])
        if not self._chunks:
            return np.empty(0, np.float32)
        return self._chunks[0][start - self.start : end - self.start].copy()

    def find_speech(self, start: int, end: int, options: VadOptions) -> list[SpeechSpan]:
        """Finds the speech in `start` to `end`, in samples from `start`."""
        first, last = start // CHUNK_SAMPLES, -(-end // CHUNK_SAMPLES)
        known = list(self._probabilities)[first - self._first_vad_chunk : last - self._first_vad_chunk]
        # the last chunk may be too short for the voice detector: it takes the probability before it
        known += [known[-1] if known else 0.0] * (last - first - len(known))
        shift = start - first * CHUNK_SAMPLES
        found = spans_from_probabilities(np.array(known, np.float32), end - start + shift, options)
        moved = ((max(0, span.start_sample - shift), span.end_sample - shift) for span in found)
        return [SpeechSpan(start_sample=a, end_sample=b) for a, b in moved if a < b]

    def drop_before(self, sample: int) -> None:
        """Discards all samples before `sample`."""
        sample = min(sample, self.end)
        while self._chunks and self.start + len(self._chunks[0]) <= sample:
            self.start += len(self._chunks.popleft())
        if self._chunks and self.start < sample:
            self._chunks[0] = self._chunks[0][sample - self.start :].copy()
            self.start = sample
        while self._probabilities and (self._first_vad_chunk + 1) * CHUNK_SAMPLES <= self.start:
            self._probabilities.popleft()
            self._first_vad_chunk += 1
