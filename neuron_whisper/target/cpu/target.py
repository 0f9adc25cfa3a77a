"""CpuTarget: compiles to OpenVINO IR, which needs torch, and opens it, which does not."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

from neuron_whisper.errors import LoweringFailed, TargetUnavailable
from neuron_whisper.host.hardware import detect_instruction_sets
from neuron_whisper.profile import CompileProfile
from neuron_whisper.target.cpu.lowering.graph_signatures import graphs_at_open
from neuron_whisper.target.cpu.processor import keeps_kv_in_blocks
from neuron_whisper.target.cpu.runtime.contiguous_caches import ContiguousCaches
from neuron_whisper.target.cpu.runtime.kv_cache_backend import KVCacheBackend
from neuron_whisper.target.cpu.runtime.session import CpuSession
from neuron_whisper.target.interfaces import CompileRequest, ProgramSpec
from neuron_whisper.target.registry import INSTALL_COMPILE


class CpuTarget:
    """OpenVINO. An artifact runs on any processor: its instruction sets are looked up when the artifact is opened."""

    name = "cpu"

    def toolchain(self) -> Mapping[str, str]:
        return {"openvino": version("openvino")}

    def decoder_copies(self, spec: ProgramSpec) -> int:
        return sum(not name.startswith("encode_") for name in graphs_at_open(spec))  # each compiled graph repacks them

    def self_kv_rows(self, spec: ProgramSpec) -> int:
        return 1  # caches of all beams are allocated too, and take memory when a window with beams writes to them

    def compile(self, request: CompileRequest) -> None:
        if request.profile.target.tp != 1:
            raise LoweringFailed("program", f"target.tp is {request.profile.target.tp}; the cpu target takes 1")
        try:
            from neuron_whisper.target.cpu.lowering.lowering import Lowering
        except ModuleNotFoundError as error:
            raise TargetUnavailable("cpu", f"compiling needs {error.name}", INSTALL_COMPILE) from None
        Lowering(request).write()

    def open(self, directory: Path, spec: ProgramSpec, profile: CompileProfile, *, threads: int = 0) -> CpuSession:
        caches: KVCacheBackend
        if keeps_kv_in_blocks(detect_instruction_sets(), version("openvino")):
            from neuron_whisper.target.cpu.runtime.paged_caches import PagedCaches

            caches = PagedCaches(spec, dtype=profile.target.dtype)
        else:
            caches = ContiguousCaches(spec, dtype=profile.target.dtype)
        return CpuSession(directory, spec, caches, threads=threads)


TARGET = CpuTarget()
