"""RankWeights: a rank's file of weights (safetensors), read tensor by tensor with numpy, in any type."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuron_whisper.errors import ArtifactCorrupt
from neuron_whisper.target.neuron.graph_signature import NUMPY_DTYPES, TensorSignature

SAFETENSORS_DTYPES = {
    "BOOL": "bool",
    "I8": "int8",
    "U8": "uint8",
    "I16": "int16",
    "I32": "int32",
    "F16": "float16",
    "BF16": "bfloat16",
    "F32": "float32",
}


class RankWeights:
    """The tensors of one file: a u64 length, a JSON header of {name: {dtype, shape, data_offsets}}, the bytes.

    safetensors' own reader for numpy needs another package for bfloat16.
    """

    def __init__(self, file: Path) -> None:
        """Raises ArtifactCorrupt."""
        self._file = file
        try:
            with file.open("rb") as stream:
                size = int.from_bytes(stream.read(8), "little")
                self._header: dict[str, Any] = json.loads(stream.read(size))
        except (OSError, ValueError) as error:
            raise ArtifactCorrupt(file, expected="a file of weights", found=error) from None
        self._start = 8 + size

    def read(self, name: str, expected: TensorSignature) -> NDArray[Any]:
        """A tensor of that shape and type, as a writable array, bfloat16 as its bits. Raises ArtifactCorrupt."""
        wanted = f"{name}: {expected.dtype} {list(expected.shape)}"
        if name not in self._header:
            raise ArtifactCorrupt(self._file, expected=wanted, found="no such tensor")
        entry = self._header[name]
        dtype, shape = SAFETENSORS_DTYPES.get(entry["dtype"], entry["dtype"]), tuple(entry["shape"])
        if (dtype, shape) != (expected.dtype, expected.shape):
            raise ArtifactCorrupt(self._file, expected=wanted, found=f"{dtype} {list(shape)}")
        content = bytearray(expected.size_bytes)
        with self._file.open("rb") as stream:
            stream.seek(self._start + entry["data_offsets"][0])
            count = stream.readinto(content)
        if count != len(content):
            raise ArtifactCorrupt(self._file, expected=f"{name}: {len(content)} bytes", found=f"{count}")
        array: NDArray[Any] = np.frombuffer(content, NUMPY_DTYPES[dtype]).reshape(shape)
        return array
