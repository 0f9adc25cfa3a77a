"""Constants of OpenVINO graphs: 16-bit matrices, and one file that all graphs share."""

from __future__ import annotations

import hashlib
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import openvino as ov
from numpy.typing import NDArray
from openvino import opset13 as ops

from neuron_whisper.target.cpu.lowering.constants import PLAIN, Constants, Packing, Placeholder, Placeholders
from neuron_whisper.target.cpu.lowering.encoder_layers import find_constant
from neuron_whisper.target.cpu.lowering.float32_marks import WEIGHT_PREFIX, write_marks

ALIGNMENT_BYTES = 64  # preferred by oneDNN, and enough for every element type
COMPRESSED_SUFFIX = "_compressed"  # of a constant that OpenVINO saves in float16
MIN_MATRIX_ELEMENTS = 64 * 64  # in smaller ones fewer bits save too little


def compress_bfloat16(model: ov.Model, n_vocab: int, constants: Constants = PLAIN) -> None:
    """Replace the float32 matrices that are left by bfloat16 ones that are converted to float32, in place.

    The plugin's products read them as they are. With float16 constants instead, as OpenVINO compresses them, every
    product that reads one returns 16 bit. Positions stay as they are: they are few, and are added to all else.
    """
    for i, (node, port, matrix) in enumerate(find_matrices(model)):
        if node.get_type_name() == "MatMul":
            weight = ops.convert(_pack_bfloat16(matrix, constants), "f32")
            weight.set_friendly_name(f"{WEIGHT_PREFIX}{i}")
            node.input(port).replace_source_output(weight.output(0))
        elif matrix.get_output_shape(0)[0] == n_vocab:
            readers = node.output(0).get_target_inputs()
            found = ops.gather(_pack_bfloat16(matrix, constants), node.input_value(1), node.input_value(2))
            for reader in readers:
                reader.replace_source_output(ops.convert(found, "f32").output(0))


def find_matrices(model: ov.Model) -> Iterator[tuple[ov.Node, int, ov.Node]]:
    """(node, port, constant) of matrix products and lookups that read a constant float matrix (out, in)."""
    for node in model.get_ordered_ops():
        kind = node.get_type_name()
        if kind not in ("MatMul", "Gather") or (kind == "MatMul" and not node.get_attributes()["transpose_b"]):
            continue
        port = 1 if kind == "MatMul" else 0
        matrix = find_constant(node, port)
        shape = [] if matrix is None else list(matrix.get_output_shape(0))
        if len(shape) == 2 and shape[0] * shape[1] >= MIN_MATRIX_ELEMENTS:
            yield node, port, matrix


def _pack_bfloat16(matrix: ov.Node, constants: Constants) -> ov.Node:
    results = [(list(matrix.get_output_shape(0)), ov.Type.bf16)]
    (packed,) = constants.pack(
        matrix, Packing(name="bfloat16", results=results, pack=lambda it: [_round_to_bfloat16(it)])
    )
    return packed


def _round_to_bfloat16(matrix: NDArray[np.float32]) -> NDArray[np.uint16]:
    """The upper halves of float32 numbers, rounded to nearest, ties to even."""
    bits = np.ascontiguousarray(matrix, np.float32).view(np.uint32)
    rounded = (bits >> 16) & 1
    rounded += 0x7FFF
    rounded += bits
    rounded >>= 16
    return rounded.astype(np.uint16)


class WeightsFile:
    """Collects the constants of several IRs into one file; equal ones are written once."""

    def __init__(self, path: Path, placeholders: Placeholders | None = None) -> None:
        self._path, self._placeholders = path, placeholders
        self._offsets: dict[bytes, int] = {}
        self._offsets_of: dict[tuple[Placeholder, str], int] = {}

    def __enter__(self) -> Self:
        self._file = self._path.open("wb")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def add_model(self, draft: Path, final: Path, names: Mapping[str, Placeholder] | None = None) -> None:
        """Move the IR `draft` (.xml beside .bin) to `final`, its constants into this file. The draft is deleted.

        `names` are those of its placeholders.
        """
        constants = np.memmap(draft.with_suffix(".bin"), np.uint8, "r").data  # not read at once: 1.3 GB of large-v3
        tree = ET.parse(draft)  # noqa: S314 - written by OpenVINO a moment ago
        for layer in tree.iter("layer"):
            data = layer.find("data")
            if layer.get("type") != "Const" or data is None:
                continue
            start, size = int(data.attrib["offset"]), int(data.attrib["size"])
            place = (names or {}).get(layer.attrib["name"].removesuffix(COMPRESSED_SUFFIX))
            if place is None:
                offset = self._write_constant(constants[start : start + size])
            else:
                offset = self._write_parameter(place, data.attrib["element_type"], size)
            data.set("offset", str(offset))
        write_marks(tree)
        tree.write(final, encoding="utf-8", xml_declaration=True)
        draft.unlink()
        draft.with_suffix(".bin").unlink()

    def _write_parameter(self, place: Placeholder, dtype: str, size: int) -> int:
        """Write what a placeholder stands for, in float16 where OpenVINO made it that."""
        if (place, dtype) not in self._offsets_of:
            assert self._placeholders is not None
            values = self._placeholders.compute(place)
            if dtype == "f16":
                largest = np.finfo(np.float16).max
                values = np.clip(values, -largest, largest).astype(np.float16)
            if values.nbytes != size:
                raise RuntimeError(f"{place.parameter} has {values.nbytes} bytes, its place in the graph {size}")
            self._offsets_of[place, dtype] = self._write_constant(np.ascontiguousarray(values).reshape(-1).data)
        return self._offsets_of[place, dtype]

    def _write_constant(self, value: memoryview) -> int:
        digest = hashlib.sha256(value).digest()
        if digest not in self._offsets:
            self._file.write(b"\0" * (-self._file.tell() % ALIGNMENT_BYTES))
            self._offsets[digest] = self._file.tell()
            self._file.write(value)
        return self._offsets[digest]
