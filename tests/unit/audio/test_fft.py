"""The FFT of spectrograms: scipy's own, found without importing scipy."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import scipy.fft
from hypothesis import given
from hypothesis import strategies as st

from neuron_whisper.audio import fft


@given(st.integers(1, 5), st.sampled_from([2, 7, 8, 400, 401]), st.integers(0, 2**32 - 1))
def test_a_spectrum_has_the_bits_of_scipys(rows: int, length: int, seed: int) -> None:
    values = np.random.default_rng(seed).standard_normal((rows, length)).astype(np.float32)
    found = fft.rfft(values)
    assert found.dtype == np.complex64
    np.testing.assert_array_equal(found, scipy.fft.rfft(values))


@pytest.mark.parametrize("extension", ["scipy.fft.no_such_module", "scipy.linalg._fblas"])
def test_a_release_with_other_modules_is_used_by_its_public_name(
    extension: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = np.random.default_rng(0).standard_normal((3, 400)).astype(np.float32)
    monkeypatch.setattr(fft, "EXTENSION", extension)
    fft._find_rfft.cache_clear()
    try:
        np.testing.assert_array_equal(fft.rfft(values), scipy.fft.rfft(values))
    finally:
        fft._find_rfft.cache_clear()


def test_a_spectrogram_needs_no_import_of_scipy_and_agrees_with_it_when_that_comes_later() -> None:
    code = """
import sys, numpy as np
from neuron_whisper.audio.mel import log_mel
samples = np.random.default_rng(0).standard_normal(16000).astype(np.float32)
log_mel(samples, 80)
print([name for name in sys.modules if name.startswith("scipy")])
import scipy.fft
from neuron_whisper.audio.fft import rfft
rows = samples.reshape(-1, 400)
print(np.array_equal(rfft(rows), scipy.fft.rfft(rows)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n") == ["[]", "True", ""]
