"""The pass that makes an encoder's graph run in 8 bit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import openvino as ov
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from openvino import opset13 as ops

from neuron_whisper.profile import parse_profile
from neuron_whisper.target.cpu.encoder_scales import (
    EncoderScales,
    LayerScales,
    layer_parameters,
    score_names,
)
from neuron_whisper.target.cpu.lowering.encoder_int8 import choose_layers, estimate_error, quantize_encoder
from neuron_whisper.target.cpu.lowering.encoder_layers import find_attention, find_layer_inputs
from neuron_whisper.target.cpu.lowering.int8_rounding import quantize_rows, round_activations, to_activation_range
from neuron_whisper.target.cpu.lowering.lowering import Lowering
from tests.support.encoder_scales import run_encoder, scales_of
from tests.support.sessions import checkpoint, compile_request
from tests.support.tiny_program import DIMS, mel, parameters, spec

PROFILE = parse_profile('format = 1\n[target]\nname = "cpu"\n')
WEIGHTS = parameters()
LAYERS, SCORES = list(layer_parameters(DIMS)), score_names(DIMS)


def lower(name: str = "encode_1", weights: dict[str, NDArray[np.float32]] = WEIGHTS) -> ov.Model:
    stored = checkpoint(spec())
    stored.__dict__["_tensors"] = weights
    return Lowering(compile_request(spec(), PROFILE, stored, Path("unused"))).lower_graph(name)


def read(name: str) -> NDArray[np.float32]:
    return WEIGHTS[name]


def read_instead(name: str, matrix: NDArray[np.float32]) -> Callable[[str], NDArray[np.float32]]:
    """As read, with another matrix of the layer."""
    return lambda wanted: matrix if wanted == f"{name}.weight" else read(wanted)


def relative_error(found: list[NDArray[np.float32]], exact: list[NDArray[np.float32]]) -> float:
    pairs = list(zip(found, exact, strict=True))
    return float((sum(np.square(a - b).sum() for a, b in pairs) / sum(np.square(b).sum() for _, b in pairs)) ** 0.5)


@pytest.fixture(scope="module")
def model() -> ov.Model:
    return lower()


@pytest.fixture(scope="module")
def scales(model: ov.Model) -> EncoderScales:
    return scales_of(model, mel(), DIMS, read)


def test_every_layer_and_every_attention_is_found(model: ov.Model) -> None:
    inputs = find_layer_inputs(model, layer_parameters(DIMS), read)
    assert [it.layer for it in inputs] == LAYERS
    assert [len(it.products) for it in inputs] == [1, 1, *[3, 1, 1, 1] * DIMS.n_audio_layer, 2 * DIMS.n_text_layer]
    assert [name for name, _ in find_attention(model, inputs)] == SCORES


def test_a_matrix_with_denormal_numbers_is_found() -> None:
    name = "encoder.blocks.0.mlp.0.weight"
    weights = WEIGHTS | {name: WEIGHTS[name].copy()}
    weights[name][0, 0] = 1e-40
    found = find_layer_inputs(lower(weights=weights), layer_parameters(DIMS), weights.__getitem__)
    assert [it.layer for it in found] == list(layer_parameters(DIMS))


def test_a_matrix_that_two_layers_have_alike_is_left_alone() -> None:
    twins = WEIGHTS | {"encoder.blocks.1.attn.out.weight": WEIGHTS["encoder.blocks.0.attn.out.weight"]}
    found = find_layer_inputs(lower(weights=twins), layer_parameters(DIMS), twins.__getitem__)
    assert not {"encoder.blocks.0.attn.out", "encoder.blocks.1.attn.out"} & {it.layer for it in found}


def test_the_products_are_of_integers_and_near_the_float_encoder(model: ov.Model, scales: EncoderScales) -> None:
    quantized = model.clone()
    assert quantize_encoder(quantized, DIMS, scales, [*LAYERS, *SCORES], read) == [*LAYERS, *SCORES]
    error = relative_error(run_encoder(quantized, mel()), run_encoder(model, mel()))
    assert 0 < error < 0.2  # the scores of this model are sharp
    compiled = ov.Core().compile_model(quantized, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    kinds = [node.get_rt_info()["primitiveType"].astype(str).lower() for node in compiled.get_runtime_model().get_ops()]
    assert sum(kind.endswith("_i8") and "gemm" in kind for kind in kinds) >= len(LAYERS) - 2


def test_layers_that_were_not_chosen_are_as_they_were(model: ov.Model, scales: EncoderScales) -> None:
    quantized = model.clone()
    assert quantize_encoder(quantized, DIMS, scales, ["encoder.blocks.1.mlp.0"], read) == ["encoder.blocks.1.mlp.0"]
    kinds = [node.get_type_name() for node in quantized.get_ops()]
    assert kinds.count("FakeQuantize") == 1
    untouched = model.clone()
    assert quantize_encoder(untouched, DIMS, scales, [], read) == []
    np.testing.assert_array_equal(run_encoder(untouched, mel())[0], run_encoder(model, mel())[0])


def layer_model(matrix: NDArray[np.float32]) -> ov.Model:
    """A graph of one layer: x (1, n, in) times a matrix, or x (1, in, frames) convolved."""
    if matrix.ndim == 2:
        x = ops.parameter([1, -1, matrix.shape[1]], np.float32)
        return ov.Model([ops.matmul(x, ops.constant(matrix), False, True)], [x])
    x = ops.parameter([1, matrix.shape[1], -1], np.float32)
    return ov.Model([ops.convolution(x, ops.constant(matrix), [1], [1], [1], [1])], [x])


@pytest.mark.parametrize("name", ["encoder.blocks.0.mlp.0", "encoder.blocks.1.mlp.2", "encoder.blocks.0.attn.out"])
def test_a_product_is_that_of_the_rounded_input_and_the_rounded_matrix(name: str) -> None:
    matrix, rng = WEIGHTS[f"{name}.weight"], np.random.default_rng(1)
    smoothing = np.exp2(rng.integers(-4, 5, matrix.shape[1]) / 2).astype(np.float32)
    low, high = to_activation_range(-2.0, 3.0)
    model = layer_model(matrix)
    layer = LayerScales(smoothing=smoothing, low=low, high=high, error=0)
    assert quantize_encoder(model, DIMS, EncoderScales(layers={name: layer}, scores={}), [name], read) == [name]
    x = (rng.standard_normal((1, 20, matrix.shape[1])) * smoothing * 2).astype(np.float32)  # some beyond the range
    values, scale = quantize_rows(matrix * smoothing)
    expected = round_activations(x / smoothing, low, high) @ (values * scale).T
    found = run_encoder(model, x)[0]
    np.testing.assert_allclose(found, expected, atol=0.1)  # a tie of the rounding may fall either way
    assert relative_error([found], [expected]) < 2e-3


def test_a_convolution_is_quantized_by_its_input_channels() -> None:
    name, rng = "encoder.conv2", np.random.default_rng(1)
    matrix = WEIGHTS[f"{name}.weight"]
    smoothing = np.exp2(rng.integers(-3, 4, matrix.shape[1])).astype(np.float32)
    floats, model = layer_model(matrix), layer_model(matrix)
    low, high = to_activation_range(-5.0, 5.0)
    layer = LayerScales(smoothing=smoothing, low=low, high=high, error=0)
    assert quantize_encoder(model, DIMS, EncoderScales(layers={name: layer}, scores={}), [name], read) == [name]
    x = (rng.standard_normal((1, matrix.shape[1], 30)) * smoothing.reshape(1, -1, 1)).astype(np.float32)
    assert relative_error(run_encoder(model, x), run_encoder(floats, x)) < 0.03


def test_smoothing_saves_an_input_with_one_loud_channel() -> None:
    name, rng = "encoder.blocks.0.mlp.0", np.random.default_rng(1)
    loud = np.where(np.arange(DIMS.n_audio_state) == 3, 256, 1).astype(np.float32)
    matrix = (WEIGHTS[f"{name}.weight"] / loud).astype(np.float32)
    x = (rng.standard_normal((1, 50, len(loud))) * loud).astype(np.float32)
    errors = []
    for smoothing in (np.ones(len(loud), np.float32), loud):
        bound = float(np.abs(x / smoothing).max())
        low, high = to_activation_range(-bound, bound)
        model = layer_model(matrix)
        layer = LayerScales(smoothing=smoothing, low=low, high=high, error=0)
        quantize_encoder(
            model, DIMS, EncoderScales(layers={name: layer}, scores={}), [name], read_instead(name, matrix)
        )
        errors.append(relative_error(run_encoder(model, x), run_encoder(layer_model(matrix), x)))
    assert errors[1] < 0.02 < errors[0] / 5


@pytest.mark.parametrize(("batch", "frames", "is_free"), [(2, 48, False), (1, 16, False), (1, 16, True), (1, 48, True)])
def test_a_graph_of_any_batch_and_length_is_quantized_with_the_same_scales(
    model: ov.Model, scales: EncoderScales, batch: int, frames: int, is_free: bool
) -> None:
    floats = model.clone()
    floats.reshape({0: [batch, DIMS.n_mels, -1 if is_free else frames]})
    quantized = floats.clone()
    assert quantize_encoder(quantized, DIMS, scales, [*LAYERS, *SCORES], read) == [*LAYERS, *SCORES]
    mels = np.ascontiguousarray(np.tile(mel()[:, :, :frames], (batch, 1, 1)))
    assert relative_error(run_encoder(quantized, mels), run_encoder(floats, mels)) < 0.2


def test_a_row_of_zeros_gives_zeros() -> None:
    name, matrix = "encoder.blocks.0.mlp.0", WEIGHTS["encoder.blocks.0.mlp.0.weight"].copy()
    matrix[7] = 0
    model = layer_model(matrix)
    layer = LayerScales(smoothing=np.ones(matrix.shape[1], np.float32), low=-1, high=1, error=0)
    scales = EncoderScales(layers={name: layer}, scores={})
    assert quantize_encoder(model, DIMS, scales, [name], read_instead(name, matrix)) == [name]
    found = run_encoder(model, np.ones((1, 3, matrix.shape[1]), np.float32))[0]
    assert (found[..., 7] == 0).all()
    assert np.isfinite(found).all()


errors_by_layer = st.lists(st.floats(0, 1), min_size=len(LAYERS), max_size=len(LAYERS))


@given(errors_by_layer, st.floats(0.001, 1))
def test_the_layers_of_the_largest_errors_are_left_out_until_the_rest_is_within_the_budget(
    errors: list[float], budget: float
) -> None:
    layer = LayerScales(smoothing=np.ones(1, np.float32), low=-1, high=1, error=0)
    layers = {name: replace(layer, error=error) for name, error in zip(LAYERS, errors, strict=True)}
    scales = EncoderScales(layers=layers, scores={})
    chosen = choose_layers(scales, budget)
    left_out = set(LAYERS) - chosen
    assert estimate_error(scales, chosen) <= budget + 1e-9
    assert all(layers[a].error >= layers[b].error for a in left_out for b in chosen)
    if left_out:
        least = min(left_out, key=lambda name: layers[name].error)
        assert estimate_error(scales, chosen | {least}) > budget - 1e-9
