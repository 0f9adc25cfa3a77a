"""SpillableBuffer: samples that are appended while a file is decoded, in a temporary file when they are many."""

from __future__ import annotations

import logging
import mmap
import tempfile
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuron_whisper.audio.clip import SAMPLE_RATE

log = logging.getLogger(__name__)

MAX_MEMORY_S = 600  # 38 MB; longer audio is in a file
INITIAL_SAMPLES = 1 << 20


class SpillableBuffer:
    """Collects samples piece by piece, without a second copy of them all at the end.

    Beyond `max_memory_s` seconds they are in an unnamed file in the system's directory for temporary files ($TMPDIR),
    which disappears with the last array that maps it. When it cannot be written, they are all kept in memory.
    """

    def __init__(self, max_memory_s: float = MAX_MEMORY_S) -> None:
        self._max_memory_samples = int(max_memory_s * SAMPLE_RATE)
        self._memory = np.empty(INITIAL_SAMPLES, np.float32)
        self._memory_length = 0  # samples in memory
        self._file_length = 0  # samples in the file, all before those in memory
        self._file: Any = None
        self._can_spill = True

    def append(self, piece: NDArray[np.float32]) -> None:
        end = self._memory_length + len(piece)
        if end > self._max_memory_samples and self._can_spill:
            self._spill()
            end = self._memory_length + len(piece)
        if end > len(self._memory):
            self._memory.resize(max(end, len(self._memory) * 3 // 2), refcheck=False)
        self._memory[self._memory_length : end] = piece
        self._memory_length = end

    def finish(self, scale: float = 1.0) -> NDArray[np.float32]:
        """All samples times `scale`, (n,); read-only when they are in a file."""
        if self._file is not None:
            self._spill()
        if self._file is not None:
            with self._file:
                if scale != 1.0:
                    self._scale_file(scale)
                return self._map_file()
        self._memory.resize(self._memory_length, refcheck=False)
        if scale != 1.0:
            self._memory *= np.float32(scale)
        return self._memory

    def _scale_file(self, scale: float) -> None:
        samples = np.memmap(self._file, np.float32, mode="r+", shape=(self._file_length,))
        for start in range(0, len(samples), INITIAL_SAMPLES):
            samples[start : start + INITIAL_SAMPLES] *= np.float32(scale)
            samples.flush()  # memory stays small only where pages are written
            release_pages(samples, start + INITIAL_SAMPLES)

    def _map_file(self) -> NDArray[np.float32]:
        return np.memmap(self._file, np.float32, mode="r", shape=(self._file_length,))

    def _spill(self) -> None:
        """Move the samples in memory to the file. If that fails, read all samples back and keep them in memory."""
        try:
            if self._file is None:
                # unbuffered: after a failed write, close() has nothing to write again
                self._file = tempfile.TemporaryFile(prefix="neuron-whisper-", buffering=0)  # noqa: SIM115  # closed by finish()
            rest = self._memory[: self._memory_length].data.cast("B")
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            log.warning("temporary file cannot be written; long audio is kept in memory: %s", error.strerror or error)
            self._read_back()
            return
        self._file_length += self._memory_length
        self._memory_length = 0

    def _read_back(self) -> None:
        self._can_spill = False
        if self._file is None:
            return
        with self._file as file:
            file.seek(0)
            before = np.fromfile(file, np.float32, self._file_length)
        self._memory = np.concatenate([before, self._memory[: self._memory_length]])
        self._memory_length = len(self._memory)
        self._file, self._file_length = None, 0

    def close(self) -> None:
        """Close the file of a buffer that is not finished."""
        if self._file is not None:
            self._file.close()


def release_pages(samples: NDArray[np.float32], end: int) -> None:
    """Release the memory of mapped samples before `end`, which will not be read soon; no effect on other arrays."""
    mapped = getattr(samples, "_mmap", None)  # numpy.memmap's; None of an array in memory
    if not isinstance(mapped, mmap.mmap) or not hasattr(mapped, "madvise"):
        return
    length = min(end * samples.itemsize, len(mapped)) // mmap.PAGESIZE * mmap.PAGESIZE
    if length > 0:
        mapped.madvise(mmap.MADV_DONTNEED, 0, length)
