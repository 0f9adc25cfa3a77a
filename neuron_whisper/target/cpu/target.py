"""The CPU target: compile lowers to OpenVINO IR (needs torch), open runs it (does not)."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from neuron_whisper.errors import LoweringFailed, TargetUnavailable
from neuron_whisper.host.hardware import BFLOAT16_FLAGS, detect_instruction_sets
from neuron_whisper.profile import CompileProfile
from neuron_whisper.target.cpu.lowering.graph_signatures import graphs_at_open
from neuron_whisper.target.cpu.runtime.session import CpuSession
from neuron_whisper.target.interfaces import ProgramSpec, Progress

if TYPE_CHECKING:
    from neuron_whisper.model.checkpoint import Checkpoint


PAGED_ATTENTION_OPENVINO = "2026.4."  # OpenVINO's release that target/cpu/runtime/paged_attention_pass is written for


class CpuTarget:
    """OpenVINO. An artifact runs on any processor: what it has is looked up when it is opened."""

    name = "cpu"

    def toolchain(self) -> Mapping[str, str]:
        return {"openvino": version("openvino")}

    def decoder_copies(self, spec: ProgramSpec) -> int:
        return sum(not name.startswith("encode_") for name in graphs_at_open(spec))  # each repacks them

    def self_kv_rows(self, spec: ProgramSpec) -> int:
        return 1  # the wide rows are beside it, and take memory when the first window with beams writes them

    def compile(
        self,
        spec: ProgramSpec,
        profile: CompileProfile,
        checkpoint: Checkpoint,
        directory: Path,
        progress: Progress,
        *,
        jobs: int = 0,
    ) -> None:
        if profile.target.tp != 1:
            raise LoweringFailed("program", f"target.tp is {profile.target.tp}; the cpu target takes 1")
        try:
            from neuron_whisper.target.cpu.lowering.lowering import Lowering
        except ModuleNotFoundError as error:
            raise TargetUnavailable(
                "cpu", f"compiling needs {error.name}", 'pip install "neuron-whisper[compile]"'
            ) from None
        Lowering(spec, profile, checkpoint).write(directory, progress)

    def open(self, directory: Path, spec: ProgramSpec, profile: CompileProfile, *, threads: int = 0) -> CpuSession:
        make = CpuSession
        if supports_paged_attention():
            from neuron_whisper.target.cpu.runtime.paged_session import PagedSession

            make = PagedSession
        return make(directory, spec, dtype=profile.target.dtype, threads=threads)


def supports_paged_attention() -> bool:
    """Whether K/V lie in blocks here: with AVX2 and no bfloat16, where that was measured, and an OpenVINO of which the
    attention over blocks is known. It is an operation whose inputs change from version to version.
    """
    flags = detect_instruction_sets()
    is_known = version("openvino").startswith(PAGED_ATTENTION_OPENVINO)
    return is_known and "avx2" in flags and not any(flag in flags for flag in BFLOAT16_FLAGS)


TARGET = CpuTarget()
