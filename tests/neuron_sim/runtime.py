"""The runtime: stands for libnrt behind torch.classes.neuron.SPMDModel. XLA:CPU runs the HLO, one CPU device a rank.

Collectives really run between the ranks, weights and states are kept per rank, and a wrong shape or dtype raises.
Every call waits, and a loaded graph is held until the process ends. The Python side of neuron_classes.cpp, which calls
initialize, execute and mock.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tests.neuron_sim import MAGIC
from tests.neuron_sim.protos import MetaNeff, MetaTensor, get_torch_dtype
from tests.neuron_sim.xla_program import XlaProgram

Tensors = dict[str, Tensor]


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphCall:
    """One execution of a graph; bytes are those of one rank."""

    graph: int
    host_to_device_bytes: int
    device_to_host_bytes: int


graph_calls: list[GraphCall] = []  # of this process, in order; clear it before what is to be counted
graphs: list[LoadedGraph] = []
# Where a weight or a state lies on the host -> its value on the devices, which the graphs of a bundle share. What the
# host has of a state stays zero.
device_memory: dict[int, Any] = {}


def to_numpy(tensor: Tensor) -> NDArray[Any]:
    tensor = tensor.detach().contiguous()
    if tensor.dtype == torch.bfloat16:
        return tensor.view(torch.int16).numpy().view(jax.numpy.bfloat16)
    return tensor.numpy()


def to_torch(array: Any) -> Tensor:
    copied: NDArray[Any] = np.array(array)
    if copied.dtype == jax.numpy.bfloat16:
        return torch.from_numpy(copied.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(copied)


def check_tensor(label: str, tensor: Tensor, expected: Any) -> None:
    """Raises ValueError when `tensor` is not of the shape and type that a MetaTensor says."""
    shape, dtype = list(expected.shape), get_torch_dtype(expected.data_type)
    if list(tensor.shape) != shape or tensor.dtype != dtype:
        raise ValueError(f"{label} is {tensor.dtype} {list(tensor.shape)}, the graph takes {dtype} {shape}")


class LoadedGraph:
    """A loaded graph and each rank's weights and states."""

    def __init__(self, neff: bytes, metaneff: bytes, states: list[Tensors], weights: list[Tensors]) -> None:
        if not neff.startswith(MAGIC):
            raise ValueError("not a NEFF of the simulator")
        self.metaneff = MetaNeff.FromString(metaneff)
        self.states = states
        self.weights = weights
        self.ranks = len(weights)
        self.number = len(graphs)
        self.hlo = neff.removeprefix(MAGIC)
        self.program: XlaProgram | None = None
        for expected in self.metaneff.input_tensors:
            key = expected.checkpoint_key.decode()
            if expected.type == MetaTensor.INPUT_WEIGHT:
                for rank, own in enumerate(weights):
                    if key not in own:
                        raise KeyError(f"weight {key} missing on rank {rank}")
                    check_tensor(f"weight {key} of rank {rank}", own[key], expected)

    def make_argument(self, program: XlaProgram, expected: Any, user_inputs: Iterator[tuple[Tensor, ...]]) -> Any:
        key = expected.checkpoint_key.decode()
        if expected.type == MetaTensor.USER_INPUT:
            per_rank = next(user_inputs)
            check_tensor("input", per_rank[0], expected)
            return program.put_on_devices([to_numpy(tensor) for tensor in per_rank])
        if expected.type in (MetaTensor.INPUT_STATE, MetaTensor.INPUT_WEIGHT):
            ranks = self.states if expected.type == MetaTensor.INPUT_STATE else self.weights
            home = ranks[0][key].data_ptr()
            if home not in device_memory:
                device_memory[home] = program.put_on_devices([to_numpy(own[key]) for own in ranks])
            return device_memory[home]
        constant = torch.frombuffer(bytearray(expected.constant_data), dtype=get_torch_dtype(expected.data_type))
        return program.put_on_devices([to_numpy(constant.reshape(list(expected.shape)))] * self.ranks)

    def __call__(self, ranked_inputs: list[list[Tensor]]) -> list[list[Tensor]]:
        """Inputs of each rank, or of one for all -> plain results of each rank; aliased results go into the states."""
        if self.program is None:
            self.program = XlaProgram(self.hlo, self.ranks)
        if len(ranked_inputs) == 1:
            ranked_inputs = ranked_inputs * self.ranks
        taken = sum(expected.type == MetaTensor.USER_INPUT for expected in self.metaneff.input_tensors)
        if len(ranked_inputs[0]) != taken:
            raise ValueError(f"{len(ranked_inputs[0])} inputs given, the graph takes {taken}")
        user_inputs = zip(*ranked_inputs, strict=True)
        arguments = [self.make_argument(self.program, it, user_inputs) for it in self.metaneff.input_tensors]
        results = self.program.run(arguments)
        ranked_results: list[list[Tensor]] = [[] for _ in range(self.ranks)]
        for i, shards in enumerate(results):
            if i in self.metaneff.output_aliases_to:
                state = self.metaneff.input_tensors[self.metaneff.output_aliases_to[i]]
                device_memory[self.states[0][state.checkpoint_key.decode()].data_ptr()] = self.program.join_shards(
                    shards
                )
            else:
                for own, shard in zip(ranked_results, shards, strict=True):
                    own.append(to_torch(shard))
        sizes = [sum(tensor.nbytes for tensor in tensors) for tensors in (ranked_inputs[0], ranked_results[0])]
        graph_calls.append(GraphCall(graph=self.number, host_to_device_bytes=sizes[0], device_to_host_bytes=sizes[1]))
        return ranked_results


def lay_out_weights(neff: bytes, metaneff: bytes, ranks: list[Tensors]) -> list[Tensors]:
    """Each rank's weights as the graphs take them. Those which the graph does not know stay as they are."""
    names = [tensor.checkpoint_key.decode() for tensor in MetaNeff.FromString(metaneff).input_tensors]
    changed = []
    for own in ranks:
        program = XlaProgram(LoadedGraph(neff, metaneff, [], [own]).hlo, ranks=1)
        results = program.run([program.put_on_devices([to_numpy(own[name])]) for name in names])
        changed.append(own | {name: to_torch(shards[0]) for name, shards in zip(names, results, strict=True)})
    return changed


def initialize(neff: bytes, metaneff: bytes, states: list[Tensors], weights: list[Tensors]) -> int:
    """Load a graph; returns the number to execute it by."""
    graphs.append(LoadedGraph(neff, metaneff, states, weights))
    return graphs[-1].number


def execute(graph: int, ranked_inputs: list[list[Tensor]]) -> list[list[Tensor]]:
    return graphs[graph](ranked_inputs)


def mock(metaneff: bytes, local_ranks: int) -> list[list[Tensor]]:
    """Zeros of the right shapes: NxD traces the executor before any weight is loaded."""
    description = MetaNeff.FromString(metaneff)
    results = [
        torch.zeros(list(tensor.shape), dtype=get_torch_dtype(tensor.data_type))
        for i, tensor in enumerate(description.output_tensors)
        if i not in description.output_aliases_to
    ]
    return [results] * local_ranks
