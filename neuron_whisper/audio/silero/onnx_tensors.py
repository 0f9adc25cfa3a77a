"""Reads the float32 constants of an ONNX file, graph by graph, without an ONNX runtime.

OpenVINO's ONNX reader refuses Silero's file (tensors of unknown rank), and the package onnx is large for one file.
ONNX is protobuf: a message is (field << 3 | kind, value) pairs. Field numbers are those of onnx.proto.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from neuron_whisper.errors import CheckpointError

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5  # protobuf wire kinds
VARINT_BITS = 70  # ten bytes hold any 64-bit number
MODEL_GRAPH = 7
GRAPH_NODE, GRAPH_INITIALIZER = 1, 5
NODE_ATTRIBUTE = 5
ATTRIBUTE_TENSOR, ATTRIBUTE_GRAPH = 5, 6
TENSOR_DIMS, TENSOR_TYPE, TENSOR_NAME, TENSOR_RAW = 1, 2, 8, 9
FLOAT = 1  # TensorProto.DataType

Tensors = dict[str, NDArray[np.float32]]


def read_onnx_tensors(path: Path) -> list[Tensors]:
    """The named float32 tensors of each graph that has any; the branches of an If are graphs of their own.

    Initialisers and the values of Constant nodes; read-only. Raises CheckpointError for anything else.
    """
    try:
        content = memoryview(path.read_bytes())
        graphs = [value for field, value in _iter_fields(content) if field == MODEL_GRAPH]
        return [tensors for graph in graphs for tensors in _iter_graph_tensors(_as_message(graph))]
    except (OSError, ValueError, OverflowError) as error:  # UnicodeDecodeError is a ValueError
        raise CheckpointError(path, "", expected="an ONNX model", found=error) from error


def _iter_graph_tensors(graph: memoryview) -> Iterator[Tensors]:
    """The graph's own tensors, then those of the graphs inside its nodes."""
    tensors: Tensors = {}
    inner: list[memoryview] = []
    for field, value in _iter_fields(graph):
        if field == GRAPH_INITIALIZER:
            tensors.update(_parse_tensor(_as_message(value)))
        elif field == GRAPH_NODE:
            attributes = [_as_message(x) for number, x in _iter_fields(_as_message(value)) if number == NODE_ATTRIBUTE]
            for number, x in (pair for attribute in attributes for pair in _iter_fields(attribute)):
                if number == ATTRIBUTE_TENSOR:
                    tensors.update(_parse_tensor(_as_message(x)))
                elif number == ATTRIBUTE_GRAPH:
                    inner.append(_as_message(x))
    if tensors:
        yield tensors
    for subgraph in inner:
        yield from _iter_graph_tensors(subgraph)


def _parse_tensor(message: memoryview) -> Tensors:
    """{name: array}; empty for a tensor without a name or raw bytes, or of another type than float32."""
    name, kind, raw = "", 0, None
    shape: list[int] = []
    for field, value in _iter_fields(message):
        if field == TENSOR_DIMS:  # one by one, or packed
            shape += [value] if isinstance(value, int) else _read_varints(value)
        elif field == TENSOR_TYPE and isinstance(value, int):
            kind = value
        elif field == TENSOR_NAME:
            name = str(_as_message(value), "utf-8")
        elif field == TENSOR_RAW:
            raw = _as_message(value)
    if not name or kind != FLOAT or raw is None:
        return {}
    return {name: np.frombuffer(raw, "<f4").reshape(shape)}


def _iter_fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """(field number, value) of each pair: a number, or the bytes of text, tensors and messages."""
    at = 0
    while at < len(message):
        key, at = _read_varint(message, at)
        kind = key & 7
        if kind == VARINT:
            number, at = _read_varint(message, at)
            yield key >> 3, number
            continue
        if kind == BYTES:
            size, at = _read_varint(message, at)
        elif kind in (FIXED32, FIXED64):
            size = 4 if kind == FIXED32 else 8
        else:
            raise ValueError(f"a field of unknown kind {kind}")
        if size > len(message) - at:
            raise ValueError("it ends in the middle of a field")
        yield key >> 3, message[at : at + size]
        at += size


def _read_varint(message: memoryview, at: int) -> tuple[int, int]:
    """(number that starts at `at`, offset of its end); seven bits a byte, lowest first."""
    value = 0
    for shift in range(0, VARINT_BITS, 7):
        if at >= len(message):
            raise ValueError("it ends in the middle of a number")
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ValueError(f"a number of more than {VARINT_BITS} bits")


def _read_varints(packed: memoryview) -> list[int]:
    numbers, at = [], 0
    while at < len(packed):
        number, at = _read_varint(packed, at)
        numbers.append(number)
    return numbers


def _as_message(value: int | memoryview) -> memoryview:
    if isinstance(value, int):
        raise ValueError("a number where a message should be")
    return value
