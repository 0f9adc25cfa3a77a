"""SessionFactory: how a worker process loads its session."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from neuron_whisper.artifact.golden_check import verify_session
from neuron_whisper.artifact.loader import Artifact, check_artifact, check_artifact_meanwhile, read_artifact
from neuron_whisper.target.interfaces import Session, Target
from neuron_whisper.target.registry import load_target, toolchain_to_open
from neuron_whisper.text.tokenizer import Tokenizer

TOKENIZER_FILE = "tokenizer.json"


class SessionFactory(Protocol):
    """Loads a session. Constructed in one process, pickled, used in another."""

    def open(self, threads: int) -> tuple[Session, Tokenizer]:
        """Load the session and its tokenizer. threads 0: all cores. Raises any NeuronWhisperError."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArtifactSessionFactory:
    """Opens an artifact that the pool's own process has checked, digests included, and keeps from being pruned.

    `verify`: the session must reproduce the artifact's golden tokens before it decodes any window.
    """

    path: Path
    verify: bool = False

    def open(self, threads: int) -> tuple[Session, Tokenizer]:
        """Raises ArtifactError (GoldenTokenMismatch among them), TargetUnavailable, DeviceError."""
        artifact = read_artifact(self.path)
        target = load_target(artifact.manifest.target)
        check_artifact(artifact, toolchain_to_open(target, artifact.manifest.toolchain), verify_digests=False)
        session, tokenizer = open_session(target, artifact, threads=threads)
        if self.verify:
            verify_session(session, artifact)
        return session, tokenizer


def open_checked_session(target: Target, artifact: Artifact, *, threads: int) -> tuple[Session, Tokenizer]:
    """check_artifact and open_session at once: the digests of weights are computed while graphs are compiled.

    Raises as both do; nothing of an artifact with a problem is returned.
    """
    toolchain = toolchain_to_open(target, artifact.manifest.toolchain)
    with ExitStack() as opened:
        with check_artifact_meanwhile(artifact, toolchain):
            session, tokenizer = open_session(target, artifact, threads=threads)
            opened.callback(session.close)
        opened.pop_all()
    return session, tokenizer


def open_session(target: Target, artifact: Artifact, *, threads: int) -> tuple[Session, Tokenizer]:
    """The session of a checked artifact, and its tokenizer, which is read while the graphs are compiled.

    Raises ArtifactCorrupt, CheckpointError (the tokenizer), TargetUnavailable, DeviceError.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="tokenizer") as reader:
        reading = reader.submit(Tokenizer.from_layout, artifact.path / TOKENIZER_FILE, artifact.spec.special)
        session = target.open(artifact.path, artifact.spec, artifact.profile, threads=threads)
        try:
            return session, reading.result()
        except BaseException:
            session.close()
            raise
