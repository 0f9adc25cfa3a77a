"""CTranslate2 directories: scaled integers, parts, settings."""

from __future__ import annotations

import json
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
