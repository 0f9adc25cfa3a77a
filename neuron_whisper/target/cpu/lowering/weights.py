"""Constants of OpenVINO graphs: 16-bit matrices, and one file that all graphs share."""

from __future__ import annotations

import hashlib
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import openvino as ov
from numpy.typing import NDArray
from openvino import opset13 as ops

from neuron_whisper.target.cpu.lowering.encoder_layers import read_matrix
from neuron_whisper.target.cpu.lowering.float32_marks import WEIGHT_PREFIX, write_marks

ALIGNMENT_BYTES = 64  # preferred by oneDNN, and enough for every element type
MIN_MATRIX_ELEMENTS = 64 * 64  # in smaller ones fewer bits save too little


def compress_bfloat16(model: ov.Model, n_vocab: int) -> None:
    """Replace the float32 matrices that are left by bfloat16 ones that are converted to float32, in place.

    The plugin's products read them as they are. With float16 constants instead, as OpenVINO compresses them, every
    product that reads one returns 16 bit. Positions stay as they are: they are few, and are added to all else.
    """
    for i, (node, port, matrix) in enumerate(find_matrices(model)):
        if node.get_type_name() == "MatMul":
            weight = ops.convert(ops.constant(_to_bfloat16(matrix)), "f32")
            weight.set_friendly_name(f"{WEIGHT_PREFIX}{i}")
            node.input(port).replace_source_output(weight.output(0))
        elif len(matrix) == n_vocab:
            readers = node.output(0).get_target_inputs()
            found = ops.gather(ops.constant(_to_bfloat16(matrix)), node.input_value(1), node.input_value(2))
            for reader in readers:
                reader.replace_source_output(ops.convert(found, "f32").output(0))


def find_matrices(model: ov.Model) -> Iterator[tuple[ov.Node, int, NDArray[np.float32]]]:
    """(node, port, matrix) of matrix products and lookups that read a constant float matrix (out, in)."""
    for node in model.get_ordered_ops():
        kind = node.get_type_name()
        if kind not in ("MatMul", "Gather") or (kind == "MatMul" and not node.get_attributes()["transpose_b"]):
            continue
        port = 1 if kind == "MatMul" else 0
        matrix = read_matrix(node, port)
        if matrix is not None and matrix.ndim == 2 and matrix.size >= MIN_MATRIX_ELEMENTS:
            yield node, port, matrix


def _to_bfloat16(matrix: NDArray[np.float32]) -> ov.Tensor:
    """Rounded to nearest, ties to even. numpy has no bfloat16."""
    bits = np.ascontiguousarray(matrix, np.float32).view(np.uint32)
    tensor = ov.Tensor(ov.Type.bf16, ov.Shape(matrix.shape))
    tensor.data.view(np.uint16)[:] = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16
    return tensor


class WeightsFile:
    """Collects the constants of several IRs into one file; equal ones are written once."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offsets: dict[bytes, int] = {}

    def __enter__(self) -> Self:
        self._file = self._path.open("wb")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def add_model(self, draft: Path, final: Path) -> None:
        """Move the IR `draft` (.xml beside .bin) to `final`, its constants into this file. The draft is deleted."""
        constants = np.memmap(draft.with_suffix(".bin"), np.uint8, "r").data  # not read at once: 1.3 GB of large-v3
        tree = ET.parse(draft)  # noqa: S314 - written by OpenVINO a moment ago
        for layer in tree.iter("layer"):
            data = layer.find("data")
            if layer.get("type") != "Const" or data is None:
                continue
            start, size = int(data.attrib["offset"]), int(data.attrib["size"])
            data.set("offset", str(self._write_constant(constants[start : start + size])))
        write_marks(tree)
        tree.write(final, encoding="utf-8", xml_declaration=True)
        draft.unlink()
        draft.with_suffix(".bin").unlink()

    def _write_constant(self, value: memoryview) -> int:
        digest = hashlib.sha256(value).digest()
        if digest not in self._offsets:
            self._file.write(b"\0" * (-self._file.tell() % ALIGNMENT_BYTES))
            self._offsets[digest] = self._file.tell()
            self._file.write(value)
        return self._offsets[digest]
