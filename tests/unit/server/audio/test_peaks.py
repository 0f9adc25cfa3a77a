"""The waveform of a clip."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from neuron_whisper.server.audio.peaks import BLOCK_PEAKS, PEAK_SAMPLES, PEAKS_PER_SECOND, compute_peaks


def test_a_second_has_twenty_and_a_rest_has_one_of_its_own() -> None:
    assert PEAKS_PER_SECOND == 20
    assert len(compute_peaks(np.zeros(16_000, np.float32))) == 20
    assert len(compute_peaks(np.zeros(16_001, np.float32))) == 21
    assert len(compute_peaks(np.zeros(0, np.float32))) == 0


@pytest.mark.parametrize(
    ("sample", "peak"),
    [(0.0, 0), (1.0, 255), (-1.0, 255), (0.5, 128), (-0.25, 64), (3.0, 255), (0.001, 0), (0.002, 1), (np.inf, 255)],
)
def test_full_scale_is_255_up_and_down(sample: float, peak: int) -> None:
    samples = np.zeros(2 * PEAK_SAMPLES, np.float32)
    samples[PEAK_SAMPLES + 7] = sample
    assert compute_peaks(samples).tolist() == [0, peak]


def test_what_is_no_number_is_drawn_as_silence() -> None:
    samples = np.full(PEAK_SAMPLES, np.nan, np.float32)
    assert compute_peaks(samples).tolist() == [0]


@given(
    arrays.arrays(np.float32, st.integers(0, 5 * PEAK_SAMPLES), elements=st.floats(-2, 2, width=32)),
)
def test_each_is_the_largest_sample_of_its_twentieth(samples: NDArray[np.float32]) -> None:
    parts = [samples[start : start + PEAK_SAMPLES] for start in range(0, len(samples), PEAK_SAMPLES)]
    expected = [round(float(min(1.0, np.abs(part).max())) * 255) for part in parts]
    assert np.abs(compute_peaks(samples).astype(int) - expected).max(initial=0) <= 1  # of float32's rounding


def test_blocks_join_without_a_seam() -> None:
    samples = np.zeros((BLOCK_PEAKS + 2) * PEAK_SAMPLES, np.float32)
    samples[::PEAK_SAMPLES] = np.linspace(0, 1, BLOCK_PEAKS + 2, dtype=np.float32)
    assert compute_peaks(samples).tolist() == [round(255 * n / (BLOCK_PEAKS + 1)) for n in range(BLOCK_PEAKS + 2)]


def test_a_mapped_file_is_read_in_blocks_and_left_as_it_is(tmp_path: Path) -> None:
    path, n = tmp_path / "samples", 20 * 60 * 16_000
    mapped = np.memmap(path, np.float32, mode="w+", shape=(n,))
    mapped[::PEAK_SAMPLES] = 0.5
    mapped.flush()
    mapped = np.memmap(path, np.float32, mode="c")
    tracemalloc.start()
    try:
        peaks = compute_peaks(mapped)
        _, most_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert set(peaks.tolist()) == {128}
    assert type(peaks) is np.ndarray
    assert most_bytes < 8e6  # the samples are 77 MB
    assert mapped[0] == 0.5
