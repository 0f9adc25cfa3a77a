"""Scales of the small program's 8-bit encoder, from one run of its float32 graph."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import openvino as ov
from numpy.typing import NDArray

from neuron_whisper.model.dims import WhisperDims
from neuron_whisper.profile import parse_profile
from neuron_whisper.target.cpu.encoder_scales import (
    EncoderScales,
    LayerScales,
    ScoreScales,
    fingerprint_encoder,
    layer_parameters,
    write_scales,
)
from neuron_whisper.target.cpu.lowering.encoder_layers import find_attention, find_layer_inputs
from neuron_whisper.target.cpu.lowering.int8_rounding import to_activation_range
from neuron_whisper.target.cpu.lowering.lowering import Lowering
from neuron_whisper.target.interfaces import CompileRequest
from tests.support.tiny_program import mel

if TYPE_CHECKING:
    from neuron_whisper.model.checkpoint import Checkpoint

Array = NDArray[np.float32]


def run_encoder(model: ov.Model, mels: Array) -> list[Array]:
    """Every output of the graph, computed in float32."""
    request = ov.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"}).create_infer_request()
    request.infer([mels])
    return [request.get_output_tensor(port).data.copy() for port in range(len(model.outputs))]


def scales_of(model: ov.Model, mels: Array, dims: WhisperDims, read: Callable[[str], Array]) -> EncoderScales:
    """Ranges from one run, without smoothing."""
    probe = model.clone()
    inputs = find_layer_inputs(probe, layer_parameters(dims), read)
    attention = find_attention(probe, inputs)
    outputs = len(probe.outputs)
    probe.add_outputs([it.source for it in inputs])
    probe.add_outputs([node.input_value(port) for _, node in attention for port in (0, 1)])
    values = run_encoder(probe, mels)[outputs:]
    layers = {}
    for it, value in zip(inputs, values, strict=False):
        by_channel = value.swapaxes(1, -1) if it.is_convolution else value
        low, high = to_activation_range(float(value.min()), float(value.max()))
        ones = np.ones(by_channel.shape[-1], np.float32)
        layers[it.layer] = LayerScales(smoothing=ones, low=low, high=high, error=0.01)
    peaks = [float(np.abs(value).max()) for value in values[len(inputs) :]]
    scores = {
        name: ScoreScales(query_peak=peaks[2 * i], key_peak=peaks[2 * i + 1], error=0.01)
        for i, (name, _) in enumerate(attention)
    }
    return EncoderScales(layers=layers, scores=scores)


def write_tiny_scales(path: Path, request: CompileRequest) -> None:
    """The scales of the request's checkpoint, of noise as tests send it."""
    stored: Checkpoint = request.checkpoint
    plain = replace(request.spec, skip_padding=False, audio_contexts=(), encode_batch=1)
    float32 = replace(request, spec=plain, profile=parse_profile('format = 1\n[target]\nname = "cpu"'))
    dims = request.spec.dims

    def read(name: str) -> Array:
        return np.asarray(stored.tensor(name), np.float32)

    found = scales_of(Lowering(float32).lower_graph("encode_1"), mel(dims=dims), dims, read)
    write_scales(path, found, fingerprint_encoder(stored))
