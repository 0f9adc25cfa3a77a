"""Resampling to 16 kHz: in pieces as at once, as scipy and as FFmpeg."""

from __future__ import annotations

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import resample_poly

from neuron_whisper.audio.resample import Resampler, design_filter, resample
from tests.support.audio_files import tone

RATES = st.sampled_from([8000, 11025, 12000, 16000, 22050, 24000, 44100, 48000, 96000, 192000, 15999, 16001])


@settings(max_examples=60, deadline=None)
@given(rate=RATES, samples=st.integers(1, 250_000), cuts=st.lists(st.floats(0, 1), max_size=6))
def test_resampling_in_pieces_is_resampling_at_once(rate: int, samples: int, cuts: list[float]) -> None:
    signal = np.random.default_rng(samples).normal(0, 0.1, samples).astype(np.float32)
    resampler = Resampler(rate)
    pieces = np.split(signal, sorted(int(cut * samples) for cut in cuts))
    joined = np.concatenate([*(resampler.push(piece) for piece in pieces), resampler.finish()])
    whole = resample(signal, rate)
    assert len(whole) == -(-samples * 16000 // rate)
    np.testing.assert_array_equal(joined, whole)


@pytest.mark.parametrize("rate", [8000, 22050, 44100, 48000, 192000])
def test_resampling_equals_scipys_polyphase_filter_with_the_same_taps(rate: int) -> None:
    signal = np.random.default_rng(1).normal(0, 0.1, 3 * rate).astype(np.float32)
    up, down, taps = design_filter(rate)
    expected = resample_poly(signal.astype(np.float64), up, down, window=taps.astype(np.float64) / up)
    np.testing.assert_allclose(resample(signal, rate), expected, atol=1e-6)


@pytest.mark.parametrize("rate", [8000, 22050, 44100, 48000])
def test_resampling_agrees_with_ffmpeg(rate: int) -> None:
    signal = np.random.default_rng(1).normal(0, 0.1, 2 * rate).astype(np.float32)
    frame = av.AudioFrame.from_ndarray(signal[None], format="fltp", layout="mono")
    frame.sample_rate = rate
    converter = av.AudioResampler("fltp", "mono", 16000)
    theirs = np.concatenate([f.to_ndarray()[0] for f in converter.resample(frame) + converter.resample(None)])
    # at the very ends FFmpeg mirrors the signal where this package has silence
    np.testing.assert_allclose(resample(signal, rate)[60:-60], theirs[60 : len(theirs) - 60], atol=1e-4)


def test_what_lies_above_8_khz_does_not_fold_back() -> None:
    for hz in (9000, 12000, 20000):
        assert np.abs(resample(tone(0.5, 48000, hz=hz)[:, 0], 48000)[200:-200]).max() < 5e-4
