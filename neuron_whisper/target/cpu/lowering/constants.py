"""Constants of graphs by their values, or by what will make them when the graph is written.

A graph depends on the shapes of its matrices, not on their values. So it is made with placeholders, nearly all zeros
that take no memory, and each matrix is read, packed and written once, whatever the number of graphs that read it.
"""

from __future__ import annotations

import hashlib
import mmap
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
from numpy.typing import NDArray
from openvino import opset13 as ops

Matrix = NDArray[np.float32]
Read = Callable[[str], Matrix]
PLACEHOLDER_PREFIX = "placeholder/"  # of their names in an IR
_SPACING_BYTES, _SLACK_BYTES = 64, 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Packing:
    """How a matrix becomes constants: `pack` returns arrays of `results`, each of a shape and type.

    bfloat16, which numpy lacks, is returned as uint16.
    """

    name: str
    results: Sequence[tuple[Sequence[int], ov.Type]]
    pack: Callable[[Matrix], Sequence[NDArray[Any]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Placeholder:
    """What a parameter becomes by packings in turn: the name of each, and which of its results the next one takes."""

    parameter: str
    steps: tuple[tuple[str, int], ...] = ()


class Constants:
    """A graph's constants, which are all there with their values."""

    def identify(self, node: ov.Node) -> Hashable:
        """Equal for constants of equal values."""
        return hashlib.sha256(node.data.tobytes()).digest()

    def read(self, node: ov.Node) -> Matrix:
        """The values of a float constant, as float32."""
        values: Matrix = node.data.astype(np.float32)
        return values

    def pack(self, node: ov.Node, packing: Packing) -> list[ov.Node]:
        """The constants that a float constant is packed into."""
        packed = zip(packing.pack(self.read(node)), packing.results, strict=True)
        return [_make_constant(values, shape, dtype) for values, (shape, dtype) in packed]


class Placeholders(Constants):
    """Constants of which some are placeholders: known by the address of their zeros. `read` gives parameters.

    Not safe to share between threads.
    """

    def __init__(self, read: Read) -> None:
        self._read_parameter = read
        self._packings: dict[tuple[Placeholder, str], Packing] = {}
        self._zeros: dict[Placeholder, NDArray[Any]] = {}
        self._by_address: dict[int, Placeholder] = {}
        self._region: NDArray[np.uint8] = np.empty(0, np.uint8)
        self._offset = 0
        # the first element in a parameter's place is a number of its own: OpenVINO joins products of equal matrices
        self._firsts: list[NDArray[np.float32]] = []
        self._packed: tuple[str, str, Sequence[NDArray[Any]]] | None = None  # the last parameter that was, and how

    def make(self, parameter: str, shape: Sequence[int]) -> ov.Node:
        """A constant of a graph in a parameter's place, float32."""
        node = self._make(Placeholder(parameter=parameter), shape, ov.Type.f32)
        node.set_friendly_name(parameter)
        return node

    def save(self, model: ov.Model, path: Path, *, compress_to_fp16: bool) -> dict[str, Placeholder]:
        """Save a graph as OpenVINO does, and return the placeholders by name.

        Meanwhile all are zeros throughout: equal constants take the room of one in the file.
        """
        names = self._name_placeholders(model)
        try:
            for first in self._firsts:
                first[:] = 0
            ov.save_model(model, path, compress_to_fp16=compress_to_fp16)
        finally:
            for number, first in enumerate(self._firsts, 1):
                first[:] = number
        return names

    def find(self, node: ov.Node) -> Placeholder | None:
        """What a constant stands for; None for one with values of its own."""
        if node.get_type_name() != "Constant" or not node.get_byte_size():
            return None
        return self._by_address.get(node.data.ctypes.data)

    def identify(self, node: ov.Node) -> Hashable:
        return self.find(node) or super().identify(node)

    def read(self, node: ov.Node) -> Matrix:
        place = self.find(node)
        return super().read(node) if place is None else self.compute(place)

    def pack(self, node: ov.Node, packing: Packing) -> list[ov.Node]:
        place = self.find(node)
        if place is None:
            return super().pack(node, packing)
        self._packings.setdefault((place, packing.name), packing)
        return [
            self._make(replace(place, steps=(*place.steps, (packing.name, index))), shape, dtype)
            for index, (shape, dtype) in enumerate(packing.results)
        ]

    def compute(self, place: Placeholder) -> NDArray[Any]:
        """The values that a placeholder stands for. The results of a parameter's packing in turn are computed once."""
        if not place.steps:
            return flush_denormals(self._read_parameter(place.parameter))
        *before, (name, index) = place.steps
        source = replace(place, steps=tuple(before))
        pack = self._packings[source, name].pack
        if before:
            return pack(self.compute(source))[index]
        if self._packed is None or self._packed[:2] != (place.parameter, name):
            self._packed = None  # gone before others take its place
            self._packed = place.parameter, name, pack(self._read_parameter(place.parameter))
        return self._packed[2][index]

    def _name_placeholders(self, model: ov.Model) -> dict[str, Placeholder]:
        """Give each placeholder of a graph a name that no other constant has, and return what the names stand for."""
        found: dict[str, Placeholder] = {}
        for node in model.get_ordered_ops():
            if (place := self.find(node)) is not None:
                name = f"{PLACEHOLDER_PREFIX}{len(found)}"
                node.set_friendly_name(name)
                found[name] = place
        return found

    def fill(self, model: ov.Model) -> None:
        """Put values in the place of a graph's placeholders."""
        for node in model.get_ordered_ops():
            if (place := self.find(node)) is not None:
                filled = _make_constant(self.compute(place), node.get_output_shape(0), node.get_element_type())
                filled.set_friendly_name(node.get_friendly_name())
                for reader in node.output(0).get_target_inputs():
                    reader.replace_source_output(filled.output(0))
        self._packed = None

    def _make(self, place: Placeholder, shape: Sequence[int], dtype: ov.Type) -> ov.Node:
        if place not in self._zeros:
            zeros = self._reserve(int(np.prod(shape)) * dtype.size)
            self._by_address[zeros.ctypes.data] = place
            self._zeros[place] = zeros
            if not place.steps:
                self._firsts.append(zeros[:4].view(np.float32))
                self._firsts[-1][:] = len(self._firsts)
        tensor = ov.Tensor(self._zeros[place].view(_STORED[dtype]).reshape(shape), ov.Shape(shape), dtype)
        return ops.constant(tensor, shared_memory=True)

    def _reserve(self, size: int) -> NDArray[np.uint8]:
        """Zeros at an address of their own. They overlap: nothing writes to them."""
        if self._offset + size > len(self._region):
            self._region = np.frombuffer(mmap.mmap(-1, size + _SLACK_BYTES, flags=mmap.MAP_PRIVATE), np.uint8)
            self._offset = 0
        zeros = self._region[self._offset : self._offset + size]
        self._offset += _SPACING_BYTES
        return zeros


_STORED: Mapping[ov.Type, type[np.generic]] = {
    ov.Type.f32: np.float32,
    ov.Type.bf16: np.uint16,
    ov.Type.i8: np.int8,
}
PLAIN = Constants()


def flush_denormals(values: Matrix) -> Matrix:
    """The values with zeros in the place of denormal numbers, as in all constants that OpenVINO converts."""
    tiny = np.finfo(np.float32).tiny
    denormal = (values < tiny) & (values > -tiny) & (values != 0)
    return np.where(denormal, np.float32(0), values) if denormal.any() else values


def _make_constant(values: NDArray[Any], shape: Sequence[int], dtype: ov.Type) -> ov.Node:
    tensor = ov.Tensor(dtype, ov.Shape(shape))
    tensor.data.view(_STORED[dtype])[:] = values.reshape(shape)
    return ops.constant(tensor, shared_memory=True)  # which it owns
