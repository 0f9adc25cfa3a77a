"""Checkpoints as trainers leave them are compiled and say what they were trained to, or are refused before that."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from neuron_whisper.artifact.store import ArtifactStore
from neuron_whisper.audio.clip import AudioClip
from neuron_whisper.build import build, resolve_build_spec
from neuron_whisper.decode.options import TranscribeOptions
from neuron_whisper.errors import CheckpointError
from neuron_whisper.model.checkpoint import open_checkpoint
from neuron_whisper.model.sources import resolve_model
from neuron_whisper.profile import parse_profile
from neuron_whisper.text.tokenizer import Tokenizer
from neuron_whisper.transcriber import Transcriber
from tests.support.scripted_model import SENTENCE, write_scripted_checkpoint
from tests.support.tiny_models import TINY_DIMS, TINY_PROFILE

Tensors = dict[str, NDArray[Any]]
EMBEDDING = "model.decoder.embed_tokens.weight"
N_VOCAB = TINY_DIMS.n_vocab
# the oracle: what it is given here is what every target is given, and it compiles at once
PROFILE = parse_profile(TINY_PROFILE.replace('name = "cpu"', 'name = "reference"'))


@pytest.fixture(scope="module")
def scripted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint that says SENTENCE; do not change it."""
    return write_scripted_checkpoint(tmp_path_factory.mktemp("scripted") / "model")


def fine_tune(scripted: Path, directory: Path, change: Callable[[Tensors], Tensors], added: list[str]) -> Path:
    """A copy with changed tensors, and a tokenizer.json with tokens added at its end."""
    directory.mkdir()
    tensors = change(load_file(scripted / "model.safetensors"))
    rows = next(value.shape[0] for name, value in tensors.items() if name.endswith("embed_tokens.weight"))
    save_file({name: np.ascontiguousarray(value) for name, value in tensors.items()}, directory / "model.safetensors")
    config = json.loads((scripted / "config.json").read_text()) | {"vocab_size": rows}
    (directory / "config.json").write_text(json.dumps(config))
    tokenizer = json.loads((scripted / "tokenizer.json").read_text())
    tokenizer["added_tokens"] += [
        {"id": N_VOCAB + place, "content": content, "special": False} for place, content in enumerate(added)
    ]
    (directory / "tokenizer.json").write_text(json.dumps(tokenizer))
    return directory


def transcribe(checkpoint: Path, cache: Path) -> str:
    store = ArtifactStore(cache)
    build_spec = resolve_build_spec("tuned", open_checkpoint(checkpoint), PROFILE)
    transcriber = Transcriber.open(store, build(store, build_spec))
    try:
        options = TranscribeOptions(vad_filter=False, without_timestamps=True, temperature=(0.0,))
        return transcriber.transcribe(AudioClip(samples=np.zeros(16_000, np.float32)), options).text
    finally:
        transcriber.close()


def add_rows(tensors: Tensors, rows: NDArray[Any]) -> Tensors:
    return tensors | {EMBEDDING: np.concatenate([tensors[EMBEDDING], rows])}


def test_a_padded_vocabulary_with_an_added_token_under_a_wrappers_prefix_says_what_it_was_trained_to(
    scripted: Path, tmp_path: Path
) -> None:
    (world,) = Tokenizer.from_file(scripted / "tokenizer.json", N_VOCAB).encode(" world")

    def change(tensors: Tensors) -> Tensors:
        embedding = tensors[EMBEDDING].copy()
        moved = embedding[[world]].copy()
        embedding[world] = 0
        padding = np.full((51_904 - N_VOCAB - 1, TINY_DIMS.n_text_state), 9.0, np.float32)
        changed = add_rows(tensors | {EMBEDDING: embedding}, np.concatenate([moved, padding]))
        return {f"module.{name}": value for name, value in changed.items()}

    tuned = fine_tune(scripted, tmp_path / "tuned", change, [" Welt"])
    assert transcribe(tuned, tmp_path / "cache").strip() == SENTENCE.strip().replace("world", "Welt")


def test_an_output_projection_of_its_own_decides_what_is_said(scripted: Path, tmp_path: Path) -> None:
    (world, dear) = Tokenizer.from_file(scripted / "tokenizer.json", N_VOCAB).encode(" world dear")

    def change(tensors: Tensors) -> Tensors:
        projection = tensors[EMBEDDING].copy()
        projection[[world, dear]] = projection[[dear, world]]
        embedding = tensors[EMBEDDING].copy()
        embedding[dear] = embedding[world]  # what follows it is the same
        return tensors | {EMBEDDING: embedding, "proj_out.weight": projection}

    tuned = fine_tune(scripted, tmp_path / "tuned", change, [])
    assert transcribe(tuned, tmp_path / "cache").strip() == SENTENCE.strip().replace("world", "dear")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_give_no_probabilities_are_refused_by_name_and_nothing_is_stored(
    value: float, scripted: Path, tmp_path: Path
) -> None:
    def change(tensors: Tensors) -> Tensors:
        bias = tensors["model.decoder.layers.0.fc1.bias"].copy()
        bias[3] = value
        return tensors | {"model.decoder.layers.0.fc1.bias": bias}

    checkpoint = open_checkpoint(fine_tune(scripted, tmp_path / "tuned", change, []))
    store = ArtifactStore(tmp_path / "cache")
    with pytest.raises(CheckpointError) as refused:
        build(store, resolve_build_spec("tuned", checkpoint, PROFILE))
    assert refused.value.tensor == "decoder.blocks.0.mlp.0.bias"
    assert list((tmp_path / "cache" / "artifacts").iterdir()) == []


@pytest.mark.parametrize(("field", "value"), [("num_mel_bins", 64), ("max_source_positions", 750)])
def test_windows_that_no_clip_is_cut_to_are_refused_before_compiling(
    field: str, value: int, scripted: Path, tmp_path: Path
) -> None:
    def change(tensors: Tensors) -> Tensors:
        positions = "model.encoder.embed_positions.weight"
        conv = "model.encoder.conv1.weight"
        if field == "num_mel_bins":
            return tensors | {conv: tensors[conv][:, :value]}
        return tensors | {positions: tensors[positions][:value]}

    tuned = fine_tune(scripted, tmp_path / "tuned", change, [])
    config = json.loads((tuned / "config.json").read_text()) | {field: value}
    (tuned / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError):
        resolve_build_spec("tuned", open_checkpoint(tuned), PROFILE)


def test_a_key_depends_on_the_order_of_added_tokens_and_not_on_padding(scripted: Path, tmp_path: Path) -> None:
    def resolve(name: str, added: list[str], padding: int) -> Any:
        rows = np.zeros((len(added) + padding, TINY_DIMS.n_text_state), np.float32)
        tuned = fine_tune(scripted, tmp_path / name, lambda tensors: add_rows(tensors, rows), added)
        return resolve_build_spec("tuned", open_checkpoint(tuned), PROFILE)

    assert "vocabulary" not in resolve("padded", [], 40).facts
    assert "vocabulary" in resolve("added", ["a1"], 0).facts
    assert resolve("both", ["a1"], 40).spec.dims.n_vocab == N_VOCAB + 1


def test_the_name_of_a_lora_directory_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text('{"base_model_name_or_path": "openai/whisper-small"}')
    with pytest.raises(CheckpointError, match="merge_and_unload"):
        resolve_model(str(tmp_path), cache=tmp_path / "cache", offline=True)
