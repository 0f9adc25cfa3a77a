"""The error of an encoder's output that a layer in 8 bit makes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

import numpy as np
import openvino as ov
from numpy.typing import NDArray

from neuron_whisper.model.dims import WhisperDims
from neuron_whisper.target.cpu.encoder_scales import EncoderScales
from neuron_whisper.target.cpu.lowering.encoder_int8 import quantize_encoder

Array = NDArray[np.float32]


class EncoderErrors:
    """Runs a float32 encoder over mels (1, n_mels, frames), all of one length, with chosen layers in 8 bit."""

    def __init__(self, model: ov.Model, dims: WhisperDims, read: Callable[[str], Array], mels: Sequence[Array]) -> None:
        self._model, self._dims, self._read, self._mels = model.clone(), dims, read, mels
        self._model.reshape({0: list(mels[0].shape)})
        self._exact = self._run(self._model)

    def measure(self, scales: EncoderScales, chosen: Collection[str]) -> float:
        """The relative error of the cross-K/V with these layers and scores in 8 bit."""
        model = self._model.clone()
        quantize_encoder(model, self._dims, scales, chosen, self._read)
        error = power = 0.0
        for values, exact in zip(self._run(model), self._exact, strict=True):
            error += float(np.square(values - exact).sum())
            power += float(np.square(exact).sum())
        return (error / power) ** 0.5 if power else 0.0

    def _run(self, model: ov.Model) -> list[Array]:
        request = ov.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"}).create_infer_request()
        outputs: list[Array] = []
        for mel in self._mels:
            request.infer([mel])
            outputs += [request.get_output_tensor(port).data.copy() for port in range(len(model.outputs))]
        return outputs
