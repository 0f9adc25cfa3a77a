"""Reading a CTranslate2 Whisper directory.

model.bin, little endian: u32 version, str spec, u32 revision, u32 number of variables, then for each: str
name, u8 rank, u32 dims[rank], u8 type, u32 bytes, the bytes; then u32 number of aliases and (str alias, str
variable) each. A str is a u16 length that counts its closing NUL, and the characters. No padding anywhere.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from neuron_whisper.errors import CheckpointError
from neuron_whisper.host.json_files import read_json_file
from neuron_whisper.model.dims import WhisperDims
from neuron_whisper.model.parameters import OUTPUT_PROJECTION, TOKEN_EMBEDDING, check_dims, expected_shapes
from neuron_whisper.model.stored_tensors import (
    FLOAT_DTYPES,
    STORED_DTYPES,
    CheckpointContents,
    StoredTensor,
    TensorSource,
    WeightFile,
    find_own_projection,
    map_tensors,
)

VERSIONS = (5, 6)  # of the binary layout; 6 moved the vocabulary's settings to config.json
DTYPES = ("float32", "int8", "int16", "int32", "float16", "bfloat16")  # by type id
GELU = 3  # ctranslate2 ActivationType

# Settings that change the meaning of the weights, with Whisper's value.
EXPECTED_SETTINGS = {"decoder/pre_norm": 1, "decoder/activation": GELU, "decoder/scale_embeddings": 0}
PROJECTION = "decoder/projection/weight"

_RENAMES = (
    (".blocks.", "/layer_"),
    (".mlp.0.", "/ffn/linear_0/"),
    (".mlp.2.", "/ffn/linear_1/"),
    (".mlp_ln.", "/ffn/layer_norm/"),
    (".cross_attn_ln.", "/attention/layer_norm/"),
    (".attn_ln.", "/self_attention/layer_norm/"),
    ("encoder.ln_post.", "encoder/layer_norm/"),
    ("decoder.ln.", "decoder/layer_norm/"),
    (".token_embedding.", "/embeddings/"),
    (".positional_embedding", "/position_encodings/encodings"),
    ("encoder.conv1.", "encoder/conv1/"),
    ("encoder.conv2.", "encoder/conv2/"),
    ("layer_norm/weight", "layer_norm/gamma"),
    ("layer_norm/bias", "layer_norm/beta"),
)
# Self-attention fuses query, key and value; cross-attention fuses key and value.
_FUSED_PROJECTIONS = {
    ".attn.": {"query": (0, 0, 3), "key": (0, 1, 3), "value": (0, 2, 3), "out": (1, 0, 1)},
    ".cross_attn.": {"query": (0, 0, 1), "key": (1, 0, 2), "value": (1, 1, 2), "out": (2, 0, 1)},
}


def find_weight_parts(directory: Path) -> tuple[Path, ...]:
    """model.bin, or model.bin.part1, .part2 ... in order; empty when there is neither.

    Raises CheckpointError when a part is missing between others.
    """
    whole = directory / "model.bin"
    if whole.exists():
        return (whole,)
    found = (re.fullmatch(r"model\.bin\.part(\d+)", path.name) for path in directory.glob("model.bin.part*"))
    numbers = {int(part[1]) for part in found if part}
    last = max(numbers, default=0)
    for number in range(1, last + 1):  # ends at the first that is missing, whatever the last one's number
        part = directory / f"model.bin.part{number}"
        if number not in numbers or not part.exists():
            raise CheckpointError(part, "", expected=f"{last} parts, this one too", found="no such file")
    return tuple(directory / f"model.bin.part{number}" for number in range(1, last + 1))


def read_ctranslate2(directory: Path) -> CheckpointContents:
    """Opens the directory's weights. Raises CheckpointError for anything but a whole Whisper model."""
    file = WeightFile(*find_weight_parts(directory))
    variables, aliases = _read_variables(file)
    settings = {name: _read_scalar(tensor) for name, tensor in variables.items() if not tensor.shape}
    for name, expected in EXPECTED_SETTINGS.items():
        if settings.get(name, expected) != expected:
            raise CheckpointError(file.path, name, expected=expected, found=settings[name])
    stored = {name: _attach_scale(name, variables) for name in variables if _is_weight(name, variables)}
    for alias, target in aliases.items():
        if target not in variables:
            raise CheckpointError(file.path, alias, expected=f"a variable {target}", found="no such variable")
        if target in stored:
            stored.setdefault(alias, stored[target])
    dims = check_dims(_infer_dims(stored, settings, file), file.path)
    shapes = expected_shapes(dims)
    places = {name: _locate_tensor(name) for name in shapes}
    tensors = map_tensors(stored, shapes, places, file=file.path, ignored_names={PROJECTION, *aliases})
    if (projection := find_own_projection(stored, PROJECTION, tensors[TOKEN_EMBEDDING])) is not None:
        tensors[OUTPUT_PROJECTION] = projection
    return CheckpointContents(
        dims=dims, tensors=tensors, files=file.parts, alignment_heads=_read_alignment_heads(directory)
    )


