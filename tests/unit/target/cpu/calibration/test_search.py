"""How a layer's scales are found."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from neuron_whisper.target.cpu.calibration.search import LayerSamples, choose_smoothing, search_layer
from neuron_whisper.target.cpu.encoder_scales import decode_smoothing, encode_smoothing
from neuron_whisper.target.cpu.lowering.int8_rounding import quantize_rows, round_activations

RNG = np.random.default_rng(0)
LOUD = np.where(np.arange(48) % 16 == 3, 60, 1).astype(np.float32)


def samples(*shape: int) -> LayerSamples:
    """Of channels some of which are loud."""
    values = RNG.standard_normal(shape).astype(np.float32) * LOUD.reshape(1, -1, *[1] * (len(shape) - 2))
    axes = tuple(axis for axis in range(len(shape)) if axis != 1)
    return LayerSamples(values, values.min(axes), values.max(axes))


def plain_error(read: LayerSamples, matrix: NDArray[np.float32]) -> float:
    """The relative error without smoothing."""
    values, scale = quantize_rows(matrix)
    peak = float(np.abs(read.samples).max())
    found = round_activations(read.samples, -peak, peak) @ (values * scale).T
    exact = read.samples @ matrix.T
    return float(np.sqrt(np.square(found - exact).sum() / np.square(exact).sum()))


def test_the_error_is_that_of_the_products_and_below_the_one_without_smoothing() -> None:
    read, matrix = samples(400, 48), RNG.standard_normal((64, 48)).astype(np.float32)
    matrix /= LOUD
    found = search_layer(read, matrix)
    values, scale = quantize_rows(matrix * found.smoothing)
    rounded = round_activations(read.samples / found.smoothing, found.low, found.high) @ (values * scale).T
    exact = read.samples @ matrix.T
    assert abs(np.sqrt(np.square(rounded - exact).sum() / np.square(exact).sum()) - found.error) < 1e-4
    assert found.error < plain_error(read, matrix) / 3


def test_a_convolution_is_smoothed_by_its_input_channels() -> None:
    found = search_layer(samples(300, 48, 3), RNG.standard_normal((20, 48, 3)).astype(np.float32))
    assert found.smoothing.shape == (48,)
    assert found.smoothing[3] > 4 * found.smoothing[4]
    assert found.error < 0.02


def test_smoothing_is_what_its_file_holds() -> None:
    smoothing = choose_smoothing(samples(50, 48), RNG.standard_normal((8, 48)).astype(np.float32), 0.7)
    np.testing.assert_array_equal(decode_smoothing(encode_smoothing(smoothing)), smoothing)
    assert abs(float(np.log(smoothing).mean())) < 0.05


def test_a_silent_channel_and_a_layer_of_zeros_give_finite_scales() -> None:
    read = samples(50, 48)
    quiet = LayerSamples(read.samples * (LOUD == 1), read.low * (LOUD == 1), read.high * (LOUD == 1))
    for matrix in (RNG.standard_normal((8, 48)).astype(np.float32), np.zeros((8, 48), np.float32)):
        for it in (quiet, LayerSamples(0 * read.samples, 0 * read.low, 0 * read.high)):
            found = search_layer(it, matrix)
            assert np.isfinite(found.smoothing).all()
            assert found.low <= 0 < found.high
            assert np.isfinite(found.error)
