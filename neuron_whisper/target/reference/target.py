"""ReferenceTarget: sharded weights on disk, run in plain PyTorch by a thread per rank."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file
from safetensors.torch import load_file

from neuron_whisper.graph.dtypes import TORCH_DTYPES
from neuron_whisper.model.checkpoint import Checkpoint
from neuron_whisper.model.sharding import check_tp, shard
from neuron_whisper.profile import CompileProfile
from neuron_whisper.target.interfaces import CompileRequest, ProgramSpec
from neuron_whisper.target.reference.session import ReferenceSession
from neuron_whisper.target.reference.streamed_parameters import StreamedParameters


class ReferenceTarget:
    """compile() compiles nothing: it shards the weights by the table that Neuron uses. open() runs the graphs."""

    name = "reference"

    def toolchain(self) -> Mapping[str, str]:
        return {"torch": version("torch")}

    def decoder_copies(self, spec: ProgramSpec) -> int:
        return 1

    def self_kv_rows(self, spec: ProgramSpec) -> int:
        return spec.beams

    def compile(self, request: CompileRequest) -> None:
        spec, checkpoint, tp = request.spec, request.checkpoint, request.profile.target.tp
        check_tp(spec.dims, tp)
        folder = request.directory / "weights"
        folder.mkdir(parents=True)
        for rank in range(tp):
            request.progress("sharding weights", rank, tp)
            shards = {
                name: np.ascontiguousarray(shard(name, checkpoint.tensor(name), spec.dims, tp, rank))
                for name in checkpoint.parameter_names
            }
            save_file(shards, folder / f"tp{rank}.safetensors")
        request.progress("sharding weights", tp, tp)

    def open(
        self, directory: Path, spec: ProgramSpec, profile: CompileProfile, *, threads: int = 0
    ) -> ReferenceSession:
        dtype = TORCH_DTYPES[profile.target.dtype]
        ranks = []
        for rank in range(profile.target.tp):
            tensors = load_file(directory / "weights" / f"tp{rank}.safetensors")
            ranks.append({name: tensor.to(dtype) for name, tensor in tensors.items()})
        return ReferenceSession(spec, ranks, dtype=dtype)

    def open_streamed(self, spec: ProgramSpec, checkpoint: Checkpoint) -> ReferenceSession:
        """A float32 session that reads the checkpoint itself: for a few steps of a model larger than memory."""
        return ReferenceSession(spec, [StreamedParameters(checkpoint)])


TARGET = ReferenceTarget()
