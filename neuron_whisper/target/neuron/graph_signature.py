"""Each graph's NEFF beside NxD's bundle, and its signature: names, shapes, types and uses of its tensors.

For a runtime that loads NEFFs itself and knows nothing of TorchScript (runtime/nrtpy_graphs). The signature is ours:
the metaneff is kept, its format is not public. Imports no torch.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np

from neuron_whisper.errors import ArtifactCorrupt, ArtifactIncompatible

NEFF_DIRECTORY = "neffs"
NUMPY_DTYPES: Mapping[str, np.dtype[Any]] = {
    "bool": np.dtype(np.bool_),
    "int8": np.dtype(np.int8),
    "uint8": np.dtype(np.uint8),
    "int16": np.dtype(np.int16),
    "float16": np.dtype(np.float16),
    "bfloat16": np.dtype(np.uint16),  # numpy has none: its bits
    "int32": np.dtype(np.int32),
    "float32": np.dtype(np.float32),
}

TensorUse = Literal["argument", "weight", "state", "constant"]


class TensorSignature(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A tensor of a NEFF, by the name that the runtime knows it by; shape and type are those of one rank."""

    name: str
    shape: tuple[int, ...]
    dtype: str

    @property
    def size_bytes(self) -> int:
        return math.prod(self.shape) * NUMPY_DTYPES[self.dtype].itemsize


class InputSignature(TensorSignature, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """An input: argument `position` of a call, the weight or state `key`, or a constant, whose bytes are `value`."""

    use: TensorUse
    position: int = 0
    key: str = ""
    value: bytes = b""


class OutputSignature(TensorSignature, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """An output: a result of the call, or the new value of the state `state`, which the compiler puts in its memory."""

    state: str = ""


class GraphSignature(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A graph, "decode 8", and its tensors in the order of the compiled program."""

    name: str
    inputs: tuple[InputSignature, ...]
    outputs: tuple[OutputSignature, ...]

    @property
    def arguments(self) -> tuple[InputSignature, ...]:
        """The inputs that a call gives, in its order."""
        given = (tensor for tensor in self.inputs if tensor.use == "argument")
        return tuple(sorted(given, key=lambda tensor: tensor.position))

    @property
    def results(self) -> tuple[OutputSignature, ...]:
        """The outputs that a call returns, in its order."""
        return tuple(tensor for tensor in self.outputs if not tensor.state)


class ProgramSignature(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """The graphs of an artifact whose NEFFs are kept; `missing` says why none are."""

    format: Literal[1]
    tp: int
    graphs: tuple[GraphSignature, ...] = ()
    missing: str = ""


def neff_file(directory: Path, graph: str) -> Path:
    """The NEFF of a graph, one for all ranks: "decode 8" -> neffs/decode_8.neff. Its metaneff lies beside it."""
    return directory / NEFF_DIRECTORY / f"{graph.replace(' ', '_')}.neff"


def metaneff_file(directory: Path, graph: str) -> Path:
    return neff_file(directory, graph).with_suffix(".metaneff")


def write_signature(directory: Path, signature: ProgramSignature) -> None:
    file = _signature_file(directory)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(msgspec.json.encode(signature))


def read_signature(directory: Path) -> ProgramSignature:
    """The signature of the artifact in `directory`, whose NEFFs are all there.

    Raises ArtifactIncompatible when none were kept, ArtifactCorrupt.
    """
    file = _signature_file(directory)
    try:
        signature = msgspec.json.decode(file.read_bytes(), type=ProgramSignature)
    except FileNotFoundError:
        raise _explain_missing(directory, "compiled before they were kept; compile it again") from None
    except (OSError, msgspec.MsgspecError) as error:
        raise ArtifactCorrupt(file, expected="signatures of graphs", found=error) from None
    if signature.missing:
        raise _explain_missing(directory, signature.missing)
    check_sizes(file, signature.graphs)
    for graph in signature.graphs:
        if not (neff := neff_file(directory, graph.name)).is_file():
            raise ArtifactCorrupt(neff, expected="a NEFF", found="no such file")
    return signature


def check_sizes(file: Path, graphs: Sequence[GraphSignature]) -> None:
    """Raises ArtifactCorrupt for a type without a size, and for a constant that is longer or shorter than its shape."""
    for graph in graphs:
        for tensor in (*graph.inputs, *graph.outputs):
            if tensor.dtype not in NUMPY_DTYPES:
                raise ArtifactCorrupt(file, expected=f"{tensor.name} of {', '.join(NUMPY_DTYPES)}", found=tensor.dtype)
        for constant in (tensor for tensor in graph.inputs if tensor.use == "constant"):
            if len(constant.value) != constant.size_bytes:
                expected = f"{constant.name} of {constant.size_bytes} bytes"
                raise ArtifactCorrupt(file, expected=expected, found=f"{len(constant.value)} bytes")


def _signature_file(directory: Path) -> Path:
    return directory / NEFF_DIRECTORY / "signatures.json"


def _explain_missing(directory: Path, reason: str) -> ArtifactIncompatible:
    return ArtifactIncompatible(directory.name, {"NEFFs of the graphs": (reason, "nrtpy loads them")})