def _read_variables(file: WeightFile) -> tuple[dict[str, StoredTensor], dict[str, str]]:
    """Every variable of the file, and its aliases."""
    cursor = _Cursor(file)
    version = cursor.read_number("I")
    if version not in VERSIONS:
        raise CheckpointError(file.path, "", expected=f"CTranslate2 binary version {VERSIONS}", found=version)
    spec = cursor.read_text()
    if spec != "WhisperSpec":
        raise CheckpointError(file.path, "", expected="a WhisperSpec model", found=spec)
    cursor.read_number("I")  # the revision of the spec; names and settings are checked below instead
    variables: dict[str, StoredTensor] = {}
    for _ in range(cursor.read_number("I")):
        name = cursor.read_text()
        shape = tuple(cursor.read_number("I") for _ in range(cursor.read_number("B")))
        type_id, size = cursor.read_number("B"), cursor.read_number("I")
        if type_id >= len(DTYPES):
            raise CheckpointError(file.path, name, expected=f"a type id below {len(DTYPES)}", found=type_id)
        expected = math.prod(shape) * STORED_DTYPES[DTYPES[type_id]].itemsize
        if size != expected:
            raise CheckpointError(file.path, name, expected=f"{expected} bytes for {shape}", found=f"{size} bytes")
        variables[name] = StoredTensor(
            file=file, name=name, dtype=DTYPES[type_id], shape=shape, offset=cursor.skip(size, name)
        )
    aliases = {cursor.read_text(): cursor.read_text() for _ in range(cursor.read_number("I"))}
    if cursor.offset != file.size_bytes:
        raise CheckpointError(file.path, "", expected=f"{cursor.offset} bytes", found=f"{file.size_bytes} bytes")
    return variables, aliases


class _Cursor:
    """Reads a WeightFile from front to back. Raises CheckpointError where it ends too early."""

    def __init__(self, file: WeightFile) -> None:
        self.file, self.offset = file, 0

    def skip(self, count: int, tensor: str = "") -> int:
        """The offset of the next `count` bytes, which are passed over."""
        start, end = self.offset, self.offset + count
        if end > self.file.size_bytes:
            found = f"{self.file.size_bytes} bytes"
            raise CheckpointError(self.file.parts[-1], tensor, expected=f"at least {end} bytes", found=found)
        self.offset = end
        return start

    def read(self, count: int) -> bytes:
        return self.file.read_bytes(self.skip(count), count).tobytes()

    def read_number(self, code: str) -> int:
        (value,) = struct.unpack(f"<{code}", self.read(struct.calcsize(f"<{code}")))
        return int(value)

    def read_text(self) -> str:
        raw = self.read(self.read_number("H"))
        try:
            if raw[-1:] == b"\0":
                return raw[:-1].decode()
        except UnicodeDecodeError:
            pass
        raise CheckpointError(self.file.path, "", expected="a NUL-terminated name", found=raw[:40])


def _is_weight(name: str, variables: Mapping[str, StoredTensor]) -> bool:
    """Settings are scalars; a scale belongs to its weight."""
    is_scale = name.endswith("_scale") and name.removesuffix("_scale") in variables
    return bool(variables[name].shape) and not is_scale


