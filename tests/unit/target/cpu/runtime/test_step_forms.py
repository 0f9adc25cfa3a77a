"""The forms of step graphs: shapes of one slot, and floats instead of 8 bit where many rows read a matrix."""

from __future__ import annotations

import numpy as np
import openvino as ov
import pytest
from openvino import opset13 as ops

from neuron_whisper.target.cpu.lowering.int8_weights import GROUP_SIZE, compress_int8
from neuron_whisper.target.cpu.runtime.step_forms import MAX_ROWS_OF_INT8, fit_rows, fix_slots

RNG = np.random.default_rng(0)
N_VOCAB = 500


def product(inputs: int, outputs: int) -> ov.Model:
    """x (R, inputs) times an 8-bit matrix."""
    matrix = RNG.standard_normal((outputs, inputs)).astype(np.float32)
    x = ops.parameter([-1, inputs], np.float32)
    model = ov.Model([ops.matmul(x, ops.constant(matrix), False, True)], [x])
    compress_int8(model, N_VOCAB)
    return model


def count_int8(model: ov.Model) -> int:
    return sum(node.get_type_name() == "Convert" for node in model.get_ops())


def run(model: ov.Model, x: np.ndarray) -> np.ndarray:
    options = {"INFERENCE_PRECISION_HINT": "f32", "DYNAMIC_QUANTIZATION_GROUP_SIZE": "0"}
    output: np.ndarray = ov.Core().compile_model(model, "CPU", options)([x])[0]
    return output


@pytest.mark.parametrize("inputs", [2 * GROUP_SIZE, GROUP_SIZE, 80], ids=["groups", "one group", "rows"])
def test_many_rows_read_the_same_numbers_as_floats(inputs: int) -> None:
    model = product(inputs, 96)
    x = RNG.standard_normal((8, inputs)).astype(np.float32)
    expected = run(model, x)
    assert count_int8(model) == 1
    fit_rows(model, 8)
    assert count_int8(model) == 0
    np.testing.assert_allclose(run(model, x), expected, rtol=1e-4, atol=1e-4)


def test_a_vocabulary_is_read_as_floats_and_its_remainders_stay_8_bit() -> None:
    model = product(64, N_VOCAB)
    x = RNG.standard_normal((8, 64)).astype(np.float32)
    expected, before = run(model, x), count_int8(model)
    fit_rows(model, 8)
    assert count_int8(model) == before - 1
    np.testing.assert_allclose(run(model, x), expected, rtol=1e-4, atol=1e-4)


def test_few_rows_read_8_bit() -> None:
    model = product(256, 96)
    fit_rows(model, MAX_ROWS_OF_INT8)
    assert count_int8(model) == 1


def test_a_matrix_of_floats_stays_one() -> None:
    x = ops.parameter([-1, 64], np.float32)
    matrix = ops.constant(RNG.standard_normal((96, 64)).astype(np.float32))
    model = ov.Model([ops.matmul(x, matrix, False, True)], [x])
    fit_rows(model, 8)
    assert [node.get_type_name() for node in model.get_ordered_ops()] == ["Parameter", "Constant", "MatMul", "Result"]


@pytest.mark.parametrize("width", [1, 5])
def test_one_slot_has_a_row_of_rules_for_each_of_its_rows(width: int) -> None:
    free = [
        ops.parameter([-1, width], np.int32),
        ops.parameter([-1, width], np.int32),
        ops.parameter([-1, 7], np.int32),
    ]
    past = ops.parameter([-1, width, 2, -1, 4], np.float32)
    model = ov.Model([ops.abs(node) for node in (*free, past)], [*free, past])
    fix_slots(model, width)
    shapes = [str(node.get_partial_shape()) for node in model.outputs]
    assert shapes == [f"[1,{width}]", f"[1,{width}]", f"[{width},7]", f"[1,{width},2,?,4]"]
