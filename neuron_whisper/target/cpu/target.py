"""The CPU target: compile lowers to OpenVINO IR (needs torch), open runs it (does not)."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from neuron_whisper.errors import LoweringFailed, TargetUnavailable
from neuron_whisper.profile import CompileProfile
from neuron_whisper.target.contract import ProgramSpec, Progress
from neuron_whisper.target.cpu.layout import decode_slots
from neuron_whisper.target.cpu.session import CpuSession

if TYPE_CHECKING:
    from neuron_whisper.model.checkpoint import Checkpoint


class CpuTarget:
    """OpenVINO. An artifact runs on any processor: what it has is looked up when it is opened."""

    name = "cpu"

    def toolchain(self) -> Mapping[str, str]:
        return {"openvino": version("openvino")}

    def decoder_copies(self, spec: ProgramSpec) -> int:
        return 1 + len(decode_slots(spec))  # the shortest prompt's graph and the steps': each repacks them

    def compile(
        self, spec: ProgramSpec, profile: CompileProfile, checkpoint: Checkpoint, into: Path, progress: Progress
    ) -> None:
        if profile.target.tp != 1:
            raise LoweringFailed("program", f"target.tp is {profile.target.tp}; the cpu target takes 1")
        try:
            from neuron_whisper.target.cpu.lowering import Lowering
        except ModuleNotFoundError as error:
            raise TargetUnavailable(
                "cpu", f"compiling needs {error.name}", 'pip install "neuron-whisper[compile]"'
            ) from None
        Lowering(spec, profile, checkpoint).write(into, progress)

    def open(self, directory: Path, spec: ProgramSpec, profile: CompileProfile, *, threads: int = 0) -> CpuSession:
        return CpuSession(directory, spec, dtype=profile.target.dtype, threads=threads)


TARGET = CpuTarget()
