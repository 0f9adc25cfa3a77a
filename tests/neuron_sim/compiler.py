"""The compiler: stands for libneuronxla and neuronx-cc. Its "NEFF" is the HLO module itself behind a magic word.

A flag that no real compiler has makes it fail as a test wants it to: --simulate-fault=no-all-reduce leaves every rank
with its own part of a sum, --simulate-fault=killed ends the process as the kernel does when memory runs out.
"""

from __future__ import annotations

import os
import signal
from typing import Any

from tests.neuron_sim.protos import HloModuleProto

MAGIC = b"NEFF of the simulator\n"


def neuron_xla_compile(module_bytes: bytes, compiler_flags: str, **_ignored: object) -> bytes:
    """HLO -> NEFF. NxD passes more than these two, by name."""
    flags = compiler_flags.split()
    if "--simulate-fault=killed" in flags:
        os.kill(os.getpid(), signal.SIGKILL)
    if "--simulate-fault=no-all-reduce" in flags:
        module_bytes = without_all_reduce(module_bytes)
    return MAGIC + module_bytes


def neuron_xla_wlo_compile(module_bytes: bytes, compiler_flags: str, **_ignored: object) -> tuple[bytes, None]:
    """Compilation of a priority model: (NEFF, no wrapped NEFF, that is no weight layouts)."""
    return neuron_xla_compile(module_bytes, compiler_flags), None


def without_all_reduce(module_bytes: bytes) -> bytes:
    """The module whose all-reduces sum over one rank each: nothing."""
    module: Any = HloModuleProto.FromString(module_bytes)
    for computation in module.computations:
        for instruction in computation.instructions:
            if instruction.opcode == "all-reduce":
                ranks = sorted(rank for group in instruction.replica_groups for rank in group.replica_ids)
                del instruction.replica_groups[:]
                for rank in ranks:
                    instruction.replica_groups.add(replica_ids=[rank])
    changed: bytes = module.SerializeToString()
    return changed
