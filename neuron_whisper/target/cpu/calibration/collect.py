"""What an encoder's layers read, in float32, over windows of speech: samples, and bounds by channel."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import openvino as ov
from numpy.typing import NDArray

from neuron_whisper.target.cpu.calibration.search import LayerSamples
from neuron_whisper.target.cpu.lowering.encoder_layers import LayerInput

Array = NDArray[np.float32]
MAX_SAMPLES = 4096  # positions that are kept of all windows
SPOKEN = 0.75  # share of the positions that are drawn where the audio is
SEED = 0


@dataclass(frozen=True, slots=True, eq=False)
class SpeechWindow:
    """mel (1, n_mels, 3000); `share` of it, from its start, holds the audio."""

    mel: Array
    share: float


def collect_inputs(
    model: ov.Model,
    layers: Sequence[LayerInput],
    attention: Sequence[tuple[str, ov.Node]],
    windows: Sequence[SpeechWindow],
    progress: Callable[[int, int], None],
) -> tuple[dict[str, LayerSamples], dict[str, tuple[float, float]]]:
    """Run the float32 encoder: what each layer read, and the largest |query| and |key| of each attention, by name.

    Outputs are added to the model. Positions are drawn at random: where the audio is and, a fourth of them, anywhere.
    """
    first = len(model.outputs)
    model.add_outputs([it.source for it in layers])
    model.add_outputs([node.input_value(port) for _, node in attention for port in (0, 1)])
    request = ov.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"}).create_infer_request()
    rng = np.random.default_rng(SEED)
    records = [_LayerRecord(it.is_convolution) for it in layers]
    peaks = np.zeros((len(attention), 2))
    for done, window in enumerate(windows):
        progress(done, len(windows))
        request.set_input_tensor(0, ov.Tensor(window.mel, shared_memory=True))
        request.infer()
        places = _choose_places(rng, window.share, max(1, MAX_SAMPLES // len(windows)))
        for port, record in enumerate(records, first):
            record.add(request.get_output_tensor(port).data, places)
        for i in range(peaks.size):
            values = request.get_output_tensor(first + len(records) + i).data
            peaks.flat[i] = max(peaks.flat[i], float(np.abs(values).max()))
    samples = {it.layer: record.finish() for it, record in zip(layers, records, strict=True)}
    return samples, {name: (float(query), float(key)) for (name, _), (query, key) in zip(attention, peaks, strict=True)}


def _choose_places(rng: np.random.Generator, share: float, count: int) -> NDArray[np.float64]:
    """Places in a window, as shares of its length."""
    spoken = rng.random(count) * share
    return np.where(rng.random(count) < SPOKEN, spoken, rng.random(count))


class _LayerRecord:
    """Samples and bounds of one layer's input; axes (1, positions, in), a convolution's (1, in, frames)."""

    def __init__(self, is_convolution: bool) -> None:
        self._is_convolution = is_convolution
        self._samples: list[Array] = []
        self._bounds: list[Array] = []

    def add(self, values: Array, places: NDArray[np.float64]) -> None:
        rows = values[0].T if self._is_convolution else values.reshape(-1, values.shape[-1])
        chosen = (places * len(rows)).astype(np.intp)
        if self._is_convolution:
            around = np.clip(chosen[:, None] + np.arange(-1, 2), 0, len(rows) - 1)
            self._samples.append(rows[around].swapaxes(1, 2).copy())  # (n, in, width)
        else:
            self._samples.append(rows[chosen])
        self._bounds.append(np.stack([rows.min(0), rows.max(0)]))

    def finish(self) -> LayerSamples:
        bounds = np.stack(self._bounds)
        return LayerSamples(np.concatenate(self._samples), bounds[:, 0].min(0), bounds[:, 1].max(0))
