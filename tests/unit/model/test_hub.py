"""Snapshots of the hub: which files of a repository are needed."""

from __future__ import annotations

from neuron_whisper.model.hub import select_files


def test_of_a_repository_one_form_of_the_weights_is_taken() -> None:
    configs = ["config.json", "generation_config.json", "README.md"]
    assert select_files(
        [
            *configs,
            "model.safetensors",
            "model.fp32-00001-of-00002.safetensors",
            "model.safetensors.index.fp32.json",
            "pytorch_model.bin",
            "flax_model.msgpack",
        ]
    ) == ["config.json", "generation_config.json", "model.safetensors"]
    assert select_files(
        [
            "config.json",
            "model.safetensors.index.json",
            "model-00001-of-00002.safetensors",
            "model-00002-of-00002.safetensors",
            "model.fp32-00001-of-00002.safetensors",
        ]
    ) == [
        "config.json",
        "model.safetensors.index.json",
        "model-00001-of-00002.safetensors",
        "model-00002-of-00002.safetensors",
    ]
    assert select_files(["config.json", "pytorch_model.bin"]) == ["config.json", "pytorch_model.bin"]
    ctranslate2 = ["config.json", "model.bin", "vocabulary.txt"]
    assert select_files([*ctranslate2, "README.md"]) == ctranslate2
    assert select_files(["config.json", "tf_model.h5"]) == []
