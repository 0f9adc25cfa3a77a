"""The parameters of Whisper: openai/whisper's names, and the shape of each."""

from __future__ import annotations

import reprlib
from dataclasses import fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from neuron_whisper.errors import CheckpointError
from neuron_whisper.model.dims import WhisperDims

ENCODER_POSITIONS = "encoder.positional_embedding"
TOKEN_EMBEDDING = "decoder.token_embedding.weight"  # noqa: S105 - no password

# Of a model whose projection to logits was trained apart from the embedding; no published Whisper has one.
OUTPUT_PROJECTION = "decoder.output_projection.weight"

# Far above any published Whisper; a damaged config must not make the table below endless.
MAX_DIM = 1_000_000
MAX_LAYERS = 256


def expected_shapes(dims: WhisperDims) -> dict[str, tuple[int, ...]]:
    """Every parameter and its shape, in the order of openai/whisper's state dict.

    Linear weights are (out, in), convolutions (out, in, 3). Attention keys have no bias, and the output
    projection is the token embedding, so it has no entry (OUTPUT_PROJECTION is of fine-tuned models alone).
    """
    shapes: dict[str, tuple[int, ...]] = {}

    def weighted(name: str, *shape: int, has_bias: bool = True) -> None:
        shapes[f"{name}.weight"] = shape
        if has_bias:
            shapes[f"{name}.bias"] = shape[:1]

    def attention(name: str, state: int) -> None:
        for part in ("query", "key", "value", "out"):
            weighted(f"{name}.{part}", state, state, has_bias=part != "key")
        weighted(f"{name}_ln", state)

    def block(name: str, state: int, *, has_cross: bool) -> None:
        attention(f"{name}.attn", state)
        if has_cross:
            attention(f"{name}.cross_attn", state)
        weighted(f"{name}.mlp.0", 4 * state, state)
        weighted(f"{name}.mlp.2", state, 4 * state)
        weighted(f"{name}.mlp_ln", state)

    audio, text = dims.n_audio_state, dims.n_text_state
    weighted("encoder.conv1", audio, dims.n_mels, 3)
    weighted("encoder.conv2", audio, audio, 3)
    shapes[ENCODER_POSITIONS] = (dims.n_audio_ctx, audio)
    for layer in range(dims.n_audio_layer):
        block(f"encoder.blocks.{layer}", audio, has_cross=False)
    weighted("encoder.ln_post", audio)
    shapes[TOKEN_EMBEDDING] = (dims.n_vocab, text)
    shapes["decoder.positional_embedding"] = (dims.n_text_ctx, text)
    for layer in range(dims.n_text_layer):
        block(f"decoder.blocks.{layer}", text, has_cross=True)
    weighted("decoder.ln", text)
    return shapes


def sinusoids(length: int, channels: int) -> NDArray[np.float32]:
    """Encoder positions, (length, channels): sines, then cosines (openai/whisper model.py sinusoids)."""
    increment = np.log(10_000.0) / (channels // 2 - 1)
    rates = np.exp(-increment * np.arange(channels // 2))
    angles = np.arange(length)[:, None] * rates[None, :]
    return np.concatenate([np.sin(angles), np.cos(angles)], axis=1).astype(np.float32)


def check_dims(dims: WhisperDims, file: Path) -> WhisperDims:
    """The same dims. Raises CheckpointError, about `file`, when no Whisper can have them."""
    for field in fields(dims):
        value = getattr(dims, field.name)
        limit = MAX_LAYERS if field.name.endswith("_layer") else MAX_DIM
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= limit:
            raise CheckpointError(
                file, "", expected=f"{field.name} to be an integer from 1 to {limit}", found=reprlib.repr(value)
            )
    for state, head in (("n_audio_state", "n_audio_head"), ("n_text_state", "n_text_head")):
        width, heads = getattr(dims, state), getattr(dims, head)
        if width % heads or width % 2:
            raise CheckpointError(
                file, "", expected=f"{state} to be even and a multiple of {head} = {heads}", found=width
            )
    if dims.n_audio_state != dims.n_text_state:
        raise CheckpointError(
            file,
            "",
            expected=f"n_text_state to equal n_audio_state = {dims.n_audio_state}",
            found=dims.n_text_state,
        )
    return dims
