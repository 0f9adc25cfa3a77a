"""NrtpyGraphs: runs an artifact's NEFFs with nrtpy, AWS's Python layer over libnrt (SDK 2.32 and later). No torch.

By its documentation (aws-neuron-sdk, neuron-runtime/nrtpy, 2026-07-31), which does not say what happens when an output
is the same tensor as an input: a state's new value is bound to the state's own tensor, as the compiler was told.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuron_whisper.errors import ArtifactCorrupt, TargetUnavailable
from neuron_whisper.target.neuron.graph_signature import (
    NUMPY_DTYPES,
    GraphSignature,
    InputSignature,
    ProgramSignature,
    TensorSignature,
    neff_file,
    read_signature,
)
from neuron_whisper.target.neuron.lowering.layout import weights_file
from neuron_whisper.target.neuron.runtime.core_allocation import explain_load_failure
from neuron_whisper.target.neuron.runtime.rank_threads import RankThreads
from neuron_whisper.target.neuron.runtime.rank_weights import RankWeights
from neuron_whisper.target.neuron.runtimes import NRTPY_INSTALL

BFLOAT16_NAN = 0x7FC0


@dataclass(frozen=True, slots=True, kw_only=True)
class RankGraph:
    """A graph on one core: the loaded model, and the device tensors of `arguments` and `results` in a call's order."""

    model: Any
    inputs: Mapping[str, Any]
    outputs: Mapping[str, Any]
    arguments: Sequence[Any]
    results: Sequence[Any]

    def run(self, arrays: Sequence[NDArray[Any]]) -> None:
        for tensor, array in zip(self.arguments, arrays, strict=True):
            tensor.write_from_numpy(array)
        self.model(inputs=self.inputs, outputs=self.outputs)

    def read_results(self) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        ints, floats = (tensor.numpy() for tensor in self.results)
        return ints, floats


class RankLoader:
    """Loads the graphs of one rank. Weights and states become device tensors once, which its graphs share."""

    def __init__(self, nrtpy: Any, directory: Path, rank: int, ranks: int) -> None:
        self._nrtpy, self._directory, self._rank, self._ranks = nrtpy, directory, rank, ranks
        self._weights = RankWeights(weights_file(directory, rank))
        self._shared: dict[str, Any] = {}

    def load(self, graph: GraphSignature) -> RankGraph:
        """Raises ArtifactCorrupt when NEFF, signature and weights differ, RuntimeError with nrtpy's message."""
        file = neff_file(self._directory, graph.name)
        model = self._nrtpy.NrtpyModel.load_from_neff(
            file,
            name=f"{graph.name} rank {self._rank}",
            core_id=self._rank,
            cc_enabled=self._ranks > 1,
            rank_id=self._rank,
            world_size=self._ranks,
        )
        _check_tensors(file, model.input_tensors_info, graph.inputs, needed=())
        _check_tensors(file, model.output_tensors_info, graph.outputs, needed=graph.results)
        inputs = {tensor.name: self._make_input(tensor) for tensor in graph.inputs}
        outputs = {
            tensor.name: self._share(tensor.state, tensor) if tensor.state else self._allocate(tensor)
            for tensor in graph.outputs
        }
        return RankGraph(
            model=model,
            inputs={name: inputs[name] for name in model.input_tensors_info},
            outputs={name: outputs[name] for name in model.output_tensors_info},
            arguments=[inputs[tensor.name] for tensor in graph.arguments],
            results=[outputs[tensor.name] for tensor in graph.results],
        )

    def _make_input(self, tensor: InputSignature) -> Any:
        match tensor.use:
            case "argument":
                return self._allocate(tensor)
            case "constant":
                value = np.frombuffer(bytearray(tensor.value), NUMPY_DTYPES[tensor.dtype]).reshape(tensor.shape)
                return self._to_device(tensor.name, value)
            case "weight":
                if tensor.key not in self._shared:
                    self._shared[tensor.key] = self._to_device(tensor.key, self._weights.read(tensor.key, tensor))
                return self._shared[tensor.key]
            case "state":
                return self._share(tensor.key, tensor)

    def _share(self, state: str, tensor: TensorSignature) -> Any:
        if state not in self._shared:
            self._shared[state] = self._allocate(tensor)
        return self._shared[state]

    def _allocate(self, tensor: TensorSignature) -> Any:
        return self._to_device(tensor.name, np.zeros(tensor.shape, NUMPY_DTYPES[tensor.dtype]))

    def _to_device(self, name: str, array: NDArray[Any]) -> Any:
        return self._nrtpy.NrtpyTensor.from_numpy(array, name=name, core_id=self._rank)


