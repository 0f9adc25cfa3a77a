"""PlainBundle: the Neuron graphs in plain torch, on one rank."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from neuron_whisper.graph.layers import PlainLayers
from neuron_whisper.target.interfaces import ProgramSpec
from neuron_whisper.target.neuron.lowering.graphs import DeviceState, NeuronGraph, example_inputs
from neuron_whisper.target.neuron.lowering.operations import PartitionedOperations
from tests.support.tiny_program import parameters


class OneRankLayers(PartitionedOperations, PlainLayers):
    """Layers of a single rank, whose part of a tensor is the whole, with the operations of the Neuron target."""

    def gather(self, part: Tensor, axis: int) -> Tensor:
        return part


class PlainBundle:
    """NxD's bundle in plain torch, one rank: routed by shapes, states shared, results written back by their alias."""

    def __init__(self, spec: ProgramSpec, seed: int = 0) -> None:
        layers = OneRankLayers(spec.dims, {k: torch.from_numpy(v) for k, v in parameters(spec.dims, seed).items()})
        self.routes: dict[str, NeuronGraph] = {}
        states: DeviceState | None = None
        for graph, buckets in example_inputs(spec, torch.float32).values():
            made = graph(spec, layers, torch.float32)
            states = made.states = states or made.states
            for inputs in buckets:
                self.routes[str([list(x.shape) for x in inputs])] = made

    def __call__(self, *inputs: NDArray[Any]) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        graph = self.routes[str([list(array.shape) for array in inputs])]
        with torch.inference_mode():
            results = graph(*(torch.tensor(array) for array in inputs))
            for state, index in graph.aliases().items():
                state.data.copy_(results[index])
        return results[0].numpy(), results[1].numpy()

    def close(self) -> None:
        self.routes.clear()
