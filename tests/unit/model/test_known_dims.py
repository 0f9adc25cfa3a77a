"""Dimensions by name, with nothing downloaded."""

from __future__ import annotations

from pathlib import Path

import pytest

from neuron_whisper.errors import CheckpointError
from neuron_whisper.model.known_dims import find_dims
from neuron_whisper.model.published_dims import PUBLISHED_DIMS


def test_dimensions_are_read_from_a_config_without_weights(tmp_path: Path) -> None:
    config = tmp_path / "config.json"
    config.write_text(
        '{"num_mel_bins": 80, "max_source_positions": 1500, "d_model": 512, "encoder_attention_heads": 8,'
        '"encoder_layers": 6, "vocab_size": 51865, "max_target_positions": 448, "decoder_attention_heads": 8,'
        '"decoder_layers": 6}'
    )
    assert find_dims(str(config)) == find_dims(str(tmp_path)) == PUBLISHED_DIMS["base"]
    config.write_text('{"d_model": 512}')
    with pytest.raises(CheckpointError, match="expected a field 'num_mel_bins'"):
        find_dims(str(config))
    config.write_text("[]")
    with pytest.raises(CheckpointError, match="expected a JSON object, found list"):
        find_dims(str(config))


def test_a_lora_adapter_has_no_dims_and_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text("{}")
    with pytest.raises(CheckpointError, match="merge_and_unload"):
        find_dims(str(tmp_path))


@pytest.mark.parametrize("content", [b"[" * 100_000, b"[]", b"1" * 5000, b"\xff"])
def test_a_hostile_config_is_a_checkpoint_error(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes(content)
    with pytest.raises(CheckpointError):
        find_dims(str(tmp_path))
