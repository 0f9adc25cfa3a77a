"""Constants of OpenVINO graphs: quantized to int8, and shared by several graphs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import openvino as ov
from openvino import opset13 as ops

from neuron_whisper.target.cpu.lowering.weights import WeightsFile, compress_int8

MATRIX = np.random.default_rng(0).standard_normal((96, 64)).astype(np.float32)


def product_model(matrix: np.ndarray) -> ov.Model:
    x = ops.parameter([1, matrix.shape[1]], np.float32)
    return ov.Model([ops.matmul(x, ops.constant(matrix), False, True)], [x])


def run(model: ov.Model, x: np.ndarray) -> np.ndarray:
    output: np.ndarray = ov.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})(x)[0]
    return output


def test_a_quantized_matrix_is_within_half_a_step_of_each_row() -> None:
    model, x = product_model(MATRIX), np.eye(1, 64, 3, dtype=np.float32)
    compress_int8(model)
    assert any(node.get_element_type() == ov.Type.i8 for node in model.get_ops())
    steps = np.abs(MATRIX).max(1) / 127
    assert (np.abs(run(model, x)[0] - MATRIX[:, 3]) <= steps / 2 + 1e-6).all()


def test_a_small_matrix_is_left_in_float() -> None:
    model = product_model(MATRIX[:8])
    compress_int8(model)
    assert not any(node.get_element_type() == ov.Type.i8 for node in model.get_ops())


def test_models_share_equal_constants_and_still_compute_the_same(tmp_path: Path) -> None:
    x = np.ones((1, 64), np.float32)
    with WeightsFile(tmp_path / "weights.bin") as weights:
        for name in ("a", "b"):
            ov.save_model(product_model(MATRIX), tmp_path / f"{name}.draft.xml", compress_to_fp16=False)
            weights.add_model(tmp_path / f"{name}.draft.xml", tmp_path / f"{name}.xml")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.xml", "b.xml", "weights.bin"]
    assert MATRIX.nbytes <= (tmp_path / "weights.bin").stat().st_size < 1.5 * MATRIX.nbytes
    content = ov.Tensor(np.fromfile(tmp_path / "weights.bin", np.uint8))
    for name in ("a", "b"):
        model = ov.Core().read_model((tmp_path / f"{name}.xml").read_bytes(), content)
        np.testing.assert_allclose(run(model, x), x @ MATRIX.T, rtol=1e-5, atol=1e-4)
