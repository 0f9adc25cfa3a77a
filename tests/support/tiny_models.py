"""A small random checkpoint in Hugging Face's format, whole enough for every command, and a profile for it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import DTypeLike, NDArray
from safetensors.numpy import save_file

from neuron_whisper.model.dims import WhisperDims
from neuron_whisper.model.parameters import expected_shapes
from neuron_whisper.text.tiktoken_import import find_packaged_ranks, tokenizer_json_from_tiktoken

TINY_DIMS = WhisperDims(
    n_mels=80,
    n_audio_ctx=1500,
    n_audio_state=64,
    n_audio_head=1,
    n_audio_layer=1,
    n_vocab=51864,
    n_text_ctx=448,
    n_text_state=64,
    n_text_head=1,
    n_text_layer=1,
)

# Small, so that it compiles in seconds and a window ends after a few tokens.
TINY_PROFILE = """\
format = 1
[target]
name = "cpu"
dtype = "float32"
[shapes]
slots = 2
prompt_buckets = [4, 16]
text_context = 24
align = false
[weights]
dtype = "float32"
"""

_HF_NAMES = (
    (".blocks.", ".layers."),
    (".cross_attn_ln.", ".encoder_attn_layer_norm."),
    (".attn_ln.", ".self_attn_layer_norm."),
    (".mlp_ln.", ".final_layer_norm."),
    (".mlp.0.", ".fc1."),
    (".mlp.2.", ".fc2."),
    (".cross_attn.", ".encoder_attn."),
    (".attn.", ".self_attn."),
    (".query.", ".q_proj."),
    (".key.", ".k_proj."),
    (".value.", ".v_proj."),
    ("_attn.out.", "_attn.out_proj."),
    (".ln_post.", ".layer_norm."),
    ("decoder.ln.", "decoder.layer_norm."),
    (".token_embedding.", ".embed_tokens."),
    (".positional_embedding", ".embed_positions.weight"),
)


def tiny_weights(dims: WhisperDims = TINY_DIMS, seed: int = 0) -> dict[str, NDArray[np.float32]]:
    """Seeded, of a spread at which nothing overflows and every part has a say; names are openai/whisper's."""
    rng = np.random.default_rng(seed)
    weights: dict[str, NDArray[np.float32]] = {}
    for name, shape in expected_shapes(dims).items():
        values = rng.standard_normal(shape, np.float32)
        if name.endswith(("ln.weight", "ln_post.weight")):
            weights[name] = 1 + 0.1 * values
        elif len(shape) > 1 and "embedding" not in name:
            weights[name] = values * np.float32(1 / np.sqrt(np.prod(shape[1:])))
        else:
            weights[name] = values * np.float32(0.2)
    return weights


def write_tiny_checkpoint(
    directory: Path, *, dims: WhisperDims = TINY_DIMS, seed: int = 0,
    weights: dict[str, NDArray[np.float32]] | None = None, dtype: DTypeLike = np.float32,
) -> Path:  # fmt: skip
    """A directory as transformers saves one, with a tokenizer.json from openai-whisper's vocabulary.

    `weights`: those of the checkpoint, by openai/whisper's names; random ones from `seed` by default.
    """
    directory.mkdir(parents=True, exist_ok=True)
    config = {
        "model_type": "whisper",
        "num_mel_bins": dims.n_mels,
        "max_source_positions": dims.n_audio_ctx,
        "d_model": dims.n_audio_state,
        "encoder_attention_heads": dims.n_audio_head,
        "encoder_layers": dims.n_audio_layer,
        "vocab_size": dims.n_vocab,
        "max_target_positions": dims.n_text_ctx,
        "decoder_attention_heads": dims.n_text_head,
        "decoder_layers": dims.n_text_layer,
    }
    (directory / "config.json").write_text(json.dumps(config))
    tensors = {}
    for name, value in (weights or tiny_weights(dims, seed)).items():
        for ours, theirs in _HF_NAMES:
            name = name.replace(ours, theirs)
        tensors[f"model.{name}"] = value.astype(dtype, copy=False)
    save_file(tensors, directory / "model.safetensors")
    ranks = find_packaged_ranks(dims.is_multilingual)
    (directory / "tokenizer.json").write_text(tokenizer_json_from_tiktoken(ranks, dims.n_vocab))
    return directory


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a checkpoint; do not change it."""
    return write_tiny_checkpoint(tmp_path_factory.mktemp("models") / "tiny-random.en")


@pytest.fixture(scope="session")
def tiny_profile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A profile's file that compiles the checkpoint for the CPU in seconds."""
    path = tmp_path_factory.mktemp("profiles") / "tiny.toml"
    path.write_text(TINY_PROFILE)
    return path
