"""Finds the layers of encoder_scales in an encoder's graph: products by their matrices, attention by its queries."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import openvino as ov
from numpy.typing import NDArray

from neuron_whisper.target.cpu.lowering.constants import PLAIN, Constants, Placeholder, flush_denormals

Array = NDArray[np.float32]
PRODUCTS = ("MatMul", "Convolution")
# What stands between the product that makes queries and the attention that reads them.
_BETWEEN = ("Add", "Multiply", "Reshape", "Transpose", "Concat", "Convert", "Clamp", "Unsqueeze", "Squeeze")


@dataclass(frozen=True, slots=True, eq=False)
class LayerInput:
    """An output of the graph that products of a layer read. A layer whose graph is there twice has two."""

    layer: str
    source: ov.Output
    products: list[ov.Node] = field(default_factory=list)

    @property
    def is_convolution(self) -> bool:
        return bool(self.products[0].get_type_name() == "Convolution")


def find_constant(node: ov.Node, port: int = 1) -> ov.Node | None:
    """The float constant that a product or another node reads at an input; None where it reads none."""
    source = node.input_value(port).get_node()
    if source.get_type_name() == "Convert":
        source = source.input_value(0).get_node()
    if source.get_type_name() != "Constant" or not source.get_element_type().is_real():
        return None
    return source


def read_matrix(node: ov.Node, port: int = 1) -> Array | None:
    """The values of `find_constant`, as float32."""
    constant = find_constant(node, port)
    return None if constant is None else PLAIN.read(constant)


def find_layer_inputs(
    model: ov.Model, layers: Mapping[str, Iterable[str]], read: Callable[[str], Array], constants: Constants = PLAIN
) -> list[LayerInput]:
    """The inputs of the layers, in the graph's order; `read` gives the checkpoint's matrix of a name.

    Products are known by what their matrix holds: neither names nor the order of a graph matter. A matrix that two
    layers have alike is not found. A placeholder is known by its parameter.
    """
    layer_of: dict[Hashable, str | None] = {}
    by_parameter = {name: layer for layer, names in layers.items() for name in names}
    inputs: dict[tuple[str, str, int], LayerInput] = {}
    for node in model.get_ordered_ops():
        if node.get_type_name() not in PRODUCTS or (constant := find_constant(node)) is None:
            continue
        if isinstance(identity := constants.identify(constant), Placeholder):
            found = by_parameter.get(identity.parameter)
        else:
            layer_of = layer_of or _layers_of_digests(layers, read)
            found = layer_of.get(_digest(constants.read(constant)))
        if found is None or (node.get_type_name() == "MatMul" and not node.get_attributes()["transpose_b"]):
            continue
        source = node.input_value(0)
        key = found, source.get_node().get_name(), source.get_index()
        inputs.setdefault(key, LayerInput(found, source)).products.append(node)
    return list(inputs.values())


def find_attention(model: ov.Model, layer_inputs: Iterable[LayerInput]) -> list[tuple[str, ov.Node]]:
    """(name of the scores, attention) of each block whose queries come from one of the products found.

    An attention's inputs 0 and 1 are queries and keys.
    """
    layers = {product.get_name(): it.layer for it in layer_inputs for product in it.products}
    found = []
    for node in model.get_ordered_ops():
        if node.get_type_name() == "ScaledDotProductAttention":
            layer = _find_product(node.input_value(0).get_node(), layers)
            if layer is not None:
                found.append((f"{layer}.scores", node))
    return found


def _find_product(node: ov.Node, layers: Mapping[str, str]) -> str | None:
    """The layer of the product that a node's values come from, through first inputs."""
    while node.get_name() not in layers:
        if node.get_type_name() not in _BETWEEN:
            return None
        node = node.input_value(0).get_node()
    return layers[node.get_name()]


def _layers_of_digests(layers: Mapping[str, Iterable[str]], read: Callable[[str], Array]) -> dict[Hashable, str | None]:
    """The layer of each matrix by its digest; None for one that several have."""
    layer_of: dict[Hashable, str | None] = {}
    for layer, names in layers.items():
        for name in names:
            digest = _digest(flush_denormals(read(name)))  # as constants are
            layer_of[digest] = layer if layer_of.get(digest, layer) == layer else None
    return layer_of


def _digest(matrix: Array) -> bytes:
    content = np.ascontiguousarray(matrix, np.float32)
    return hashlib.sha256(f"{content.size} ".encode() + content.tobytes()).digest()
