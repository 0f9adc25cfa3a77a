"""An 8-bit encoder on a processor without dot products of 8-bit integers."""

from __future__ import annotations

import numpy as np
import openvino as ov
import pytest
from openvino import opset13 as ops

from neuron_whisper.target.cpu.runtime.encoder_floats import compute_in_floats, has_int8_dot

RNG = np.random.default_rng(0)
MATRIX = RNG.integers(-127, 128, (32, 64)).astype(np.int8)


def layer(low: float, high: float) -> ov.Model:
    """x (1, n, 64) in 8 bit, times an int8 matrix."""
    x = ops.parameter([1, -1, 64], np.float32)
    bounds = np.float32(low), np.float32(high)
    rounded = ops.fake_quantize(x, *bounds, *bounds, 256)
    weights = ops.multiply(ops.convert(ops.constant(MATRIX), "f32"), ops.constant(np.full((32, 1), 0.01, np.float32)))
    return ov.Model([ops.matmul(rounded, weights, False, True)], [x])


def run(model: ov.Model, x: np.ndarray) -> np.ndarray:
    # processors with VNNI would round the inputs of int8 matrices by themselves
    options = {"INFERENCE_PRECISION_HINT": "f32", "DYNAMIC_QUANTIZATION_GROUP_SIZE": "0"}
    output: np.ndarray = ov.Core().compile_model(model, "CPU", options)([x])[0]
    return output


@pytest.mark.parametrize("size", [1, 7], ids=["within the range", "beyond it"])
def test_inputs_are_neither_rounded_nor_clipped(size: float) -> None:
    model = layer(-4.0, 3.96875)
    compute_in_floats(model)
    assert "FakeQuantize" not in {node.get_type_name() for node in model.get_ops()}
    x = (size * RNG.standard_normal((1, 9, 64))).astype(np.float32)
    np.testing.assert_allclose(run(model, x), x @ (MATRIX.T * 0.01), atol=2e-4 * size)


def test_a_graph_without_roundings_is_as_it_was() -> None:
    x = ops.parameter([1, 4], np.float32)
    model = ov.Model([ops.relu(x)], [x])
    compute_in_floats(model)
    assert [node.get_type_name() for node in model.get_ordered_ops()] == ["Parameter", "Relu", "Result"]


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (("avx2",), False),
        (("avx2", "avx512f"), False),  # Skylake: pairs overflow
        (("avx2", "avx_vnni"), True),
        (("avx2", "avx512f", "avx512_vnni"), True),
        (("asimd", "asimddp"), False),  # not proved
        ((), False),
    ],
)
def test_processors_with_vnni_compute_in_8_bit(flags: tuple[str, ...], expected: bool) -> None:
    assert has_int8_dot(flags) is expected
