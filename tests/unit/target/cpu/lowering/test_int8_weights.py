"""Decoder matrices of 8 bit: a scale for each group, and a vocabulary whose best tokens have 16 bit."""

from __future__ import annotations

import numpy as np
import openvino as ov
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from openvino import opset13 as ops

from neuron_whisper.target.cpu.lowering.int8_weights import (
    GROUP_SIZE,
    LARGEST,
    N_CORRECTED,
    REMAINDER_STEPS,
    compress_int8,
    quantize,
)

N_VOCAB, STATE = 500, 256
RNG = np.random.default_rng(0)
MATRIX = RNG.standard_normal((96, STATE)).astype(np.float32)
VOCABULARY = RNG.standard_normal((N_VOCAB, STATE)).astype(np.float32)


def product_model(matrix: np.ndarray, rows: int = 1) -> ov.Model:
    x = ops.parameter([rows, matrix.shape[1]], np.float32)
    return ov.Model([ops.matmul(x, ops.constant(matrix), False, True)], [x])


def lookup_model(matrix: np.ndarray) -> ov.Model:
    ids = ops.parameter([-1], np.int32)
    return ov.Model([ops.gather(ops.constant(matrix), ids, ops.constant(0, dtype=np.int32))], [ids])


def run(model: ov.Model, x: np.ndarray) -> np.ndarray:
    options = {"INFERENCE_PRECISION_HINT": "f32", "DYNAMIC_QUANTIZATION_GROUP_SIZE": "0"}
    output: np.ndarray = ov.Core().compile_model(model, "CPU", options)(x)[0]
    return output


def has_int8(model: ov.Model) -> bool:
    return any(node.get_element_type() == ov.Type.i8 for node in model.get_ops() if node.get_output_size())


@given(hnp.arrays(np.float32, (3, 8), elements=st.floats(-1e4, 1e4, width=32)))
def test_quantized_values_are_within_half_a_step_and_scales_are_bfloat16_numbers(values: np.ndarray) -> None:
    quantized, scales = quantize(values)
    assert (np.abs(quantized.astype(np.int32)) <= LARGEST).all()
    assert (np.abs(quantized * scales - values) <= scales * 0.5001).all()
    assert not (scales.view(np.uint32) & 0xFFFF).any()
    assert (scales <= np.maximum(np.abs(values).max(-1, keepdims=True) / LARGEST, 1.2e-38) * 1.01)[values.any(-1)].all()


def test_a_row_of_zeros_stays_one() -> None:
    quantized, scales = quantize(np.zeros((1, 8), np.float32))
    assert not quantized.any()
    assert scales[0, 0] == 1


@pytest.mark.parametrize("width", [STATE, GROUP_SIZE, 96])
def test_a_product_reads_each_group_of_inputs_with_a_scale_of_its_own(width: int) -> None:
    matrix = MATRIX[:, :width].copy()
    matrix[:, -1] *= 50  # coarse steps for its own group alone
    model = product_model(matrix)
    compress_int8(model, N_VOCAB)
    assert has_int8(model)
    found = run(model, np.eye(1, width, 3, dtype=np.float32))[0]
    group = matrix[:, :GROUP_SIZE]
    assert (np.abs(found - matrix[:, 3]) <= np.abs(group).max(1) / LARGEST * 0.51).all()


def test_the_largest_logits_have_16_bit_and_the_others_8() -> None:
    x = RNG.standard_normal((3, STATE)).astype(np.float32)
    model = product_model(VOCABULARY, rows=3)
    compress_int8(model, N_VOCAB)
    found, expected = run(model, x), x @ VOCABULARY.T
    steps = np.abs(VOCABULARY).max(1) / LARGEST
    limit = np.abs(x).sum(1, keepdims=True) * steps / 2
    assert (np.abs(found - expected) <= limit).all()
    best = np.argsort(-expected, 1)[:, : N_CORRECTED // 2]  # those whose place among the best 8 bit cannot change
    error = np.take_along_axis(np.abs(found - expected), best, 1)
    assert (error <= np.take_along_axis(limit, best, 1) / REMAINDER_STEPS * 1.1).all()
    assert np.abs(found - expected).max() > 10 * error.max()


def test_an_embedding_has_16_bit() -> None:
    model = lookup_model(VOCABULARY)
    compress_int8(model, N_VOCAB)
    assert has_int8(model)
    steps = np.abs(VOCABULARY).max(1, keepdims=True) / LARGEST
    ids = np.array([0, 7, N_VOCAB - 1], np.int32)
    assert (np.abs(run(model, ids) - VOCABULARY[ids]) <= steps[ids] / REMAINDER_STEPS).all()


def test_positions_and_small_matrices_stay_float() -> None:
    for model in (lookup_model(MATRIX), product_model(MATRIX[:8])):
        compress_int8(model, N_VOCAB)
        assert not has_int8(model)
