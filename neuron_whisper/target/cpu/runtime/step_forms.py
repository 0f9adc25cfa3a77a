"""The forms that a step graph is compiled in: for one slot, and for any number of slots.

OpenVINO finds shapes again at every run of a graph that leaves them free. With one slot only the lengths of caches are
free, which saves a sixth of the step. And its products make floats of 8-bit matrices once more for every few rows: of
more than MAX_ROWS_OF_INT8 rows, a product with floats takes less time, though they are twice the bytes. Beams have
them.
"""

from __future__ import annotations

import numpy as np
import openvino as ov
from numpy.typing import NDArray
from openvino import opset13 as ops

MAX_ROWS_OF_INT8 = 4
RULES_PORT = 2  # its first axis is rows, that of the others slots


def fix_slots(model: ov.Model, width: int) -> None:
    """Give a step graph of `width` rows per slot the shapes of one slot, in place."""
    shapes: dict[int, ov.PartialShape] = {}
    for port, node in enumerate(model.inputs):
        shapes[port] = node.get_partial_shape()
        shapes[port][0] = ov.Dimension(width if port == RULES_PORT else 1)
    model.reshape(shapes)


def fit_rows(model: ov.Model, rows: int) -> None:
    """Make floats of the 8-bit matrices of a graph's products where so many rows read them, in place."""
    if rows <= MAX_ROWS_OF_INT8:
        return
    for node in model.get_ordered_ops():
        if node.get_type_name() != "MatMul":
            continue
        matrix = _read_int8_matrix(node.input_value(1).get_node())
        if matrix is not None:
            node.input(1).replace_source_output(ops.constant(matrix).output(0))


def _read_int8_matrix(node: ov.Node) -> NDArray[np.float32] | None:
    """The values (out, in) of Multiply(Convert(int8), scales), with or without a Reshape behind it."""
    shape = node.get_output_partial_shape(0)
    scaled = node.input_value(0).get_node() if node.get_type_name() == "Reshape" else node
    if scaled.get_type_name() != "Multiply" or shape.is_dynamic:
        return None
    values, scales = (scaled.input_value(port).get_node() for port in range(2))
    if values.get_type_name() != "Convert" or values.input_value(0).get_element_type() != ov.Type.i8:
        return None
    values = values.input_value(0).get_node()
    if scales.get_type_name() == "Convert":  # of scales that are stored in 16 bit
        scales = scales.input_value(0).get_node()
    if not (isinstance(values, ov.op.Constant) and isinstance(scales, ov.op.Constant)):
        return None
    floats: NDArray[np.float32] = values.get_data(dtype=np.float32) * scales.get_data(dtype=np.float32)
    return floats.reshape(shape.to_shape())
