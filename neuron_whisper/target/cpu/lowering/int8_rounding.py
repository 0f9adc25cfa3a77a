"""8-bit rounding as OpenVINO's integer products do it: matrices by row, activations by tensor."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
ROW_CLIPS = (1.0, 0.95, 0.9, 0.85, 0.8, 0.75)  # shares of a row's peak that may become 127
SMALLEST_PEAK = 1e-8
ROWS_AT_ONCE = 1024  # of a matrix: its float copies stay small


def quantize_rows(matrix: Array) -> tuple[NDArray[np.int8], Array]:
    """(out, in) -> int8 (out, in) and scales (out, 1), each row clipped where its squared error is least.

    A row of zeros keeps scale 1.
    """
    values, scales = np.empty(matrix.shape, np.int8), np.empty((len(matrix), 1), np.float32)
    for start in range(0, len(matrix), ROWS_AT_ONCE):
        part = slice(start, start + ROWS_AT_ONCE)
        values[part], scales[part] = _quantize_few_rows(matrix[part])
    return values, scales


def _quantize_few_rows(matrix: Array) -> tuple[NDArray[np.int8], Array]:
    peak = np.abs(matrix).max(1, keepdims=True)
    best_error = np.full((len(matrix), 1), np.inf, np.float32)
    best_scale = np.ones((len(matrix), 1), np.float32)
    for clip in ROW_CLIPS:
        scale = np.where(peak > SMALLEST_PEAK, peak * np.float32(clip / 127), np.float32(1))
        error = np.square(_round_symmetric(matrix, scale) * scale - matrix).sum(1, keepdims=True)
        best_scale = np.where(error < best_error, scale, best_scale)
        best_error = np.minimum(error, best_error)
    return _round_symmetric(matrix, best_scale).astype(np.int8), best_scale


def _round_symmetric(matrix: Array, scale: Array) -> Array:
    steps: Array = np.clip(np.rint(matrix / scale), -127, 127)
    return steps


def to_activation_range(low: float, high: float) -> tuple[float, float]:
    """The range of 256 steps that holds 0 on one of them, about [low, high] widened to 0."""
    low, high = min(low, 0.0), max(high, SMALLEST_PEAK)
    step = (high - low) / 255
    zero = min(round(-low / step), 254)  # one step at least is above 0
    return -zero * step, (255 - zero) * step


def to_symmetric_range(peak: float) -> tuple[float, float]:
    """The range of 256 steps with 0 in its middle: 127 of them reach the peak."""
    peak = max(peak, SMALLEST_PEAK)
    return -peak * 128 / 127, peak


def round_activations(x: Array, low: float, high: float) -> Array:
    """The values that x has after 8 bit over a range of to_activation_range."""
    step = np.float32((high - low) / 255)
    zero = np.float32(round(-low / step))
    rounded: Array = np.clip(np.rint(x / step), -zero, np.float32(255) - zero) * step
    return rounded
