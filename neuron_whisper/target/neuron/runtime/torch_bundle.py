"""TorchBundle: runs the graphs of NxD's bundle with PyTorch NeuronX."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor

from neuron_whisper.graph.dtypes import TORCH_DTYPES
from neuron_whisper.profile import TargetTable
from neuron_whisper.target.neuron.lowering.layout import GRAPHS_FILE, weights_file
from neuron_whisper.target.neuron.runtime.core_allocation import explain_load_failure


class TorchBundle:
    """A GraphRunner on the loaded TorchScript, which routes by the inputs' shapes."""

    def __init__(self, program: Any, dtype: torch.dtype) -> None:
        self._program, self._dtype = program, dtype

    @classmethod
    def load(cls, directory: Path, target: TargetTable, cores: str) -> TorchBundle:
        """Load the bundle, each rank's weights on its core. Raises DeviceError with the runtime's message."""
        try:
            import_module("torch_neuronx")  # registers the classes of the bundle's objects
            bundle = torch.jit.load(directory / GRAPHS_FILE)  # type: ignore[no-untyped-call] # torch leaves it untyped
            weights = [load_file(weights_file(directory, rank)) for rank in range(target.tp)]
            bundle.nxd_model.initialize(weights, torch.tensor([0], dtype=torch.int32))
        except (RuntimeError, torch.jit.Error) as error:  # of the runtime, and of NxD's TorchScript
            raise explain_load_failure(error, cores) from error
        # Not the bundle's own forward: it takes as many inputs as the graph traced last; these graphs differ.
        return cls(bundle.nxd_model, TORCH_DTYPES[target.dtype])

    def __call__(self, *inputs: NDArray[Any]) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        try:
            with torch.inference_mode():
                ints, floats = self._program.forward([self._to_tensor(array) for array in inputs])
        except torch.jit.Error as error:
            raise RuntimeError(str(error)) from error
        return ints.numpy(), floats.numpy()

    def _to_tensor(self, array: NDArray[Any]) -> Tensor:
        tensor = torch.tensor(array)
        return tensor.to(self._dtype) if tensor.is_floating_point() else tensor

    def close(self) -> None:
        self._program = None
