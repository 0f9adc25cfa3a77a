"""Reading a Hugging Face Whisper directory: safetensors or pytorch_model.bin, whole or in shards.

A safetensors file is a u64 header length, a JSON header {name: {dtype, shape, data_offsets}}, then the data.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from neuron_whisper.errors import CheckpointError
from neuron_whisper.model.dims import WhisperDims
from neuron_whisper.model.parameters import ENCODER_POSITIONS, TOKEN_EMBEDDING, check_dims, expected_shapes
from neuron_whisper.model.stored_tensors import (
    STORED_DTYPES,
    CheckpointContents,
    StoredTensor,
    TensorSource,
    WeightFile,
    map_tensors,
)
from neuron_whisper.model.torch_zip import TorchZip

WEIGHT_FILES = ("model.safetensors", "pytorch_model.bin")  # first choice first; sharded: with .index.json behind
DTYPES = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}
MAX_HEADER_BYTES = 100_000_000  # safetensors' own limit
PROJECTION = "proj_out.weight"

# Settings that change the meaning of the weights, with Whisper's value.
EXPECTED_SETTINGS = {"model_type": "whisper", "activation_function": "gelu", "scale_embedding": False}

_RENAMES = (
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
    (".out.", ".out_proj."),
    (".ln_post.", ".layer_norm."),
    ("decoder.ln.", "decoder.layer_norm."),
    (".blocks.", ".layers."),
    (".token_embedding.", ".embed_tokens."),
    (".positional_embedding", ".embed_positions.weight"),
)


def find_weight_index(directory: Path) -> Path | None:
    """The file that holds or lists the weights: model.safetensors, its index, or the .bin forms; or None."""
    names = [name for whole in WEIGHT_FILES for name in (whole, f"{whole}.index.json")]
    return next((directory / name for name in names if (directory / name).exists()), None)


def list_shard_files(index: Path) -> tuple[Path, ...]:
    """The weight files behind `find_weight_index`: itself, or the shards it lists, in the same directory.

    Raises CheckpointError for an index that lists no files, or files elsewhere.
    """
    if index.suffix != ".json":
        return (index,)
    weight_map = _read_json(index).get("weight_map")
    names = sorted(set(weight_map.values())) if isinstance(weight_map, dict) else []
    if not names or any(not isinstance(name, str) or Path(name).name != name for name in names):
        raise CheckpointError(index, "", expected="a weight_map to files in its directory", found=names)
    return tuple(index.parent / name for name in names)


def read_huggingface(directory: Path) -> CheckpointContents:
    """Opens the directory's weights. Raises CheckpointError for anything but a whole Whisper model."""
    dims = _read_dims(directory / "config.json")
    index = find_weight_index(directory)
    assert index is not None
    files = list_shard_files(index)
    found: dict[str, StoredTensor] = {}
    for file in files:
        found |= _read_safetensors(file) if file.suffix == ".safetensors" else _read_torch_state(file)
    # A bare WhisperModel was saved without the "model." in front.
    stored = {name.removeprefix("model."): tensor for name, tensor in found.items()}
    shapes = expected_shapes(dims)
    if to_huggingface_name(ENCODER_POSITIONS) not in stored:
        del shapes[ENCODER_POSITIONS]  # they are sinusoids, which Checkpoint computes
    places = {name: TensorSource(to_huggingface_name(name)) for name in shapes}
    tensors = map_tensors(stored, shapes, places, file=index, ignored_names={PROJECTION})
    projection = stored.get(PROJECTION)
    if projection is not None and not projection.equals(tensors[TOKEN_EMBEDDING]):
        raise CheckpointError(
            projection.file.path, PROJECTION, expected="the token embedding again", found="other values"
        )
    # before transformers 4.27 the generation settings were in config.json
    generation_config = directory / "generation_config.json"
    settings = _read_json(generation_config if generation_config.exists() else directory / "config.json")
    return CheckpointContents(
        dims=dims,
        tensors=tensors,
        files=files,
        alignment_heads=settings.get("alignment_heads"),
        suppress_tokens=settings.get("suppress_tokens"),
    )


