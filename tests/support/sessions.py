"""Opens every kind of Session on the same small program, for the contract suite."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from numpy.typing import NDArray

from neuron_whisper.model.parameters import OUTPUT_PROJECTION
from neuron_whisper.profile import CompileProfile, parse_profile
from neuron_whisper.target.cpu.target import CpuTarget
from neuron_whisper.target.interfaces import CompileRequest, ProgramSpec, Session, Target
from neuron_whisper.target.reference.target import ReferenceTarget
from tests.support import tiny_program
from tests.support.encoder_scales import write_tiny_scales
from tests.support.fake_session import FakeSession

if TYPE_CHECKING:
    from neuron_whisper.model.checkpoint import Checkpoint

SESSIONS = ("fake", "reference tp1", "reference tp2", "cpu float32", "cpu bfloat16", "cpu int8", "cpu fast")
ENCODER_SESSIONS = tuple(kind for kind in SESSIONS if kind not in ("fake", "cpu int8"))  # its encoder is cpu bfloat16's


class MemoryCheckpoint:
    """The part of Checkpoint that targets use, on arrays."""

    dtype = "float32"

    def __init__(self, tensors: dict[str, NDArray[np.float32]]) -> None:
        self._tensors = tensors
        self.parameter_names = tuple(tensors)

    def tensor(self, name: str) -> NDArray[Any]:
        return self._tensors[name]

    def first_rows(self, name: str, count: int) -> NDArray[Any]:
        return self._tensors[name][:count]


def checkpoint(spec: ProgramSpec, seed: int = 0, projection: NDArray[np.float32] | None = None) -> Checkpoint:
    """Random weights; `projection` is an output projection of its own."""
    own = {} if projection is None else {OUTPUT_PROJECTION: projection}
    return cast("Checkpoint", MemoryCheckpoint(tiny_program.parameters(spec.dims, seed) | own))


def compile_request(
    spec: ProgramSpec, profile: CompileProfile, checkpoint: Checkpoint, directory: Path
) -> CompileRequest:
    """A request whose progress is ignored."""
    return CompileRequest(
        spec=spec,
        profile=profile,
        checkpoint=checkpoint,
        directory=directory,
        progress=lambda what, done, total: None,
    )


def open_session(kind: str, spec: ProgramSpec, directory: Path, stored: Checkpoint | None = None) -> Session:
    """Open the small program; it is compiled of `stored` below `directory` first, if that is empty.

    "cpu fast" has an 8-bit encoder, as the profile of that name.
    """
    if kind == "fake":
        return FakeSession(spec)
    torch.set_num_threads(2)
    name, detail = kind.split()
    target: Target
    if name == "reference":
        profile = parse_profile(f'format = 1\n[target]\nname = "reference"\ntp = {detail[2:]}')
        target = ReferenceTarget()
    else:
        profile = cpu_profile(detail)
        target = CpuTarget()
    if not any(directory.iterdir()):
        request = compile_request(spec, profile, stored or checkpoint(spec), directory)
        if profile.weights.encoder:
            scales = directory / "scales.safetensors"
            write_tiny_scales(scales, request)
            request = replace(request, encoder_scales=scales)
        target.compile(request)
    return target.open(directory, spec, profile)


def cpu_profile(detail: str) -> CompileProfile:
    """Of "float32", "bfloat16", "int8" and "fast"."""
    dtype, weights = "float32" if detail == "float32" else "bfloat16", "int8" if detail == "fast" else detail
    encoder = "int8" if detail == "fast" else ""
    return parse_profile(
        f'format = 1\n[target]\nname = "cpu"\ndtype = "{dtype}"\n[weights]\ndtype = "{weights}"\nencoder = "{encoder}"'
    )


def tolerance(kind: str) -> float:
    """The largest difference between two computations of the same log-probability."""
    return {"fake": 0.0, "cpu bfloat16": 0.4, "cpu int8": 0.4, "cpu fast": 0.8}.get(kind, 2e-4)