class NrtpyGraphs:
    """A GraphRunner on NEFFs: routed by the arguments' shapes, every rank in a thread, results those of rank 0."""

    def __init__(self, signature: ProgramSignature, ranks: Sequence[Mapping[str, RankGraph]], threads: RankThreads):
        self._graphs = {tuple(it.shape for it in graph.arguments): graph for graph in signature.graphs}
        self._ranks, self._threads = ranks, threads

    @classmethod
    def load(cls, directory: Path, tp: int, cores: str) -> NrtpyGraphs:
        """Load the NEFFs and each rank's weights on its core.

        Raises DeviceError with the runtime's message, TargetUnavailable when nrtpy cannot be imported,
        ArtifactIncompatible for an artifact without NEFFs, ArtifactCorrupt.
        """
        signature = read_signature(directory)
        nrtpy = _import_nrtpy()
        threads = RankThreads(tp)

        def load_rank(rank: int) -> dict[str, RankGraph]:
            loader = RankLoader(nrtpy, directory, rank, tp)
            return {graph.name: loader.load(graph) for graph in signature.graphs}

        try:
            return cls(signature, threads.run(load_rank), threads)
        except RuntimeError as error:  # what nrtpy's errors are
            threads.close()
            raise explain_load_failure(error, cores) from error
        except BaseException:
            threads.close()
            raise

    def __call__(self, *inputs: NDArray[Any]) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        graph = self._graphs[tuple(array.shape for array in inputs)]
        arrays = [cast_argument(array, it.dtype) for array, it in zip(inputs, graph.arguments, strict=True)]
        self._threads.run(lambda rank: self._ranks[rank][graph.name].run(arrays))
        return self._ranks[0][graph.name].read_results()

    def close(self) -> None:
        """Device memory is freed with the last reference to it; nrtpy's runtime, the process's only one, goes on."""
        self._ranks = ()
        self._threads.close()


def cast_argument(array: NDArray[Any], dtype: str) -> NDArray[Any]:
    """The array in a graph's type: float32 may become a type of 16 bit, rounded to the nearest."""
    if dtype == "bfloat16" and array.dtype == np.float32:
        return to_bfloat16_bits(array)
    return np.ascontiguousarray(array, NUMPY_DTYPES[dtype])


def to_bfloat16_bits(array: NDArray[np.float32]) -> NDArray[np.uint16]:
    """The nearest bfloat16, the even one of two; a NaN stays one."""
    bits = np.ascontiguousarray(array).view(np.uint32)
    rounded = (bits + (0x7FFF + ((bits >> 16) & 1))) >> 16
    return np.where(np.isnan(array), BFLOAT16_NAN, rounded).astype(np.uint16)


def _check_tensors(
    neff: Path, found: Mapping[str, Any], expected: Iterable[TensorSignature], *, needed: Iterable[TensorSignature]
) -> None:
    """Raises ArtifactCorrupt when a NEFF's tensors are not those of its signature.

    It may lack inputs that are not used, and states that are written in place, but none of `needed`.
    """
    sizes = {tensor.name: tensor.size_bytes for tensor in expected}
    for name, info in found.items():
        if sizes.get(name) != info.size:
            wanted = f"{name} of {sizes[name]} bytes" if name in sizes else f"no tensor but {', '.join(sizes)}"
            raise ArtifactCorrupt(neff, expected=wanted, found=f"{name} of {info.size} bytes")
    for tensor in needed:
        if tensor.name not in found:
            raise ArtifactCorrupt(neff, expected=tensor.name, found=", ".join(found))


def _import_nrtpy() -> Any:
    try:
        nrtpy = import_module("nrtpy")
        _ = nrtpy.NrtpyModel, nrtpy.NrtpyTensor
    except (ImportError, AttributeError) as error:  # libnrt.so.1 is not found; another package of that name
        reason = f"nrtpy cannot be imported: {error}; is /opt/aws/neuron/lib in LD_LIBRARY_PATH?"
        raise TargetUnavailable("neuron", reason, NRTPY_INSTALL) from error
    return nrtpy