def _attach_scale(name: str, variables: Mapping[str, StoredTensor]) -> StoredTensor:
    """The variable together with the scale of its integers. Raises CheckpointError when that does not fit."""
    weight, scale = variables[name], variables.get(f"{name}_scale")
    if weight.dtype not in ("int8", "int16"):
        return weight
    allowed = ((), (1,), weight.shape[:1])
    if scale is None or scale.shape not in allowed or scale.dtype not in FLOAT_DTYPES:
        found = "no such tensor" if scale is None else f"{scale.dtype} {scale.shape}"
        raise CheckpointError(
            weight.file.path, f"{name}_scale", expected=f"one scale, or {weight.shape[0]}", found=found
        )
    return replace(weight, scale=replace(scale, shape=()) if scale.shape == (1,) else scale)


def _read_scalar(tensor: StoredTensor) -> float:
    return float(tensor.read())


def _infer_dims(stored: Mapping[str, StoredTensor], settings: Mapping[str, float], file: WeightFile) -> WhisperDims:
    """From shapes and the head counts: CTranslate2's config.json has no sizes."""

    def shape(name: str, rank: int) -> tuple[int, ...]:
        found = stored[name].shape if name in stored else None
        if found is None or len(found) != rank:
            raise CheckpointError(
                file.path,
                name,
                expected=f"{rank} dimensions",
                found="no such tensor" if found is None else f"shape {found}",
            )
        return found

    def heads(side: str) -> int:
        if f"{side}/num_heads" not in settings:
            raise CheckpointError(
                file.path, f"{side}/num_heads", expected="the number of heads", found="no such variable"
            )
        found = settings[f"{side}/num_heads"]
        if not found.is_integer():  # nor NaN, nor infinity
            raise CheckpointError(file.path, f"{side}/num_heads", expected="a whole number", found=found)
        return int(found)

    def layers(side: str) -> int:
        found = (re.match(rf"{side}/layer_(\d+)/", name) for name in stored)
        return max((int(layer[1]) + 1 for layer in found if layer), default=0)

    n_vocab, n_text_state = shape("decoder/embeddings/weight", 2)
    n_audio_state, n_mels, _ = shape("encoder/conv1/weight", 3)
    return WhisperDims(
        n_mels=n_mels,
        n_audio_ctx=shape("encoder/position_encodings/encodings", 2)[0],
        n_audio_state=n_audio_state,
        n_audio_head=heads("encoder"),
        n_audio_layer=layers("encoder"),
        n_vocab=n_vocab,
        n_text_ctx=shape("decoder/position_encodings/encodings", 2)[0],
        n_text_state=n_text_state,
        n_text_head=heads("decoder"),
        n_text_layer=layers("decoder"),
    )


def _locate_tensor(canonical: str) -> TensorSource:
    """encoder.blocks.0.attn.key.weight -> rows 1 of 3 of encoder/layer_0/self_attention/linear_0/weight

    The key's part of a fused bias has no canonical name and is dropped: added to every key alike, a bias
    cannot change the softmax.
    """
    for attention, parts in _FUSED_PROJECTIONS.items():
        block, found, rest = canonical.partition(attention)
        if found:
            name, kind = rest.split(".")
            linear, part, of = parts[name]
            block = block.replace(".blocks.", "/layer_")
            module = "self_attention" if attention == ".attn." else "attention"
            return TensorSource(f"{block}/{module}/linear_{linear}/{kind}", part, of)
    name = canonical
    for ours, theirs in _RENAMES:
        name = name.replace(ours, theirs)
    return TensorSource(name)


def _read_alignment_heads(directory: Path) -> object:
    """The unchecked list of config.json; None without a config."""
    path = directory / "config.json"
    if not path.exists():
        return None
    try:
        config = read_json_file(path)
    except (OSError, ValueError) as error:
        raise CheckpointError(path, "", expected="JSON", found=error) from error
    return config.get("alignment_heads") if isinstance(config, dict) else None
