"""Constants of OpenVINO graphs: 8-bit matrices, and one file that all graphs share."""

from __future__ import annotations

import hashlib
import xml.etree.ElementTree as ET
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import openvino as ov
from numpy.typing import NDArray
from openvino import opset13 as ops

ALIGNMENT_BYTES = 64  # preferred by oneDNN, and enough for every element type
MIN_QUANTIZED_ELEMENTS = 64 * 64  # in smaller matrices int8 saves too little


def compress_int8(model: ov.Model) -> None:
    """Replace float matrices by int8 with a scale per output row (symmetric), in place.

    A matrix product reads `Multiply(Convert(int8), scale)`, which the CPU plugin runs without creating the
    float matrix; an embedding gathers int8 rows and their scales, so that it shares the output projection's bytes.
    """
    quantized: dict[bytes, tuple[ov.Node, ov.Node]] = {}
    for node in model.get_ordered_ops():
        kind = node.get_type_name()
        if kind not in ("MatMul", "Gather"):
            continue
        port = 1 if kind == "MatMul" else 0
        matrix = _find_constant_matrix(node, port)
        if matrix is None or (kind == "MatMul" and not node.get_attributes()["transpose_b"]):
            continue
        digest = hashlib.sha256(matrix.tobytes()).digest()
        if digest not in quantized:
            quantized[digest] = _quantize(matrix)
        values, scales = quantized[digest]
        if kind == "MatMul":
            product = ops.multiply(ops.convert(values, "f32"), scales)
            node.input(port).replace_source_output(product.output(0))
        else:
            ids, axis = node.input_value(1), ops.constant(0, dtype=np.int32)
            rows = ops.convert(ops.gather(values, ids, axis), "f32")
            for reader in node.output(0).get_target_inputs():
                reader.replace_source_output(ops.multiply(rows, ops.gather(scales, ids, axis)).output(0))


def _find_constant_matrix(node: ov.Node, port: int) -> NDArray[np.float32] | None:
    """The 2-d float constant that an input port reads, if it reads one."""
    source = node.input_value(port).get_node()
    if source.get_type_name() == "Convert":
        source = source.input_value(0).get_node()
    if source.get_type_name() != "Constant" or not source.get_element_type().is_real():
        return None
    values = source.data
    return values.astype(np.float32) if values.ndim == 2 and values.size >= MIN_QUANTIZED_ELEMENTS else None


def _quantize(matrix: NDArray[np.float32]) -> tuple[ov.Node, ov.Node]:
    """(out, in) -> int8 (out, in) and float32 scales (out, 1); an all-zero row keeps scale 1."""
    peak = np.abs(matrix).max(axis=1, keepdims=True)
    scale = np.where(peak > 0, peak / 127, 1).astype(np.float32)
    return ops.constant(np.rint(matrix / scale).astype(np.int8)), ops.constant(scale)


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
