"""Requests to a worker, handled in this process by a scripted engine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neuron_whisper.bench.engines.results import GraphTotal, TranscriptionResult
from neuron_whisper.bench.process.worker import Worker
from tests.support.peer_stubs import engine_config


class Counter:
    """Transcribes a clip to the number of its samples."""

    is_serial = True

    def __init__(self, config: object) -> None:
        pass

    def transcribe(self, samples: Any, language: str | None) -> TranscriptionResult:
        return TranscriptionResult(text=f"{len(samples)} {language}", tokens=[len(samples)])


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> Worker:
    monkeypatch.setattr("neuron_whisper.bench.process.worker.open_engine", Counter)
    worker = Worker()
    from dataclasses import asdict

    assert worker.handle({"do": "open", "config": asdict(engine_config("counter", ""))}) == {"is_serial": True}
    return worker


def write_clip(path: Path, n: int) -> str:
    np.zeros(n, np.float32).tofile(path)
    return str(path)


def test_a_clip_is_read_transcribed_and_timed(worker: Worker, tmp_path: Path) -> None:
    response = worker.handle({"do": "transcribe", "clip": write_clip(tmp_path / "a", 160), "language": "en"})
    assert response.pop("took_s") >= 0
    assert response == {"text": "160 en", "tokens": [160], "segments": None, "words": None}


def test_clips_run_concurrently_and_usage_is_of_this_process(worker: Worker, tmp_path: Path) -> None:
    clips = [(write_clip(tmp_path / str(n), n), None) for n in (1, 2, 3)]
    assert worker.handle({"do": "run_concurrently", "clips": clips, "streams": 2})["took_s"] >= 0
    usage = worker.handle({"do": "usage"})
    assert usage["peak_bytes"] > 1e6
    assert usage["cpu_s"] > 0


class TimedCounter(Counter):
    def graph_totals(self) -> list[GraphTotal]:
        return [GraphTotal(name="encode", calls=3, seconds=0.5, to_host_bytes=24)]


def test_graphs_are_told_by_an_engine_that_times_them_and_none_by_another(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert worker.handle({"do": "graphs"}) == {"graphs": []}
    monkeypatch.setattr("neuron_whisper.bench.process.worker.open_engine", TimedCounter)
    from dataclasses import asdict

    worker.handle({"do": "open", "config": asdict(engine_config("counter", ""))})
    encode = {"name": "encode", "calls": 3, "seconds": 0.5, "to_host_bytes": 24}
    assert worker.handle({"do": "graphs"}) == {"graphs": [encode]}
