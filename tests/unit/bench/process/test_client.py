"""A worker process that dies, and one whose engine fails."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from neuron_whisper.bench.engines.config import DecodingConfig, EngineConfig
from neuron_whisper.bench.process.client import WorkerClient
from neuron_whisper.errors import TargetUnavailable


def test_a_worker_that_dies_is_reported_with_its_exit_code(tmp_path: Path) -> None:
    config = EngineConfig(engine="whisper.cpp", variant="f16", source="", threads=1, decoding=DecodingConfig())
    ended = pytest.raises(TargetUnavailable, match="its process ended with 1: it printed nothing")
    with WorkerClient("peer", "/bin/false", 1, tmp_path) as worker, ended:
        worker.open(config)


def test_an_error_of_an_engine_is_a_response_and_the_worker_lives(tmp_path: Path) -> None:
    config = EngineConfig(
        engine="neuron-whisper",
        variant="auto",
        source="/no/such/artifact",
        threads=1,
        decoding=DecodingConfig(),
        cache=str(tmp_path),
    )
    with WorkerClient("ours", sys.executable, 1, tmp_path) as worker:
        with pytest.raises(TargetUnavailable, match="ArtifactNotFound"):
            worker.open(config)
        assert 10e6 < worker.peak_memory_bytes() < 2e9
