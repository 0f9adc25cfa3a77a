"""Tensors in weight files: mapped bytes, stored type, shape and scale."""

from __future__ import annotations

import math
import mmap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuron_whisper.errors import CheckpointError
from neuron_whisper.model.dims import WhisperDims

FLOAT_DTYPES = ("float32", "float16", "bfloat16")
STORED_DTYPES: Mapping[str, np.dtype[Any]] = {
    "float32": np.dtype("<f4"),
    "float16": np.dtype("<f2"),
    "bfloat16": np.dtype("<u2"),  # numpy has no bfloat16: its bits are the upper half of a float32
    "int8": np.dtype("i1"),
    "int16": np.dtype("<i2"),
    "int32": np.dtype("<i4"),
}


# Buffers that some versions of openai/whisper, and trainers, store with the parameters; the first may be sparse.
BUFFERS = ("alignment_heads", "decoder.mask", ".position_ids", ".num_batches_tracked")
MAX_RANK, MAX_SIZE = 8, 1 << 40  # of a shape; a hostile one has a million sizes of a thousand digits

# What to do with a LoRA adapter, in peft's words.
MERGE_ADVICE = (
    "merge the adapter into its model (peft: merge_and_unload(), then save_pretrained) and give that directory"
)


def are_sizes(values: Sequence[object]) -> bool:
    """Whether these can be a tensor's sizes, strides or offset: few whole numbers that a file could hold."""
    return len(values) <= MAX_RANK and all(type(value) is int and 0 <= value <= MAX_SIZE for value in values)


class WeightFile:
    """The bytes of a weight file, or of parts that joined are one; mapped, never read as a whole.

    Read-only and safe to share. Raises CheckpointError for a part that cannot be read or is empty.
    """

    __slots__ = ("_ends", "_maps", "parts", "path", "size_bytes")

    def __init__(self, *parts: Path) -> None:
        self.path, self.parts = parts[0], parts
        self._maps: list[mmap.mmap] = []
        self._ends: list[int] = []
        self.size_bytes = 0
        for part in parts:
            try:
                with part.open("rb") as file:
                    mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            except (OSError, ValueError) as error:  # ValueError: an empty file cannot be mapped
                raise CheckpointError(part, "", expected="a readable weight file", found=error) from error
            self.size_bytes += len(mapped)
            self._maps.append(mapped)
            self._ends.append(self.size_bytes)

    def read_bytes(self, offset: int, count: int) -> NDArray[np.uint8]:
        """(count,) bytes: a view of the mapping, or a copy where they extend over two parts."""
        pieces, start = [], 0
        for mapped, end in zip(self._maps, self._ends, strict=True):
            first, last = max(offset, start), min(offset + count, end)
            if first < last:
                pieces.append(np.frombuffer(mapped, np.uint8, last - first, first - start))
            start = end
        if not pieces:
            return np.empty(0, np.uint8)
        return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredTensor:
    """The place of a tensor in its file, and how its bytes become floats when it is read.

    `strides` count elements; None is row-major. `scale` divides integers: one per row, or a single one
    (CTranslate2). The reader that makes one has checked that its bytes are inside the file.
    """

    file: WeightFile
    name: str  # as the file calls it
    dtype: str
    shape: tuple[int, ...]
    offset: int
    strides: tuple[int, ...] | None = None
    scale: StoredTensor | None = None

    @property
    def span_elements(self) -> int:
        """Elements from the first to the last, both counted."""
        if self.strides is None:
            return math.prod(self.shape)
        return 1 + sum((n - 1) * stride for n, stride in zip(self.shape, self.strides, strict=True))

    @property
    def end_offset(self) -> int:
        """Offset of the first byte behind the tensor."""
        return self.offset + self.span_elements * STORED_DTYPES[self.dtype].itemsize

    def slice_rows(self, part: int, parts: int) -> StoredTensor:
        """Part `part` of `parts` equal parts along the first axis, with the scales of its rows."""
        if parts == 1:
            return self
        assert self.strides is None
        assert self.shape[0] % parts == 0
        n_rows = self.shape[0] // parts
        row_bytes = math.prod(self.shape[1:]) * STORED_DTYPES[self.dtype].itemsize
        scale = self.scale
        if scale is not None and scale.shape:
            scale = scale.slice_rows(part, parts)
        return replace(
            self, shape=(n_rows, *self.shape[1:]), offset=self.offset + part * n_rows * row_bytes, scale=scale
        )

    def take_rows(self, count: int) -> StoredTensor:
        """The first rows along the first axis, at most `count`, with their scales."""
        shape = (min(count, self.shape[0]), *self.shape[1:])
        scale = self.scale
        if scale is not None and scale.shape:
            scale = scale.take_rows(count)
        return replace(self, shape=shape, scale=scale)

    def read(self) -> NDArray[Any]:
        """float16 or float32 values, read-only; a view of the file where type and alignment allow it."""
        raw = self.file.read_bytes(self.offset, self.end_offset - self.offset)
        values: NDArray[Any] = raw.view(STORED_DTYPES[self.dtype])
        if not values.flags.aligned:  # CTranslate2 packs without padding; compiled kernels want alignment
            values = values.copy()
        if self.strides is None:
            values = values.reshape(self.shape)
        else:
            item = values.itemsize
            values = np.lib.stride_tricks.as_strided(
                values, self.shape, [stride * item for stride in self.strides], writeable=False
            )
        if self.dtype == "bfloat16":
            values = (values.astype("<u4") << 16).view("<f4")
        elif self.scale is not None:
            scale = self.scale.read().astype(np.float32)
            scale = scale.reshape(scale.shape + (1,) * (values.ndim - scale.ndim))
            values = values.astype(np.float32) / scale
        values.flags.writeable = False
        return values

    def equals(self, other: StoredTensor) -> bool:
        """Whether both are the same bytes of a file, or hold equal values. May read both."""
        if self.shape != other.shape:
            return False
        same_place = (self.file, self.offset, self.dtype) == (other.file, other.offset, other.dtype)
        return same_place or bool(np.array_equal(self.read(), other.read()))


