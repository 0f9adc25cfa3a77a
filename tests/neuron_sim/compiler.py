"""The compiler: stands for libneuronxla and neuronx-cc. Its "NEFF" is the HLO module itself behind a magic word.

A flag that no real compiler has makes it fail as a test wants it to: --simulate-fault=no-all-reduce leaves every rank
with its own part of a sum, --simulate-fault=killed ends the process as the kernel does when memory runs out.
SIMULATE_HANG, a part of a graph's folder such as "/decode/", makes it never end with that graph.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

from tests.neuron_sim import MAGIC, compiler_cache, weight_layouts
from tests.neuron_sim.protos import HloModuleProto
from tests.neuron_sim.tracer import HloArtifacts, NeffArtifacts


def neuron_xla_compile(
    module_bytes: bytes,
    compiler_flags: str,
    *,
    cache_key: str,
    use_cache: bool = True,
    cache_dir: str | None = None,
    retry_failed_compilation: bool = False,
    work_dir: str | Path = "",
    **_ignored: object,
) -> bytes:
    """HLO -> NEFF, from the cache where it is. NxD passes more than these, by name."""

    def compile_now() -> bytes:
        return call_compiler(module_bytes, compiler_flags, f"{work_dir}/")

    directory = compiler_cache.find_directory(cache_dir) if use_cache else None
    if directory is None:
        return compile_now()
    entry = compiler_cache.Entry.of(directory, cache_key, compiler_flags)
    return entry.look_up(module_bytes, compile_now, retry_failed=retry_failed_compilation)


def call_compiler(module_bytes: bytes, compiler_flags: str, folder: str) -> bytes:
    """Like neuronx-cc it writes its log, and a folder of its own into the working directory."""
    flags = compiler_flags.split()
    Path("neuronxcc-simulated").mkdir(exist_ok=True)
    for log in (flag.partition("=")[2] for flag in flags if flag.startswith("--logfile=")):
        with Path(log).open("a") as file:
            file.write(f"compiling {folder}\n")
    if (hanging := os.environ.get("SIMULATE_HANG")) and hanging in folder:
        time.sleep(86_400)
    if "--simulate-fault=killed" in flags:
        os.kill(os.getpid(), signal.SIGKILL)
    if "--simulate-fault=no-all-reduce" in flags:
        module_bytes = without_all_reduce(module_bytes)
    return MAGIC + module_bytes


def neuron_xla_wlo_compile(module_bytes: bytes, compiler_flags: str, **options: Any) -> tuple[bytes, bytes | None]:
    """Compilation of a priority graph: (NEFF, the stub with the weight layouts that it wants, if any)."""
    assert "--enable-internal-neff-wrapper" in compiler_flags.split(), compiler_flags
    stub = weight_layouts.suggest_layouts(HloModuleProto.FromString(module_bytes))
    neff = neuron_xla_compile(module_bytes, compiler_flags, **options)
    if stub is None:
        return neff, None
    module = HloModuleProto.FromString(neff.removeprefix(MAGIC))
    laid_out = weight_layouts.take_changed_weights(module, weight_layouts.layouts_of_stub(stub))
    return MAGIC + laid_out.SerializeToString(), stub.SerializeToString()


def generate_neff(
    hlo_artifacts: HloArtifacts, compiler_workdir: str, compiler_args: str, inline_weights_to_neff: bool
) -> NeffArtifacts:
    """neuronx-cc as a process of its own, past libneuronxla and its cache."""
    assert not inline_weights_to_neff, "weights are inputs"
    path = Path(compiler_workdir, "graph.neff")
    path.write_bytes(call_compiler(hlo_artifacts.hlo_module.SerializeToString(), compiler_args, f"{compiler_workdir}/"))
    return NeffArtifacts(str(path))


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
