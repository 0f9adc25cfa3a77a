"""What a decoder gives away."""

from __future__ import annotations

import mmap
import os

import numpy as np
import pytest

from neuron_whisper.audio.process.decoder import (
    TransferBuffer,
    create_memory_file,
    read_data_bytes,
)


def fill(seconds: int) -> tuple[TransferBuffer, np.ndarray[tuple[int], np.dtype[np.float32]], list[int]]:
    pieces: list[int] = []
    buffer = TransferBuffer(lambda: pieces.append(1))
    for second in range(seconds):
        buffer.append(np.full(16_000, second, np.float32))
    samples = buffer.finish()
    buffer.close()
    return buffer, samples, pieces


@pytest.mark.parametrize("seconds", [1, 601])
def test_the_file_that_is_given_away_has_the_samples(seconds: int) -> None:
    buffer, samples, pieces = fill(seconds)
    with buffer.to_file(samples) as file:
        assert os.fstat(file.fileno()).st_size == 64_000 * seconds
        mapped = np.memmap(file, np.float32, mode="r")
        assert mapped[::16_000].tolist() == list(range(seconds))
    buffer.release()
    assert len(pieces) == seconds
    assert isinstance(samples, np.memmap) == (seconds > 600)


def test_samples_that_were_changed_after_they_were_collected_are_given_away_changed() -> None:
    buffer, samples, _ = fill(601)
    with buffer.to_file(samples * np.float32(2)) as file:
        assert np.memmap(file, np.float32, mode="r")[-1] == 1200
    buffer.release()


def test_a_file_in_memory_has_a_descriptor() -> None:
    with create_memory_file() as file:
        file.write(b"content")
        file.flush()
        assert os.pread(file.fileno(), 100, 0) == b"content"


def test_the_memory_that_the_limit_counts_is_known() -> None:
    before = read_data_bytes()
    with mmap.mmap(-1, 50_000_000, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS):  # malloc may have as much at hand
        assert 45e6 < read_data_bytes() - before < 60e6
