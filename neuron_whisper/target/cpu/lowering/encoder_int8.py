"""Makes an encoder's graph run in 8 bit with static scales: FakeQuantize at the layers' inputs, int8 matrices.

The CPU plugin runs such a product on integers. An input is divided by the smoothing of its channels first, and the
matrix multiplied by it. The division costs nothing: it is fused with what made the input, and the rounding is of the
tensor, since one of channels that is not fused, as in graphs of free length, is refused by the plugin. Axes do not
matter but the channels': a graph of any number of windows and positions is quantized alike.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

import numpy as np
import openvino as ov
from numpy.typing import NDArray
from openvino import opset13 as ops

from neuron_whisper.model.dims import WhisperDims
from neuron_whisper.target.cpu.encoder_scales import EncoderScales, LayerScales, ScoreScales, layer_parameters
from neuron_whisper.target.cpu.lowering.constants import PLAIN, Constants, Packing
from neuron_whisper.target.cpu.lowering.encoder_layers import (
    LayerInput,
    find_attention,
    find_constant,
    find_layer_inputs,
)
from neuron_whisper.target.cpu.lowering.int8_rounding import quantize_rows, to_symmetric_range

Array = NDArray[np.float32]
LEVELS = 256
# The encoder's relative error, as far as it is that of its 8-bit layers. bfloat16 alone makes 0.012 to 0.016 with
# tiny.en and base, all layers in 8 bit 0.05 and 0.09. With base, convolutions and the first attention make most of it
# and 9 % of the products: without them the encoder is 1.46 times as fast as in bfloat16, with them 1.54 times.
ERROR_BUDGET = 0.05


def choose_layers(scales: EncoderScales, budget: float = ERROR_BUDGET) -> set[str]:
    """The layers and scores that run in 8 bit: all but those of the largest errors, which are left out until the rest
    is within the budget. Errors add up as their squares do."""
    chosen = {*scales.layers, *scales.scores}
    for name in sorted(chosen, key=lambda it: (_find_error(scales, it), it), reverse=True):
        if estimate_error(scales, chosen) <= budget:
            break
        chosen.remove(name)
    return chosen


def estimate_error(scales: EncoderScales, chosen: Collection[str]) -> float:
    """The encoder's relative error with these layers and scores in 8 bit."""
    return float(sum(_find_error(scales, name) ** 2 for name in chosen) ** 0.5)


def _find_error(scales: EncoderScales, name: str) -> float:
    return scales.layers[name].error if name in scales.layers else scales.scores[name].error


def quantize_encoder(
    model: ov.Model,
    dims: WhisperDims,
    scales: EncoderScales,
    chosen: Collection[str],
    read: Callable[[str], Array],
    constants: Constants = PLAIN,
) -> list[str]:
    """Quantize the chosen layers and scores of a float32 encoder, in place, and return those that were found.

    `read` gives a matrix of the checkpoint by name.
    """
    inputs = find_layer_inputs(model, layer_parameters(dims), read, constants)
    attention = find_attention(model, inputs)
    found = []
    for layer_input in inputs:
        if layer_input.layer in chosen:
            _quantize_layer(layer_input, scales.layers[layer_input.layer], constants)
            found.append(layer_input.layer)
    for name, node in attention:
        if name in chosen:
            _quantize_scores(node, scales.scores[name])
            found.append(name)
    model.validate_nodes_and_infer_types()
    return list(dict.fromkeys(found))


def smooth_matrix(matrix: Array, smoothing: Array) -> Array:
    """The matrix (out, in, ...) for an input that was divided by smoothing (in,)."""
    return matrix * smoothing.reshape(1, -1, *[1] * (matrix.ndim - 2))


def _quantize_layer(layer_input: LayerInput, layer: LayerScales, constants: Constants) -> None:
    channels = (1, -1, 1) if layer_input.is_convolution else (1, 1, -1)
    smoothed = ops.multiply(layer_input.source, ops.constant((1 / layer.smoothing).reshape(channels)))
    low, high = np.float32(layer.low), np.float32(layer.high)
    rounded = ops.fake_quantize(smoothed, low, high, low, high, LEVELS)
    for product in layer_input.products:
        constant = find_constant(product)
        assert constant is not None, "a product is found by its matrix"
        values, scale = constants.pack(constant, _make_packing(layer, list(constant.get_output_shape(0))))
        weights = ops.multiply(ops.convert(values, "f32"), scale)
        product.input(0).replace_source_output(rounded.output(0))
        product.input(1).replace_source_output(weights.output(0))


def _make_packing(layer: LayerScales, shape: list[int]) -> Packing:
    """int8 and a scale for each row, of a matrix for an input that is smoothed."""
    return Packing(
        name="int8 of the encoder",
        results=[(shape, ov.Type.i8), ([shape[0], *[1] * (len(shape) - 1)], ov.Type.f32)],
        pack=lambda matrix: quantize_rows(smooth_matrix(matrix, layer.smoothing).reshape(len(matrix), -1)),
    )


def _quantize_scores(attention: ov.Node, scores: ScoreScales) -> None:
    for port, peak in enumerate((scores.query_peak, scores.key_peak)):
        low, high = (np.float32(bound) for bound in to_symmetric_range(peak))
        rounded = ops.fake_quantize(attention.input_value(port), low, high, low, high, LEVELS)
        attention.input(port).replace_source_output(rounded.output(0))
