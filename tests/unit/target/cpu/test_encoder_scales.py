"""Scales of an 8-bit encoder: whose they are, where they are found, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from neuron_whisper.artifact.cache_directory import default_cache_directory
from neuron_whisper.errors import BuildError, ScalesError
from neuron_whisper.model.checkpoint import open_checkpoint
from neuron_whisper.model.sources import resolve_model
from neuron_whisper.target.cpu.encoder_scales import (
    PACKAGED_SCALES,
    EncoderScales,
    LayerScales,
    ScoreScales,
    find_scales,
    fingerprint_encoder,
    layer_parameters,
    read_scales,
    scales_file,
    score_names,
    write_scales,
)
from tests.support.sessions import MemoryCheckpoint
from tests.support.tiny_program import DIMS, parameters

if TYPE_CHECKING:
    from neuron_whisper.model.checkpoint import Checkpoint

FINGERPRINT = "ab" * 32
PACKAGED = {"base": "80d2b0b9fa946a52", "tiny.en": "8ce352d6e1455121"}


def make_scales() -> EncoderScales:
    rng = np.random.default_rng(0)
    layers = {}
    for name in layer_parameters(DIMS):
        channels = DIMS.n_mels if name == "encoder.conv1" else DIMS.n_audio_state * (4 if name.endswith("mlp.2") else 1)
        smoothing = np.exp2(rng.integers(-40, 41, channels) / 12).astype(np.float32)
        layers[name] = LayerScales(smoothing=smoothing, low=-1.5, high=2.25, error=0.125)
    scores = {name: ScoreScales(query_peak=3.5, key_peak=17, error=0.25) for name in score_names(DIMS)}
    return EncoderScales(layers=layers, scores=scores, speech="12 clips")


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    path = tmp_path / "scales.safetensors"
    write_scales(path, make_scales(), FINGERPRINT)
    return path


def rewrite(path: Path, change: Callable[[dict[str, Any]], object], **metadata: str) -> None:
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path, {"format": "1", "encoder": FINGERPRINT} | metadata)


def test_scales_are_read_as_they_were_written(stored: Path) -> None:
    found, written = read_scales(stored, DIMS, FINGERPRINT), make_scales()
    assert list(found.layers) == list(written.layers)
    for name, layer in written.layers.items():
        np.testing.assert_allclose(found.layers[name].smoothing, layer.smoothing, rtol=1e-6)
        assert (found.layers[name].low, found.layers[name].high) == (-1.5, 2.25)
        assert found.layers[name].error == 0.125
    assert (found.scores, found.speech) == (written.scores, "12 clips")


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("encoder.blocks.1.mlp.0.smoothing", lambda tensors: tensors.pop("encoder.blocks.1.mlp.0.smoothing")),
        ("encoder.conv1.range", lambda tensors: tensors.pop("encoder.conv1.range")),
        ("encoder.blocks.0.attn.scores", lambda tensors: tensors.pop("encoder.blocks.0.attn.scores")),
        ("encoder.conv1.smoothing", lambda it: it.update({"encoder.conv1.smoothing": np.zeros(79, np.int8)})),
        ("encoder.conv2.smoothing", lambda it: it.update({"encoder.conv2.smoothing": np.zeros(128, np.float32)})),
        ("encoder.conv2.range", lambda it: it.update({"encoder.conv2.range": np.array([-1, np.nan, 0], np.float32)})),
        ("encoder.conv2.range", lambda it: it.update({"encoder.conv2.range": np.array([1, 2, 0], np.float32)})),
        ("encoder.conv2.range", lambda it: it.update({"encoder.conv2.range": np.array([-1, 0, 0], np.float32)})),
        ("decoder.cross_attn.range", lambda it: it.update({"decoder.cross_attn.range": np.zeros(2, np.float32)})),
        (
            "encoder.blocks.1.attn.scores",
            lambda it: it.update({"encoder.blocks.1.attn.scores": np.array([3, 0, 0], np.float32)}),
        ),
    ],
)
def test_a_wrong_tensor_is_named(stored: Path, field: str, change: Callable[[dict[str, Any]], object]) -> None:
    rewrite(stored, change)
    with pytest.raises(ScalesError) as caught:
        read_scales(stored, DIMS, FINGERPRINT)
    assert (caught.value.path, caught.value.field) == (stored, field)


@pytest.mark.parametrize(("field", "metadata"), [("format", {"format": "2"}), ("encoder", {"encoder": "cd" * 32})])
def test_scales_of_another_format_or_model_are_refused(stored: Path, field: str, metadata: dict[str, str]) -> None:
    rewrite(stored, lambda tensors: None, **metadata)
    with pytest.raises(ScalesError) as caught:
        read_scales(stored, DIMS, FINGERPRINT)
    assert caught.value.field == field
    assert metadata[field] in str(caught.value)


HEADER = b'{"a":{"dtype":"F8_E4M3","shape":[1],"data_offsets":[0,1]}}'
EIGHT_BIT_FLOATS = len(HEADER).to_bytes(8, "little") + HEADER + b"\0"  # numpy has no such type


@pytest.mark.parametrize(
    "content",
    [b"", b"no safetensors", b"\xff" * 64, EIGHT_BIT_FLOATS],
    ids=["empty", "text", "length", "8-bit floats"],
)
def test_a_file_that_is_no_safetensors_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(content)
    with pytest.raises(ScalesError) as caught:
        read_scales(path, DIMS, FINGERPRINT)
    assert (caught.value.path, caught.value.field) == (path, "file")


def test_a_cut_file_and_a_missing_one_are_refused(stored: Path, tmp_path: Path) -> None:
    stored.write_bytes(stored.read_bytes()[:-10])
    for path in (stored, tmp_path / "none.safetensors"):
        with pytest.raises(ScalesError) as caught:
            read_scales(path, DIMS, FINGERPRINT)
        assert caught.value.field == "file"


def fingerprint(weights: dict[str, NDArray[Any]]) -> str:
    return fingerprint_encoder(cast("Checkpoint", MemoryCheckpoint(weights)))


def test_the_same_encoder_in_another_number_type_has_the_same_fingerprint() -> None:
    half = {name: value.astype(np.float16) for name, value in parameters().items()}
    wide = {name: value.astype(np.float32) for name, value in half.items()}
    assert fingerprint(half) == fingerprint(wide)


@pytest.mark.parametrize(
    ("name", "is_another"),
    [
        ("encoder.blocks.1.mlp.0.weight", True),
        ("encoder.blocks.0.attn_ln.bias", True),
        ("encoder.conv1.weight", True),
        ("decoder.blocks.0.cross_attn.value.weight", True),
        ("decoder.blocks.0.mlp.0.weight", False),
        ("decoder.token_embedding.weight", False),
        ("encoder.positional_embedding", False),
    ],
)
def test_a_fingerprint_is_of_the_encoder_and_of_cross_attention(name: str, is_another: bool) -> None:
    weights = parameters()
    assert (fingerprint(weights | {name: weights[name] * 1.01}) != fingerprint(weights)) is is_another


class RowsAlone(MemoryCheckpoint):
    """Of a checkpoint whose whole tensors are never wanted."""

    def tensor(self, name: str) -> NDArray[Any]:
        raise AssertionError(name)


def test_a_fingerprint_reads_a_few_rows_of_each_parameter() -> None:
    rows = RowsAlone(parameters())
    assert fingerprint_encoder(cast("Checkpoint", rows)) == fingerprint(parameters())


def test_the_users_scales_come_before_the_packaged_ones(tmp_path: Path) -> None:
    packaged = next(PACKAGED_SCALES.glob("*.safetensors"))
    with safe_open(packaged, "numpy") as file:
        digest = file.metadata()["encoder"]
    assert find_scales(digest, None) == find_scales(digest, tmp_path) == packaged
    own = scales_file(tmp_path, digest)
    own.write_bytes(b"mine")
    assert find_scales(digest, tmp_path) == own
    assert find_scales(FINGERPRINT, tmp_path) is None


def test_packaged_scales_are_named_by_their_encoder_and_small() -> None:
    files = sorted(PACKAGED_SCALES.glob("*.safetensors"))
    assert {path.stem[:16] for path in files} == set(PACKAGED.values())
    for path in files:
        with safe_open(path, "numpy") as file:
            assert file.metadata()["encoder"].startswith(path.stem)
        assert path.stat().st_size < 50_000


@pytest.mark.parametrize("model", PACKAGED)
def test_the_packaged_scales_are_those_of_the_model(model: str) -> None:
    try:
        checkpoint = open_checkpoint(resolve_model(model, cache=default_cache_directory(), offline=True))
    except BuildError:
        pytest.skip(f"{model} was not fetched: that its scales are found is not proved")
    digest = fingerprint_encoder(checkpoint)
    path = find_scales(digest, None)
    assert path is not None
    assert path.stem.startswith(PACKAGED[model])
    assert len(read_scales(path, checkpoint.dims, digest).layers) == len(layer_parameters(checkpoint.dims))
