"""CTranslate2 directories: scaled integers, parts, settings."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import pytest

from neuron_whisper.errors import CheckpointError
from neuron_whisper.model.checkpoint import open_checkpoint
from tests.support.checkpoint_files import CT2, WEIGHTS, hf_config, write_hf


@pytest.mark.parametrize(("kind", "levels"), [("int8", 127), ("int16", 1024)])
def test_scaled_integers_are_within_half_a_level_of_the_value(kind: str, levels: int, tmp_path: Path) -> None:
    checkpoint = open_checkpoint(CT2(kind=kind).write(tmp_path))
    assert checkpoint.dtype == kind
    for name, value in WEIGHTS.items():
        found = checkpoint.tensor(name)
        assert found.dtype == np.float32
        # A fused matrix shares one int16 scale, so the largest weight of all bounds the level.
        largest = max(float(np.abs(weight).max()) for weight in WEIGHTS.values())
        assert np.abs(found - value.astype(np.float32)).max() <= 0.51 * largest / levels, name


def test_a_part_missing_between_others_is_named(tmp_path: Path) -> None:
    (CT2().write(tmp_path, parts=3) / "model.bin.part2").unlink()
    with pytest.raises(CheckpointError, match=r"model.bin.part2: expected 3 parts"):
        open_checkpoint(tmp_path)


def test_another_activation_or_spec_is_refused(tmp_path: Path) -> None:
    model = CT2()
    model.scalar("decoder/activation", "b", 1, 0)
    with pytest.raises(CheckpointError, match="decoder/activation: expected 3, found 0"):
        open_checkpoint(model.write(tmp_path / "ct2"))
    hf = write_hf(tmp_path / "hf")
    (hf / "config.json").write_text(json.dumps(hf_config() | {"model_type": "bert"}))
    with pytest.raises(CheckpointError, match="model_type 'whisper', found 'bert'"):
        open_checkpoint(hf)


def test_a_part_of_an_endless_number_names_the_first_that_is_missing(tmp_path: Path) -> None:
    CT2().write(tmp_path, parts=2)
    (tmp_path / "model.bin.part99999999999").touch()
    with pytest.raises(CheckpointError) as refused:
        open_checkpoint(tmp_path)
    assert refused.value.file == tmp_path / "model.bin.part3"


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 2.5])
def test_a_number_of_heads_that_is_no_whole_number_is_refused(value: float, tmp_path: Path) -> None:
    checkpoint = CT2()
    checkpoint.variables["encoder/num_heads"] = (0, (), struct.pack("<f", value))
    with pytest.raises(CheckpointError) as refused:
        open_checkpoint(checkpoint.write(tmp_path))
    assert refused.value.tensor == "encoder/num_heads"


@pytest.mark.parametrize("content", [b"[" * 100_000, b"\xff", b"1" * 5000])
def test_a_hostile_config_is_a_checkpoint_error(content: bytes, tmp_path: Path) -> None:
    (CT2().write(tmp_path) / "config.json").write_bytes(content)
    with pytest.raises(CheckpointError) as refused:
        open_checkpoint(tmp_path)
    assert refused.value.file == tmp_path / "config.json"


def test_an_output_projection_of_its_own_is_a_parameter(tmp_path: Path) -> None:
    checkpoint = CT2()
    del checkpoint.aliases["decoder/projection/weight"]
    embedding = WEIGHTS["decoder.token_embedding.weight"]
    checkpoint.plain("decoder/projection/weight", embedding + 1)
    found = open_checkpoint(checkpoint.write(tmp_path / "own"))
    np.testing.assert_array_equal(found.tensor("decoder.output_projection.weight"), embedding + 1)
    checkpoint.plain("decoder/projection/weight", embedding)
    assert not open_checkpoint(checkpoint.write(tmp_path / "tied")).has_own_projection
