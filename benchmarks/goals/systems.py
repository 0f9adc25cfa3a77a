"""Prepares our systems and peers for a row, with weights in the format of each."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.goals.rows import OURS, Row
from neuron_whisper.artifact.loader import Artifact
from neuron_whisper.bench.engines.config import DecodingConfig, EngineConfig
from neuron_whisper.bench.engines.prepare_peer import prepare_peer
from neuron_whisper.model.checkpoint import Checkpoint


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A system to measure: `name` as in reports, `peer` as in the goals (OURS for ours)."""

    name: str
    peer: str
    python: str
    config: EngineConfig
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_ours(self) -> bool:
        return self.peer == OURS


@dataclass(frozen=True, slots=True, kw_only=True)
class Systems:
    """`artifacts` are (label, artifact) of ours; peers run the checkpoint's weights."""

    artifacts: tuple[tuple[str, Artifact], ...]
    checkpoint: Checkpoint
    cache: Path
    pythons: Mapping[str, str]
    threads: int
    log: Callable[[str], None] = lambda line: None

    def own_candidates(self, row: Row) -> list[Candidate]:
        return [
            Candidate(
                name=f"{OURS} {label}",
                peer=OURS,
                python=sys.executable,
                config=EngineConfig(
                    engine=OURS,
                    variant=row.plan,
                    source=str(artifact.path),
                    threads=self.threads,
                    decoding=DecodingConfig(beam_size=row.beam_size),
                    cache=str(self.cache),
                    is_multilingual=artifact.spec.dims.is_multilingual,
                ),
                facts={"artifact": artifact.name, "artifact_key": artifact.key},
            )
            for label, artifact in self.artifacts
        ]

    def peer_candidate(self, peer_spec: str, row: Row) -> Candidate:
        """Of "faster-whisper:int8". Raises InvalidOption, TargetUnavailable (not installed, or no weights for it)."""
        ready = prepare_peer(
            peer_spec,
            self.checkpoint,
            cache=self.cache,
            pythons=self.pythons,
            threads=self.threads,
            decoding=DecodingConfig(beam_size=row.beam_size),
            log=self.log,
        )
        return Candidate(
            name=ready.name, peer=ready.config.engine, python=ready.python, config=ready.config, facts=ready.facts
        )
