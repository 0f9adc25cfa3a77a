"""Which parameters are split across ranks, and how: one table for every target.

Canonical names as in model/parameters. Heads are padded with zero heads to a multiple of tp, the vocabulary with
zero rows; zero heads add nothing through the output matrix, and the graph never chooses a padded token.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from neuron_whisper.errors import InvalidOption
from neuron_whisper.model.dims import WhisperDims

Array = NDArray[np.floating]


class Split(Enum):
    """COLUMN: rows of (out, in), and the bias; ROW: columns of (out, in), bias whole; VOCAB: rows; REPLICATED: none."""

    COLUMN = "column"
    ROW = "row"
    VOCAB = "vocab"
    REPLICATED = "replicated"


_COLUMN = ("query", "key", "value", "mlp.0")
_ROW = ("out", "mlp.2")


def get_split(name: str) -> Split:
    """How parameter `name` is split: get_split("decoder.blocks.0.attn.out.weight") -> Split.ROW."""
    if name in ("decoder.token_embedding.weight", "decoder.output_projection.weight"):
        return Split.VOCAB
    layer, _, kind = name.rpartition(".")
    if ".blocks." in name and kind in ("weight", "bias"):
        if layer.endswith(_COLUMN):
            return Split.COLUMN
        if layer.endswith(_ROW):
            return Split.ROW if kind == "weight" else Split.REPLICATED
    return Split.REPLICATED


def pad_heads(heads: int, tp: int) -> int:
    """The next multiple of tp: pad_heads(20, 8) -> 24."""
    return -(-heads // tp) * tp


def pad_vocab(n_vocab: int, tp: int) -> int:
    """The next multiple of tp: pad_vocab(51866, 4) -> 51868."""
    return -(-n_vocab // tp) * tp


def check_tp(dims: WhisperDims, tp: int) -> None:
    """Raises InvalidOption when tp does not divide the MLP's width, or leaves a rank with padding alone."""
    width = 4 * dims.n_text_state
    heads = min(dims.n_audio_head, dims.n_text_head)
    if tp < 1 or width % tp or tp > heads:
        raise InvalidOption("tp", tp, f"a divisor of {width} (the MLP's width) that is at most {heads} (heads)")


def shard(name: str, value: Array, dims: WhisperDims, tp: int, rank: int) -> Array:
    """Rank's part of a whole parameter, padding included. A view where nothing is padded."""
    axis = _get_split_axis(name)
    if axis is None or tp == 1:
        return value
    value = _pad(name, value, axis, dims, tp)
    size = value.shape[axis] // tp
    return np.take(value, range(rank * size, (rank + 1) * size), axis) if axis else value[rank * size :][:size]


def unshard(name: str, parts: Sequence[Array], dims: WhisperDims) -> Array:
    """The whole parameter from all ranks' parts; the inverse of shard."""
    axis = _get_split_axis(name)
    if axis is None:
        return parts[0]
    return np.take(np.concatenate(parts, axis), range(_unpadded_length(name, dims)), axis)


def _get_split_axis(name: str) -> int | None:
    match get_split(name):
        case Split.COLUMN | Split.VOCAB:
            return 0
        case Split.ROW:
            return 1
        case _:
            return None


def _unpadded_length(name: str, dims: WhisperDims) -> int:
    """Length of the split axis before padding."""
    if get_split(name) is Split.VOCAB:
        return dims.n_vocab
    state = dims.n_audio_state if name.startswith("encoder.") else dims.n_text_state
    return 4 * state if ".mlp." in name else state


def _pad(name: str, value: Array, axis: int, dims: WhisperDims, tp: int) -> Array:
    if get_split(name) is Split.VOCAB:
        length = pad_vocab(dims.n_vocab, tp)
    elif ".mlp." in name:
        length = value.shape[axis]
    else:
        is_audio = name.startswith("encoder.")
        heads = dims.n_audio_head if is_audio else dims.n_text_head
        state = dims.n_audio_state if is_audio else dims.n_text_state
        length = pad_heads(heads, tp) * (state // heads)
    missing = length - value.shape[axis]
    if not missing:
        return value
    widths = [(0, 0)] * value.ndim
    widths[axis] = (0, missing)
    return np.pad(value, widths)
