"""Hugging Face directories: configs, shards, generation settings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from neuron_whisper.errors import CheckpointError
from neuron_whisper.model.checkpoint import open_checkpoint
from tests.support.checkpoint_files import WEIGHTS, all_equal, hf_config, hf_names, write_hf, write_sharded_hf


def test_a_tied_output_projection_is_accepted_and_an_untied_one_refused(tmp_path: Path) -> None:
    tensors = hf_names(WEIGHTS)
    embedding = tensors["model.decoder.embed_tokens.weight"]
    assert all_equal(open_checkpoint(write_hf(tmp_path, tensors | {"proj_out.weight": embedding.copy()})))
    with pytest.raises(CheckpointError, match=r"proj_out\.weight: expected the token embedding again"):
        open_checkpoint(write_hf(tmp_path, tensors | {"proj_out.weight": embedding + 1}))


@pytest.mark.parametrize(
    ("config", "generation", "expected"),
    [
        ({}, {"suppress_tokens": [1, 2]}, (1, 2)),
        ({"suppress_tokens": [3]}, {"suppress_tokens": [1, 2]}, (1, 2)),
        ({"suppress_tokens": [3]}, {}, None),
        ({"suppress_tokens": [3]}, None, (3,)),
        ({}, {"suppress_tokens": []}, ()),
        ({}, {"suppress_tokens": None}, None),
    ],
)
def test_suppressed_tokens_come_from_the_generation_settings_or_from_a_config_of_before_there_were_any(
    config: dict[str, Any], generation: dict[str, Any] | None, expected: tuple[int, ...] | None, tmp_path: Path
) -> None:
    write_hf(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(hf_config() | config))
    (tmp_path / "generation_config.json").unlink()
    if generation is not None:
        (tmp_path / "generation_config.json").write_text(json.dumps(generation))
    assert open_checkpoint(tmp_path).suppress_tokens == expected


@pytest.mark.parametrize("value", ["1, 2", [-1], [1.5], [True], {"1": 2}])
def test_suppressed_tokens_that_are_no_list_of_ids_are_refused(value: Any, tmp_path: Path) -> None:
    write_hf(tmp_path)
    (tmp_path / "generation_config.json").write_text(json.dumps({"suppress_tokens": value}))
    with pytest.raises(CheckpointError, match="suppress_tokens"):
        open_checkpoint(tmp_path)


def test_a_config_without_a_field_names_it(tmp_path: Path) -> None:
    config = hf_config()
    del config["d_model"]
    write_hf(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match=r"config.json: expected a field 'd_model'"):
        open_checkpoint(tmp_path)


def test_a_shard_elsewhere_is_refused(tmp_path: Path) -> None:
    index = write_sharded_hf(tmp_path) / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": "../model.safetensors"}}))
    with pytest.raises(CheckpointError, match="files in its directory"):
        open_checkpoint(tmp_path)