def to_huggingface_name(name: str) -> str:
    """decoder.blocks.0.attn.query.weight -> decoder.layers.0.self_attn.q_proj.weight"""
    for ours, theirs in _RENAMES:
        name = name.replace(ours, theirs)
    return name


def _read_dims(path: Path) -> WhisperDims:
    config = _read_json(path)
    for name, expected in EXPECTED_SETTINGS.items():
        if config.get(name, expected) != expected:
            raise CheckpointError(path, "", expected=f"{name} {expected!r}", found=repr(config[name]))
    try:
        return check_dims(WhisperDims.from_hf_config(config), path)
    except KeyError as error:
        raise CheckpointError(path, "", expected=f"a field {error}", found="none") from error


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise CheckpointError(path, "", expected="readable JSON", found=error) from error
    if not isinstance(value, dict):
        raise CheckpointError(path, "", expected="a JSON object", found=type(value).__name__)
    return value


def _read_torch_state(path: Path) -> dict[str, StoredTensor]:
    archive = TorchZip(path)
    if not isinstance(archive.contents, Mapping):
        raise CheckpointError(path, "", expected="a dict of tensors", found=type(archive.contents).__name__)
    return {str(name): archive.locate_tensor(str(name), value) for name, value in archive.contents.items()}


def _read_safetensors(path: Path) -> dict[str, StoredTensor]:
    """Every tensor of one file, after checking that its bytes are there."""
    file = WeightFile(path)
    if file.size_bytes < 8:
        raise CheckpointError(path, "", expected="at least 8 bytes", found=f"{file.size_bytes} bytes")
    (header_size,) = struct.unpack("<Q", file.read_bytes(0, 8).tobytes())
    if header_size > min(MAX_HEADER_BYTES, file.size_bytes - 8):
        raise CheckpointError(
            path, "", expected=f"a header of {header_size} bytes", found=f"{file.size_bytes} bytes in all"
        )
    try:
        header = json.loads(file.read_bytes(8, header_size).tobytes())
        entries = {name: entry for name, entry in header.items() if name != "__metadata__"}
    except (ValueError, AttributeError) as error:
        raise CheckpointError(path, "", expected="a header of JSON", found=error) from error
    start = 8 + header_size
    tensors = {name: _parse_entry(file, name, entry, start) for name, entry in entries.items()}
    end = max((tensor.end_offset for tensor in tensors.values()), default=start)
    if end != file.size_bytes:
        raise CheckpointError(path, "", expected=f"{end} bytes", found=f"{file.size_bytes} bytes")
    return tensors


def _parse_entry(file: WeightFile, name: str, entry: object, start: int) -> StoredTensor:
    match entry:
        case {"dtype": str(code), "shape": list(shape), "data_offsets": [int(first), int(last)]}:
            pass
        case _:
            raise CheckpointError(file.path, name, expected="dtype, shape and data_offsets", found=entry)
    if code not in DTYPES:
        raise CheckpointError(file.path, name, expected=f"one of {', '.join(DTYPES)}", found=code)
    if not all(type(size) is int and size >= 0 for size in shape):
        raise CheckpointError(file.path, name, expected="a shape", found=shape)
    expected = math.prod(shape) * STORED_DTYPES[DTYPES[code]].itemsize
    if first < 0 or last - first != expected:
        raise CheckpointError(
            file.path, name, expected=f"{expected} bytes for {tuple(shape)}", found=f"bytes {first} to {last}"
        )
    if start + last > file.size_bytes:
        raise CheckpointError(
            file.path, name, expected=f"at least {start + last} bytes", found=f"{file.size_bytes} bytes"
        )
    return StoredTensor(file=file, name=name, dtype=DTYPES[code], shape=tuple(shape), offset=start + first)
