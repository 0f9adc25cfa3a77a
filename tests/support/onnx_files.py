"""ONNX files, written field by field."""

from __future__ import annotations

from pathlib import Path

import numpy as np


def encode_varint(value: int) -> bytes:
    return (bytes([value & 0x7F | 0x80]) + encode_varint(value >> 7)) if value > 0x7F else bytes([value])


def encode_field(key: int, value: bytes | int) -> bytes:
    if isinstance(value, int):
        return encode_varint(key << 3) + encode_varint(value)
    return encode_varint(key << 3 | 2) + encode_varint(len(value)) + value


def write_onnx_file(path: Path, tensors: dict[str, tuple[int, ...]]) -> Path:
    """A model of float32 zeros, as initialisers."""
    graph = b""
    for name, shape in tensors.items():
        dims = b"".join(encode_field(1, size) for size in shape)
        raw = bytes(4 * int(np.prod(shape)))
        graph += encode_field(5, dims + encode_field(2, 1) + encode_field(8, name.encode()) + encode_field(9, raw))
    path.write_bytes(encode_field(1, 8) + encode_field(7, graph))
    return path
