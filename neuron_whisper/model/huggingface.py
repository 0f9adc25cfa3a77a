"""Reading a Hugging Face Whisper directory: safetensors or pytorch_model.bin, whole or in shards.

A safetensors file is a u64 header length, a JSON header {name: {dtype, shape, data_offsets}}, then the data.
"""

from __future__ import annotations

import math
import reprlib
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from neuron_whisper.errors import CheckpointError
from neuron_whisper.host.json_files import parse_json, read_json_file
from neuron_whisper.model.dims import WhisperDims
from neuron_whisper.model.parameters import (
    ENCODER_POSITIONS,
    OUTPUT_PROJECTION,
    TOKEN_EMBEDDING,
    check_dims,
    expected_shapes,
)
from neuron_whisper.model.stored_tensors import (
    BUFFERS,
    MERGE_ADVICE,
    STORED_DTYPES,
    CheckpointContents,
    StoredTensor,
    TensorSource,
    WeightFile,
    are_sizes,
    find_own_projection,
    map_tensors,
    strip_prefix,
)
from neuron_whisper.model.torch_zip import TorchZip

WEIGHT_FILES = ("model.safetensors", "pytorch_model.bin")  # first choice first; sharded: with .index.json behind
DTYPES = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}
MAX_HEADER_BYTES = 8 << 20  # large-v3's has 0.2 MB; safetensors allows 100 MB, of which Python makes gigabytes
MAX_SHARDS = 1000
PROJECTION = "proj_out.weight"

# A tokenizer without tokenizer.json, as older trainers save it. All decide the result; the first two have to be there.
SLOW_TOKENIZER_FILES = (
    "vocab.json",
    "merges.txt",
    "added_tokens.json",
    "special_tokens_map.json",
    "tokenizer_config.json",
)
ADAPTER_CONFIG = "adapter_config.json"  # peft's, beside the weights of a LoRA adapter

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


def has_slow_tokenizer(directory: Path) -> bool:
    return all((directory / name).is_file() for name in SLOW_TOKENIZER_FILES[:2])


def describe_adapter(directory: Path) -> CheckpointError:
    """The error for a directory with a LoRA adapter: which model it belongs to, and what to do."""
    path = directory / ADAPTER_CONFIG
    try:
        base = _read_json(path).get("base_model_name_or_path")
    except CheckpointError:
        base = None
    of = f" of {base[:200]}" if isinstance(base, str) and base else ""
    return CheckpointError(path, "", expected=f"whole weights; {MERGE_ADVICE}", found=f"a LoRA adapter{of}")


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
    values = list(weight_map.values()) if isinstance(weight_map, dict) else []
    if not values or any(not isinstance(name, str) or Path(name).name != name for name in values):
        raise CheckpointError(
            index, "", expected="a weight_map to files in its directory", found=reprlib.repr(weight_map)
        )
    names = sorted(set(values))
    if len(names) > MAX_SHARDS:
        raise CheckpointError(index, "", expected=f"at most {MAX_SHARDS} files", found=len(names))
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
    # "model." is in front, or nothing (a bare WhisperModel), or what a trainer's wrapper added
    stored = strip_prefix(found, "encoder.conv1.weight", PROJECTION)
    shapes = expected_shapes(dims)
    if to_huggingface_name(ENCODER_POSITIONS) not in stored:
        del shapes[ENCODER_POSITIONS]  # they are sinusoids, which Checkpoint computes
    places = {name: TensorSource(to_huggingface_name(name)) for name in shapes}
    tensors = map_tensors(stored, shapes, places, file=index, ignored_names={PROJECTION})
    if (projection := find_own_projection(stored, PROJECTION, tensors[TOKEN_EMBEDDING])) is not None:
        tensors[OUTPUT_PROJECTION] = projection  # as transformers does, whatever tie_word_embeddings says
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
            raise CheckpointError(path, "", expected=f"{name} {expected!r}", found=reprlib.repr(config[name]))
    try:
        return check_dims(WhisperDims.from_hf_config(config), path)
    except KeyError as error:
        raise CheckpointError(path, "", expected=f"a field {error}", found="none") from error


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = read_json_file(path)
    except (OSError, ValueError) as error:
        raise CheckpointError(path, "", expected="readable JSON", found=error) from error
    if not isinstance(value, dict):
        raise CheckpointError(path, "", expected="a JSON object", found=type(value).__name__)
    return value


def _read_torch_state(path: Path) -> dict[str, StoredTensor]:
    archive = TorchZip(path)
    if not isinstance(archive.contents, Mapping):
        raise CheckpointError(path, "", expected="a dict of tensors", found=type(archive.contents).__name__)
    return archive.locate_tensors(archive.contents)


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
        header = parse_json(file.read_bytes(8, header_size).tobytes())
    except ValueError as error:
        raise CheckpointError(path, "", expected="a header of JSON", found=reprlib.repr(str(error))) from error
    if not isinstance(header, dict):
        raise CheckpointError(path, "", expected="a header of tensors", found=type(header).__name__)
    start, end, tensors = 8 + header_size, 8 + header_size, {}
    for name, entry in header.items():
        if name != "__metadata__":
            first, last = _parse_offsets(file, name, entry, start)
            end = max(end, start + last)
            if not name.endswith(BUFFERS):
                tensors[name] = _parse_entry(file, name, entry, (start + first, start + last))
    if end != file.size_bytes:
        raise CheckpointError(path, "", expected=f"{end} bytes", found=f"{file.size_bytes} bytes")
    return tensors


def _parse_offsets(file: WeightFile, name: str, entry: object, start: int) -> tuple[int, int]:
    """The first and last byte of a tensor behind the header, checked to be inside the file."""
    match entry:
        case {"dtype": str(), "shape": list(), "data_offsets": [int(first), int(last)]}:
            pass
        case _:
            raise CheckpointError(file.path, name, expected="dtype, shape and data_offsets", found=reprlib.repr(entry))
    if first < 0 or last < first:
        raise CheckpointError(file.path, name, expected="bytes in order", found=f"bytes {first} to {last}")
    if start + last > file.size_bytes:
        raise CheckpointError(
            file.path, name, expected=f"at least {start + last} bytes", found=f"{file.size_bytes} bytes"
        )
    return first, last


def _parse_entry(file: WeightFile, name: str, entry: Mapping[str, Any], place: tuple[int, int]) -> StoredTensor:
    code, shape, (first, last) = entry["dtype"], entry["shape"], place
    if code not in DTYPES:
        raise CheckpointError(file.path, name, expected=f"one of {', '.join(DTYPES)}", found=reprlib.repr(code))
    if not are_sizes(shape):
        raise CheckpointError(file.path, name, expected="a shape", found=reprlib.repr(shape))
    expected = math.prod(shape) * STORED_DTYPES[DTYPES[code]].itemsize
    if last - first != expected:
        raise CheckpointError(
            file.path, name, expected=f"{expected} bytes for {tuple(shape)}", found=f"{last - first} bytes"
        )
    return StoredTensor(file=file, name=name, dtype=DTYPES[code], shape=tuple(shape), offset=first)
