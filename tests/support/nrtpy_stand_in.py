"""A stand-in for nrtpy that follows its documentation (aws-neuron-sdk, neuron-runtime/nrtpy, 2026-07-31).

What a NEFF computes is given to `make_nrtpy`. Not documented, and decided here: an output that is the same tensor as an
input is written when the graph has read its inputs; `size` of a tensor is in bytes; a collective meets when every rank
of the NEFF executes, from threads, and fails after a time; a NEFF with collectives needs cc_enabled.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple, Protocol, Self

import numpy as np
from numpy.typing import NDArray

TIMEOUT_S = 60.0
Buffers = Mapping[str, NDArray[np.uint8]]
"""Name -> the bytes of a tensor."""


class NrtpyError(RuntimeError):
    """An error of the Python layer."""


class NrtError(RuntimeError):
    """A status of libnrt."""


class TensorMetadata(NamedTuple):
    shape: tuple[int, ...]
    size: int


class Program(Protocol):
    """What a NEFF holds. Names are in the order of the compiled program."""

    @property
    def inputs(self) -> Mapping[str, TensorMetadata]: ...

    @property
    def outputs(self) -> Mapping[str, TensorMetadata]: ...

    @property
    def has_collectives(self) -> bool: ...

    def run(self, ranks: Sequence[Buffers]) -> list[Buffers]:
        """The inputs of every rank -> the outputs of every rank."""


class NrtpyTensor:
    """A tensor in the memory of a core."""

    allocated: int = 0  # bytes, of all tensors that are alive

    def __init__(self, shape: tuple[int, ...], dtype: Any, size: int, name: str | None, core_id: int) -> None:
        self.shape, self.dtype, self.name, self.core_id = shape, np.dtype(dtype), name or "", core_id
        self.memory: NDArray[np.uint8] = np.zeros(size, np.uint8)
        NrtpyTensor.allocated += size

    def __del__(self) -> None:
        NrtpyTensor.allocated -= len(self.memory)

    @classmethod
    def from_numpy(cls, array: NDArray[Any], name: str | None = None, core_id: int = 0) -> Self:
        if not array.flags.writeable:
            raise TypeError("the binding takes writable arrays")  # stricter than is documented
        made = cls(array.shape, array.dtype, array.nbytes, name, core_id)
        made.write_from_numpy(array)
        return made

    def write_from_numpy(self, array: NDArray[Any]) -> None:
        if array.nbytes != len(self.memory):
            raise ValueError(f"{array.nbytes} bytes for a tensor of {len(self.memory)}")
        self.memory[:] = np.ascontiguousarray(array).reshape(-1).view(np.uint8)

    def numpy(self) -> NDArray[Any]:
        array: NDArray[Any] = self.memory.copy().view(self.dtype).reshape(self.shape)
        return array


class _Collective:
    """The meeting of the ranks of a NEFF: the last to come runs the program for all."""

    def __init__(self, program: Program, ranks: int) -> None:
        self._program = program
        self._inputs: list[Buffers] = [{}] * ranks
        self._outputs: list[Buffers] = []
        self._barrier = threading.Barrier(ranks, action=self._run, timeout=TIMEOUT_S)

    def _run(self) -> None:
        self._outputs = self._program.run(self._inputs)

    def execute(self, rank: int, inputs: Buffers) -> Buffers:
        self._inputs[rank] = inputs
        try:
            self._barrier.wait()
        except threading.BrokenBarrierError:
            raise NrtError("NRT Error NRT_TIMEOUT(5): a rank did not come") from None
        return self._outputs[rank]


class NrtpyModel:
    """A NEFF on a core."""

    def __init__(self, program: Program, name: str, core_id: int, rank_id: int, meeting: _Collective) -> None:
        self.input_tensors_info, self.output_tensors_info = dict(program.inputs), dict(program.outputs)
        self.name, self.core_id = name, core_id
        self._rank, self._meeting = rank_id, meeting

    def __call__(
        self, inputs: Mapping[str, NrtpyTensor], outputs: Mapping[str, NrtpyTensor] | None = None
    ) -> dict[str, NrtpyTensor] | None:
        self._check(inputs, self.input_tensors_info)
        made = outputs
        if made is None:
            made = {
                name: NrtpyTensor(
                    info.shape, f"V{info.size // (int(np.prod(info.shape)) or 1)}", info.size, name, self.core_id
                )
                for name, info in self.output_tensors_info.items()
            }
        self._check(made, self.output_tensors_info)
        found = self._meeting.execute(self._rank, {name: tensor.memory.copy() for name, tensor in inputs.items()})
        for name, tensor in made.items():
            tensor.memory[:] = found[name]
        return dict(made) if outputs is None else None

    def _check(self, given: Mapping[str, NrtpyTensor], expected: Mapping[str, TensorMetadata]) -> None:
        if given.keys() != expected.keys():
            raise NrtError(f"NRT Error NRT_INVALID(2): tensors {sorted(given)}, expected {sorted(expected)}")
        for name, tensor in given.items():
            if len(tensor.memory) != expected[name].size:
                raise NrtError(f"NRT Error NRT_INVALID(2): {name} of {len(tensor.memory)} bytes")
            if tensor.core_id != self.core_id:
                raise NrtError(f"NRT Error NRT_INVALID(2): {name} on core {tensor.core_id}, model on {self.core_id}")


def make_nrtpy(load_program: Callable[[bytes, int], Program]) -> ModuleType:
    """The module `nrtpy`, whose NEFFs hold what load_program(NEFF, number of ranks) returns."""
    meetings: dict[tuple[bytes, int], tuple[Program, _Collective]] = {}
    lock = threading.Lock()

    class Model(NrtpyModel):
        @classmethod
        def load_from_neff(
            cls,
            neff_path: Path | str,
            name: str | None = None,
            core_id: int = 0,
            cc_enabled: bool = False,
            rank_id: int = 0,
            world_size: int = 1,
        ) -> Model:
            try:
                neff = Path(neff_path).read_bytes()
            except OSError:
                raise NrtError("NRT Error NRT_FAILURE(1): Failed to load model") from None
            with lock:
                if (neff, world_size) not in meetings:
                    program = load_program(neff, world_size)
                    meetings[neff, world_size] = program, _Collective(program, world_size)
                program, meeting = meetings[neff, world_size]
            if (program.has_collectives and not cc_enabled) or rank_id >= world_size:
                raise NrtError("NRT Error NRT_INVALID(2): Global communicator was not created")
            return cls(program, name or Path(neff_path).stem, core_id, rank_id, meeting)

    def configure(visible_cores: Iterable[int] | None = None) -> None:
        raise NrtpyError("the runtime is already active")

    module = ModuleType("nrtpy")
    Model.__name__ = "NrtpyModel"
    vars(module).update(
        NrtpyModel=Model, NrtpyTensor=NrtpyTensor, NrtpyError=NrtpyError, NrtError=NrtError, configure=configure
    )
    return module
