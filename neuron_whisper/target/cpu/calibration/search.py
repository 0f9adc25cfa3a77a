"""How a layer's input becomes 8 bit with the least error: smoothing and clipping, tried on samples of the input."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neuron_whisper.target.cpu.encoder_scales import LayerScales, decode_smoothing, encode_smoothing
from neuron_whisper.target.cpu.lowering.encoder_int8 import smooth_matrix
from neuron_whisper.target.cpu.lowering.int8_rounding import quantize_rows, round_activations, to_activation_range

Array = NDArray[np.float32]
EXPONENTS = (0.5, 0.6, 0.7, 0.8, 0.9)  # the share of the input's spread that moves into the matrix
CLIPS = (1.0, 0.9, 0.8)  # shares of the input's range that are kept
MAX_ROWS = 768  # of the matrix that are tried
SMALLEST_PEAK = 1e-5


@dataclass(frozen=True, slots=True, eq=False)
class LayerSamples:
    """What a layer read: samples (n, in), a convolution's (n, in, width), and each channel's bounds (in,)."""

    samples: Array
    low: Array
    high: Array


def search_layer(read: LayerSamples, matrix: Array) -> LayerScales:
    """The scales with the least relative error of the products with matrix (out, in) or (out, in, width).

    `error` is that of the products; evaluate.py measures the one of the encoder.
    """
    tried = matrix[:: -(-len(matrix) // MAX_ROWS)]
    samples = read.samples.reshape(len(read.samples), -1)
    exact = samples @ tried.reshape(len(tried), -1).T
    power = float(np.square(exact).sum()) or 1.0
    best: LayerScales | None = None
    for exponent in EXPONENTS:
        smoothing = choose_smoothing(read, matrix, exponent)
        values, scale = quantize_rows(smooth_matrix(tried, smoothing).reshape(len(tried), -1))
        rounded_matrix = values * scale
        wide: Array = np.repeat(smoothing, samples.shape[1] // len(smoothing))
        smoothed: Array = np.divide(samples, wide)
        low, high = float((read.low / smoothing).min()), float((read.high / smoothing).max())
        for clip in CLIPS:
            bounds = to_activation_range(low * clip, high * clip)
            difference = round_activations(smoothed, *bounds) @ rounded_matrix.T - exact
            error = (float(np.square(difference).sum()) / power) ** 0.5
            if best is None or error < best.error:
                best = LayerScales(smoothing=smoothing, low=bounds[0], high=bounds[1], error=error)
    assert best is not None
    return best


def choose_smoothing(read: LayerSamples, matrix: Array, exponent: float) -> Array:
    """Divisors (in,) of the input as they are stored, with geometric mean 1.

    SmoothQuant (arXiv:2211.10438): peaks of the input ** exponent / peaks of the matrix ** (1 - exponent).
    """
    peaks = np.maximum(np.maximum(np.abs(read.low), np.abs(read.high)), SMALLEST_PEAK)
    weights = np.maximum(np.abs(matrix).max(axis=tuple(it for it in range(matrix.ndim) if it != 1)), SMALLEST_PEAK)
    smoothing: Array = np.power(peaks, np.float32(exponent)) / np.power(weights, np.float32(1 - exponent))
    return decode_smoothing(encode_smoothing(smoothing / np.exp(np.log(smoothing).mean())))