@dataclass(frozen=True, slots=True)
class RowSelection:
    """Some rows of a stored matrix, in an order of their own. A view of the file where they are its first ones."""

    tensor: StoredTensor
    rows: Sequence[int]

    @property
    def dtype(self) -> str:
        return self.tensor.dtype

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self.rows), *self.tensor.shape[1:])

    def read(self) -> NDArray[Any]:
        """As StoredTensor.read."""
        values: NDArray[Any] = self.tensor.read()
        if self.rows == range(len(self.rows)):
            return values[: len(self.rows)]
        chosen: NDArray[Any] = values[np.asarray(self.rows)]
        chosen.flags.writeable = False
        return chosen


@dataclass(frozen=True, slots=True)
class TensorSource:
    """A canonical tensor is part `part` of `parts` equal row blocks of the stored tensor `name`."""

    name: str
    part: int = 0
    parts: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointContents:
    """The result of a reader: tensors by canonical name, dims; the last two fields as the config has them."""

    dims: WhisperDims
    tensors: Mapping[str, StoredTensor]
    files: tuple[Path, ...]
    alignment_heads: object = None
    suppress_tokens: object = None


def strip_prefix(stored: Mapping[str, StoredTensor], anchor: str, projection: str = "") -> dict[str, StoredTensor]:
    """Tensors without what a trainer's wrapper put before every name, such as `module.` or `model.`.

    `anchor` is a parameter that every model has: what stands before it is the prefix. The output projection is
    outside of the inner model in some: its prefix is the beginning of the others'.
    """
    prefixes = [name.removesuffix(anchor) for name in stored if name == anchor or name.endswith(f".{anchor}")]
    if len(prefixes) != 1:
        return dict(stored)
    prefix = prefixes[0]
    found: dict[str, StoredTensor] = {}
    for name, tensor in stored.items():
        is_projection = projection and name.endswith(projection) and prefix.startswith(name.removesuffix(projection))
        found[projection if is_projection else name.removeprefix(prefix)] = tensor
    return found


def find_own_projection(stored: Mapping[str, StoredTensor], name: str, embedding: StoredTensor) -> StoredTensor | None:
    """The output projection, `name`, where its values are others than the token embedding's. Raises CheckpointError."""
    projection = stored.get(name)
    if projection is None or projection.equals(embedding):
        return None
    shapes = {name: embedding.shape}
    return map_tensors({name: projection}, shapes, {name: TensorSource(name)}, file=projection.file.path)[name]


def map_tensors(
    stored: Mapping[str, StoredTensor],
    shapes: Mapping[str, tuple[int, ...]],
    sources: Mapping[str, TensorSource],
    *,
    file: Path,
    ignored_names: Iterable[str] = (),
) -> dict[str, StoredTensor]:
    """Canonical name -> tensor, for each of `shapes`, taken from its place.

    Raises CheckpointError for the first tensor that is missing, misshapen, not of floats (or scaled
    integers), or that belongs to no place and is not in `ignored_names`. `file` is named when one is missing.
    """
    arranged = {}
    for canonical, shape in shapes.items():
        place = sources[canonical]
        whole = (shape[0] * place.parts, *shape[1:])
        tensor = stored.get(place.name)
        if tensor is None:
            raise CheckpointError(file, place.name, expected=f"shape {whole}", found="no such tensor")
        if tensor.shape != whole:
            raise CheckpointError(
                tensor.file.path, place.name, expected=f"shape {whole}", found=f"shape {tensor.shape}"
            )
        if tensor.dtype not in FLOAT_DTYPES and tensor.scale is None:
            raise CheckpointError(
                tensor.file.path, place.name, expected=f"one of {', '.join(FLOAT_DTYPES)}", found=tensor.dtype
            )
        arranged[canonical] = tensor.slice_rows(place.part, place.parts)
    surplus = stored.keys() - {place.name for place in sources.values()} - set(ignored_names)
    if surplus:
        tensor, expected = stored[min(surplus)], "no tensor of this name"
        if any("lora_" in name for name in surplus):
            expected = f"no LoRA weights; {MERGE_ADVICE}"
        raise CheckpointError(tensor.file.path, min(surplus), expected=expected, found=f"shape {tensor.shape}")
    return arranged
