"""Constants of OpenVINO graphs: of 16 bit, and shared by several graphs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import openvino as ov
from openvino import opset13 as ops

from neuron_whisper.target.cpu.lowering.weights import WeightsFile, compress_bfloat16

MATRIX = np.random.default_rng(0).standard_normal((96, 64)).astype(np.float32)
N_VOCAB = len(MATRIX)


def product_model(matrix: np.ndarray) -> ov.Model:
    x = ops.parameter([1, matrix.shape[1]], np.float32)
    return ov.Model([ops.matmul(x, ops.constant(matrix), False, True)], [x])


def lookup_model(matrix: np.ndarray) -> ov.Model:
    ids = ops.parameter([-1], np.int32)
    return ov.Model([ops.gather(ops.constant(matrix), ids, ops.constant(0, dtype=np.int32))], [ids])


def run(model: ov.Model, x: np.ndarray) -> np.ndarray:
    output: np.ndarray = ov.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})(x)[0]
    return output


def to_bfloat16(matrix: np.ndarray) -> np.ndarray:
    """The nearest bfloat16 numbers, by trying both neighbours."""
    below = (matrix.view(np.uint32) & np.uint32(0xFFFF0000)).view(np.float32)
    above = ((matrix.view(np.uint32) & np.uint32(0xFFFF0000)) + np.uint32(0x10000)).view(np.float32)
    return np.where(np.abs(matrix - below) <= np.abs(above - matrix), below, above)


def test_a_matrix_is_rounded_to_the_nearest_bfloat16_numbers() -> None:
    model = product_model(MATRIX)
    compress_bfloat16(model, N_VOCAB)
    assert any(node.get_element_type() == ov.Type.bf16 for node in model.get_ops() if node.get_output_size())
    for column in (0, 3, 63):
        found = run(model, np.eye(1, 64, column, dtype=np.float32))[0]
        np.testing.assert_array_equal(found, to_bfloat16(MATRIX)[:, column])


def test_the_embedding_is_bfloat16_and_positions_stay_float32() -> None:
    ids = np.array([0, 5], np.int32)
    for n_vocab, expected in ((N_VOCAB, to_bfloat16(MATRIX)), (N_VOCAB + 1, MATRIX)):
        model = lookup_model(MATRIX)
        compress_bfloat16(model, n_vocab)
        np.testing.assert_array_equal(run(model, ids), expected[ids])


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
