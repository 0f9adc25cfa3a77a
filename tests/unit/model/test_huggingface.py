"""Hugging Face directories: configs, shards, generation settings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neuron_whisper.errors import CheckpointError
from neuron_whisper.model.checkpoint import open_checkpoint
from tests.support.checkpoint_files import WEIGHTS, all_equal, hf_config, hf_names, write_hf, write_sharded_hf


def test_an_output_projection_is_a_parameter_where_it_is_not_the_token_embedding(tmp_path: Path) -> None:
    tensors = hf_names(WEIGHTS)
    embedding = tensors["model.decoder.embed_tokens.weight"]
    assert all_equal(open_checkpoint(write_hf(tmp_path, tensors | {"proj_out.weight": embedding.copy()})))
    own = open_checkpoint(write_hf(tmp_path, tensors | {"proj_out.weight": embedding + 1}))
    assert own.parameter_names == (*WEIGHTS, "decoder.output_projection.weight")
    np.testing.assert_array_equal(own.tensor("decoder.output_projection.weight"), embedding + 1)
    cut = own.select_tokens(range(20))
    assert cut.tensor("decoder.output_projection.weight").shape == cut.tensor("decoder.token_embedding.weight").shape
    with pytest.raises(CheckpointError) as refused:
        open_checkpoint(write_hf(tmp_path, tensors | {"proj_out.weight": embedding[:-1]}))
    assert refused.value.tensor == "proj_out.weight"


@pytest.mark.parametrize(
    "prefix", ["", "module.", "module.model.", "model.model.", "_orig_mod.model.", "base_model.model.model."]
)
def test_what_a_trainers_wrapper_puts_before_the_names_is_left_out(prefix: str, tmp_path: Path) -> None:
    names = {name.removeprefix("model."): value for name, value in hf_names(WEIGHTS).items()}
    tensors = {prefix + name: value for name, value in names.items()}
    outer = prefix.removesuffix("model.")
    tensors[f"{outer}proj_out.weight"] = names["decoder.embed_tokens.weight"].copy()
    assert all_equal(open_checkpoint(write_hf(tmp_path, tensors)))


def test_a_name_that_lacks_the_prefix_of_the_others_is_refused(tmp_path: Path) -> None:
    tensors = {f"module.{name}": value for name, value in hf_names(WEIGHTS).items()}
    tensors["decoder.ln.bias"] = np.zeros(8, np.float16)
    with pytest.raises(CheckpointError) as refused:
        open_checkpoint(write_hf(tmp_path, tensors))
    assert refused.value.tensor == "decoder.ln.bias"


def test_buffers_beside_the_parameters_are_not_read_whatever_their_type(tmp_path: Path) -> None:
    buffers = {
        "model.decoder.mask": np.zeros((5, 5), np.float32),
        "model.alignment_heads": np.zeros((1, 2), np.bool_),
        "model.decoder.position_ids": np.arange(5),
    }
    assert all_equal(open_checkpoint(write_hf(tmp_path, hf_names(WEIGHTS) | buffers)))


def test_weights_with_a_lora_adapter_inside_say_what_to_do(tmp_path: Path) -> None:
    tensors = hf_names(WEIGHTS) | {"model.decoder.layers.0.fc1.lora_A.default.weight": np.zeros((2, 8), np.float16)}
    with pytest.raises(CheckpointError, match="merge_and_unload"):
        open_checkpoint(write_hf(tmp_path, tensors))


@pytest.mark.parametrize("has_weights", [True, False])
def test_a_lora_directory_names_its_base_model_and_what_to_do(has_weights: bool, tmp_path: Path) -> None:
    if has_weights:
        write_hf(tmp_path)
    (tmp_path / "adapter_config.json").write_text('{"base_model_name_or_path": "openai/whisper-small"}')
    with pytest.raises(CheckpointError, match="merge_and_unload") as refused:
        open_checkpoint(tmp_path)
    assert refused.value.file == tmp_path / "adapter_config.json"
    assert refused.value.found == "a LoRA adapter of openai/whisper-small"


@pytest.mark.parametrize("content", [b"", b"[]", b"[" * 100_000, b'{"base_model_name_or_path": [1]}'])
def test_a_damaged_adapter_config_is_an_adapter_all_the_same(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_bytes(content)
    with pytest.raises(CheckpointError) as refused:
        open_checkpoint(tmp_path)
    assert refused.value.found == "a LoRA adapter"


@pytest.mark.parametrize(
    "header",
    [
        b"[" * 100_000,
        b"[]",
        b'{"a": {"dtype": "F32", "shape": [' + b"9" * 4000 + b'], "data_offsets": [0, 0]}}',
        b'{"a": {"dtype": "F32", "shape": [' + b"2," * 100_000 + b'2], "data_offsets": [0, 0]}}',
        b'{"a": {"dtype": ["F32"], "shape": [1], "data_offsets": [0, 4]}}',
        b'{"a": {"dtype": "F32", "shape": [1], "data_offsets": [4, 0]}}',
        b'{"a": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}}',
        b'{"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, ' + b"9" * 4000 + b"]}}",
        b'{"\\ud800": 1}',
    ],
)
def test_a_hostile_header_is_a_checkpoint_error_of_one_line(header: bytes, tmp_path: Path) -> None:
    write_hf(tmp_path)
    file = tmp_path / "model.safetensors"
    file.write_bytes(len(header).to_bytes(8, "little") + header)
    with pytest.raises(CheckpointError) as refused:
        open_checkpoint(tmp_path)
    assert refused.value.file == file
    assert len(str(refused.value)) < 6000


@pytest.mark.parametrize("weight_map", [[], {"a": ["b"]}, {"a": 1, "b": "c"}, {"a": {}}, {"a": "\0"}, {"a": "\ud800"}])
def test_a_hostile_index_is_a_checkpoint_error(weight_map: Any, tmp_path: Path) -> None:
    index = write_sharded_hf(tmp_path) / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": weight_map}))
    with pytest.raises(CheckpointError):
        open_checkpoint(tmp_path)


@pytest.mark.parametrize("name", ["config.json", "generation_config.json"])
@pytest.mark.parametrize("content", [b"", b"[" * 100_000, b"\xff", b"1" * 5000, b"null"])
def test_a_hostile_config_is_a_checkpoint_error(name: str, content: bytes, tmp_path: Path) -> None:
    (write_hf(tmp_path) / name).write_bytes(content)
    with pytest.raises(CheckpointError) as refused:
        open_checkpoint(tmp_path)
    assert refused.value.file == tmp_path / name


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
