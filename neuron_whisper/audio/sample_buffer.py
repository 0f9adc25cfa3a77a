"""Samples that grow while a file is decoded; those of a long one lie in a temporary file, not in memory."""

from __future__ import annotations

import logging
import mmap
import tempfile
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuron_whisper.audio.clip import SAMPLE_RATE

log = logging.getLogger(__name__)

MAX_MEMORY_S = 600  # what is longer goes to a file: 38 MB
INITIAL_SAMPLES = 1 << 20


class SpillableBuffer:
    """Appended to in pieces and held once: hours of samples are not copied to be joined.

    Beyond `max_memory_s` seconds they are in a file without a name in the system's directory for temporary files
    ($TMPDIR), which is gone with the last view of them. Where it cannot be written, memory takes them all.
    """

    def __init__(self, max_memory_s: float = MAX_MEMORY_S) -> None:
        self._max_memory_samples = int(max_memory_s * SAMPLE_RATE)
        self._memory = np.empty(INITIAL_SAMPLES, np.float32)
        self._memory_length = 0  # of what is in memory
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

    def finish(self) -> NDArray[np.float32]:
        """All of them, (n,); read-only where they are in a file."""
        if self._file is not None:
            self._spill()
        if self._file is not None:
            with self._file as file:
                return np.memmap(file, np.float32, mode="r", shape=(self._file_length,))
        self._memory.resize(self._memory_length, refcheck=False)
        return self._memory

    def _spill(self) -> None:
        """Move what is in memory to the file; if that fails, bring all of it back to memory, and stay there."""
        try:
            if self._file is None:
                # unbuffered: after a failure nothing is left that closing would try to write again
                self._file = tempfile.TemporaryFile(prefix="neuron-whisper-", buffering=0)  # noqa: SIM115  # whole()
            rest = self._memory[: self._memory_length].data.cast("B")
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            log.warning("long audio is kept in memory: %s", error.strerror or error)
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
        """Let go of the file of a signal that nobody wants whole."""
        if self._file is not None:
            self._file.close()


def release_pages(samples: NDArray[np.float32], end: int) -> None:
    """Sample `end` and all before it will not be read soon: of those in a file, no page stays in this process."""
    mapped = getattr(samples, "_mmap", None)  # numpy.memmap's; None of an array in memory
    if not isinstance(mapped, mmap.mmap) or not hasattr(mapped, "madvise"):
        return
    length = min(end * samples.itemsize, len(mapped)) // mmap.PAGESIZE * mmap.PAGESIZE
    if length > 0:
        mapped.madvise(mmap.MADV_DONTNEED, 0, length)
