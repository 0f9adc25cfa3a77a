"""nrtpy of the simulator: the documented module, whose NEFFs are HLO that XLA:CPU runs. Imports no torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from tests.neuron_sim import MAGIC
from tests.neuron_sim.protos import DTYPE_NAMES, HloModuleProto
from tests.neuron_sim.xla_program import XlaProgram
from tests.support.nrtpy_stand_in import Buffers, NrtError, TensorMetadata, make_nrtpy

COLLECTIVES = ("all-reduce", "all-gather", "reduce-scatter", "all-to-all", "collective-permute")


class HloProgram:
    """The HLO of a NEFF, for so many ranks."""

    def __init__(self, neff: bytes, ranks: int) -> None:
        if not neff.startswith(MAGIC):
            raise NrtError("NRT Error NRT_UNSUPPORTED_NEFF_VERSION(10): not a NEFF of the simulator")
        hlo = neff.removeprefix(MAGIC)
        module: Any = HloModuleProto.FromString(hlo)
        shapes = module.host_program_shape
        self._parameters = {f"input{i}": shape for i, shape in enumerate(shapes.parameters)}
        self.inputs = {name: _describe(shape) for name, shape in self._parameters.items()}
        self.outputs = {f"output{i}": _describe(shape) for i, shape in enumerate(shapes.result.tuple_shapes)}
        opcodes = {
            instruction.opcode for computation in module.computations for instruction in computation.instructions
        }
        self.has_collectives = not opcodes.isdisjoint(COLLECTIVES)
        self._program = XlaProgram(hlo, ranks)

    def run(self, ranks: Sequence[Buffers]) -> list[Buffers]:
        arguments = [
            self._program.put_on_devices(
                [own[name].view(_numpy_dtype(shape)).reshape(tuple(shape.dimensions)) for own in ranks]
            )
            for name, shape in self._parameters.items()
        ]
        results = self._program.run(arguments)
        return [
            {
                name: np.ascontiguousarray(shards[rank]).reshape(-1).view(np.uint8)
                for name, shards in zip(self.outputs, results, strict=True)
            }
            for rank in range(len(ranks))
        ]


def _describe(shape: Any) -> TensorMetadata:
    dimensions = tuple(shape.dimensions)
    return TensorMetadata(dimensions, int(np.prod(dimensions, dtype=np.int64)) * _numpy_dtype(shape).itemsize)


def _numpy_dtype(shape: Any) -> np.dtype[Any]:
    name = DTYPE_NAMES[shape.element_type]
    return np.dtype(jax.numpy.bfloat16 if name == "bfloat16" else name)


MODULE = make_nrtpy(HloProgram)
NAMES = dict(vars(MODULE))
