"""How a worker comes by its session: a recipe that crosses to another process."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from neuron_whisper.artifact.golden import check_opened
from neuron_whisper.artifact.loader import open_artifact, read_artifact
from neuron_whisper.target.interfaces import Session
from neuron_whisper.target.registry import load_target
from neuron_whisper.text.tokenizer import Tokenizer


class Opening(Protocol):
    """Made in one process, pickled, used in another."""

    def open(self, threads: int) -> tuple[Session, Tokenizer]:
        """Load everything. threads 0: all cores. Raises any error of the tree."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArtifactOpening:
    """An artifact that the pool's own process has checked, digests included, and holds against pruning.

    `verifies`: it must give its golden tokens before it is given any work.
    """

    path: Path
    verifies: bool = False

    def open(self, threads: int) -> tuple[Session, Tokenizer]:
        """Raises ArtifactError (GoldenMismatch among them), TargetUnavailable, DeviceFault."""
        artifact = read_artifact(self.path)
        target = load_target(artifact.manifest.target)
        open_artifact(artifact, target.toolchain(), verify_digests=False)
        tokenizer = Tokenizer.from_file(self.path / "tokenizer.json", artifact.spec.dims.n_vocab)
        session = target.open(self.path, artifact.spec, artifact.profile, threads=threads)
        if self.verifies:
            check_opened(session, artifact)
        return session, tokenizer
