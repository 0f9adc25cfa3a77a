"""The log-mel front end computes what openai-whisper computes."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from neuron_whisper.audio.load import load_audio
from neuron_whisper.audio.mel import LogMel, log_mel, mel_filters
from tests.support.paths import SPEECH
from tests.support.signals import noise


@pytest.fixture(scope="module")
def openai() -> Any:
    try:
        importlib.import_module("torch")
        return importlib.import_module("whisper.audio")
    except ImportError:
        pytest.skip("openai-whisper is not installed: not proved that our log-mel equals it")


def openai_log_mel(openai: Any, samples: NDArray[np.float32], n_mels: int, padding: int = 0) -> NDArray[np.float32]:
    import torch

    mel: NDArray[np.float32] = openai.log_mel_spectrogram(torch.from_numpy(samples), n_mels, padding).numpy()
    return mel


@pytest.mark.parametrize("n_mels", [80, 128])
def test_the_filters_are_those_that_openai_whisper_packages(openai: Any, n_mels: int) -> None:
    packaged = openai.mel_filters("cpu", n_mels).numpy()
    assert mel_filters(n_mels).shape == (n_mels, 201)
    np.testing.assert_allclose(mel_filters(n_mels), packaged, atol=1e-8, rtol=0)


@pytest.mark.parametrize("n_mels", [80, 128])
@pytest.mark.parametrize("padding", [0, 480_000])
@pytest.mark.parametrize("name", ["en_jfk.flac", "ja_fleurs_1837.wav", "syn_ko_espeak.wav"])
def test_the_log_mel_of_speech_is_openai_whispers(openai: Any, name: str, padding: int, n_mels: int) -> None:
    if not SPEECH.is_dir():
        pytest.skip("no speech here: not proved that the log-mel of real recordings equals openai-whisper's")
    samples = load_audio(SPEECH / name).samples
    ours = log_mel(samples, n_mels, padding=padding)
    np.testing.assert_allclose(ours, openai_log_mel(openai, samples, n_mels, padding), atol=1e-4, rtol=0)


@pytest.mark.parametrize("samples", [201, 399, 400, 159_999, 160_000, 160_001, 480_000])
def test_the_log_mel_of_noise_is_openai_whispers_at_every_length(openai: Any, samples: int) -> None:
    x = noise(30)[:samples]
    np.testing.assert_allclose(log_mel(x, 80), openai_log_mel(openai, x, 80), atol=1e-5, rtol=0)


def test_windows_of_a_clip_are_cut_as_openai_whisper_cuts_them(openai: Any) -> None:
    x = noise(40)
    whole = openai_log_mel(openai, x, 80, 480_000)
    mel = LogMel.from_samples(x, 80)
    assert mel.content_frames == 4000
    np.testing.assert_allclose(mel.cut_window(0), whole[:, :3000], atol=1e-5)
    tail = openai.pad_or_trim(whole[:, 2500:4000], 3000)
    np.testing.assert_allclose(mel.cut_window(2500), tail, atol=1e-5)
    assert mel.cut_window(2500).shape == (80, 3000)
    assert not mel.cut_window(2500)[:, 1500:].any()
