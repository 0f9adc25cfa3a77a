"""8-bit rounding of matrices and activations."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from neuron_whisper.target.cpu.lowering.int8_rounding import (
    quantize_rows,
    round_activations,
    to_activation_range,
    to_symmetric_range,
)

RNG = np.random.default_rng(0)
bounds = st.floats(-1e4, 1e4, allow_nan=False, width=32)


def test_a_row_of_zeros_stays_zero_with_scale_1() -> None:
    matrix = RNG.standard_normal((3, 16)).astype(np.float32)
    matrix[1] = 0
    values, scales = quantize_rows(matrix)
    assert (values[1] == 0).all()
    assert scales[1, 0] == 1


def test_a_row_is_clipped_where_that_rounds_the_others_better() -> None:
    matrix = RNG.standard_normal((2, 50_000)).astype(np.float32)
    matrix[0, 0] = 6.5  # far from the others, which are many
    values, scales = quantize_rows(matrix)
    plain_scale = np.abs(matrix).max(1, keepdims=True) / 127
    plain = np.rint(matrix / plain_scale) * plain_scale
    error, plain_error = (np.square(it - matrix).sum(1) for it in (values * scales, plain))
    assert error[0] < 0.9 * plain_error[0]
    assert error[1] <= plain_error[1] * 1.001


def test_a_row_with_one_large_value_is_not_clipped_away() -> None:
    matrix = np.full((1, 64), 0.01, np.float32)
    matrix[0, 5] = 8
    values, scales = quantize_rows(matrix)
    assert abs(values[0, 5] * scales[0, 0] - 8) < 0.04


def test_many_rows_are_quantized_as_each_alone() -> None:
    matrix = RNG.standard_normal((1030, 4)).astype(np.float32)  # more than are quantized at once
    values, scales = quantize_rows(matrix)
    for row in (0, 1023, 1024, 1029):
        alone, scale = quantize_rows(matrix[row : row + 1])
        assert (values[row] == alone[0]).all()
        assert scales[row] == scale[0]


@given(bounds, bounds)
def test_zero_is_one_of_the_256_steps(low: float, high: float) -> None:
    low, high = to_activation_range(min(low, high), max(low, high))
    assert low <= 0 < high
    assert round_activations(np.zeros(1, np.float32), low, high)[0] == 0


@given(bounds, bounds, st.integers(0, 100))
def test_a_value_in_the_range_moves_by_at_most_a_step(one: float, other: float, seed: int) -> None:
    low, high = min(one, other), max(one, other)
    x = np.random.default_rng(seed).uniform(low, high, 50).astype(np.float32)
    low, high = to_activation_range(low, high)
    step = (high - low) / 255
    assert (np.abs(round_activations(x, low, high) - x) <= step * 1.001 + 1e-6).all()


def test_values_outside_of_the_range_are_clipped() -> None:
    rounded = round_activations(np.array([-9, 9], np.float32), *to_activation_range(-1.0, 3.0))
    np.testing.assert_allclose(rounded, [-1, 3], atol=0.02)


def test_a_symmetric_range_reaches_the_peak_and_has_zero_in_its_middle() -> None:
    low, high = to_symmetric_range(2.54)
    assert (high, round(low, 6)) == (2.54, -2.56)
