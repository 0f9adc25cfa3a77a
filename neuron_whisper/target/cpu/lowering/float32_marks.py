"""Marks that keep what decides the text in float32 where the plugin computes in bfloat16.

Products stay bfloat16, for they take nearly all the time. The residual stream, to which every layer adds, its norms
and the logits are few operations, and rounding them to 8 bits of mantissa changes texts. A product's result is
float32 where the last operation fused into it is marked: a Clamp whose limits no value reaches.

The plugin reads a mark from the IR alone, so marked nodes have a name of their own, by which `write_marks` finds them.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterator

import openvino as ov
from openvino import opset13 as ops

LIMIT = 1e30  # of the Clamps; beyond every value that a model's sums can have
FLOAT32_PREFIX, WEIGHT_PREFIX = "float32/", "weight/"
MARKS = {
    FLOAT32_PREFIX: {"name": "DisablePrecisionConversion", "version": "0", "value": "dynamic:f16"},
    WEIGHT_PREFIX: {"name": "decompression", "version": "0"},
}


def keep_float32(model: ov.Model, n_vocab: int) -> None:
    """Name the nodes of the residual stream and of the norms, and put a Clamp behind products that decide, in place."""
    nodes = model.get_ordered_ops()
    norms = [node for node in nodes if node.get_type_name() == "MVN"]
    stream = {node.input_value(0).get_node().get_friendly_name(): node.input_value(0).get_node() for node in norms}
    marked = [*norms, *stream.values(), *(it for norm in norms for it in _readers(norm, "Multiply"))]
    branches = (it for residual in stream.values() for it in _sources(residual))
    for branch in branches:
        if branch.get_friendly_name() in stream:
            continue
        match branch.get_type_name():
            case "Add" if any(it.get_type_name() == "MatMul" for it in _sources(branch)):  # a product and its bias
                marked.append(_put_clamp_behind(branch))
            case "Add":  # of the embedding: 8 bit and their remainder
                marked += [branch, *(it for it in _sources(branch) if it.get_type_name() == "Multiply")]
            case "Transpose":  # of the encoder's convolutions
                marked += [branch, *(it for it in _sources(branch) if it.get_type_name() == "Gelu")]
    for node in nodes:
        if node.get_type_name() == "Add" and [it.get_type_name() for it in _sources(node)] == ["MatMul", "Multiply"]:
            # what a step attends to in the past, and in its own row: fused in graphs of free shapes alone
            marked += [node, node.input_value(1).get_node()]
        if _is_vocabulary_product(node, n_vocab):
            marked += [_put_clamp_behind(node), *_find_norm(node)]
    for i, node in enumerate(marked):
        node.set_friendly_name(f"{FLOAT32_PREFIX}{i}")
    model.validate_nodes_and_infer_types()


def write_marks(tree: ET.ElementTree[ET.Element]) -> None:
    """Give the layers of an IR the attributes that their names ask for."""
    for layer in tree.iter("layer"):
        prefix, slash, _ = layer.attrib["name"].partition("/")
        mark = MARKS.get(prefix + slash)
        if mark is None:
            continue
        info = layer.find("rt_info")
        if info is None:
            info = ET.Element("rt_info")
            ports = [i for i, part in enumerate(layer) if part.tag in ("input", "output")]
            layer.insert(ports[0] if ports else len(layer), info)
        ET.SubElement(info, "attribute", mark)


def _sources(node: ov.Node) -> Iterator[ov.Node]:
    return (node.input_value(i).get_node() for i in range(node.get_input_size()))


def _readers(node: ov.Node, kind: str) -> list[ov.Node]:
    readers = [port.get_node() for port in node.output(0).get_target_inputs()]
    return [reader for reader in readers if reader.get_type_name() == kind]


def _is_vocabulary_product(node: ov.Node, n_vocab: int) -> bool:
    if node.get_type_name() != "MatMul":
        return False
    width = node.get_output_partial_shape(0)[-1]
    return bool(width.is_static) and width.get_length() == n_vocab


def _find_norm(product: ov.Node) -> Iterator[ov.Node]:
    """The nodes between the last norm and the product: what else reads them gets float32."""
    node = product.input_value(0).get_node()
    while node.get_type_name() in ("Add", "Reshape", "Gather"):
        yield node
        if node.get_type_name() == "Add":
            return
        node = node.input_value(0).get_node()


def _put_clamp_behind(node: ov.Node) -> ov.Node:
    readers = list(node.output(0).get_target_inputs())
    clamp = ops.clamp(node.output(0), -LIMIT, LIMIT)
    for reader in readers:
        reader.replace_source_output(clamp.output(0))
    return clamp
