"""PoolWorker: sums over the runs of a worker."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import cast

import pytest

from neuron_whisper.engine.engine import EngineStatus
from neuron_whisper.engine.pool_worker import STABLE_AFTER_S, PoolWorker, WorkerRun
from neuron_whisper.engine.stats import EngineStats
from neuron_whisper.engine.watchdog import PoolTimeouts, Watchdog
from neuron_whisper.engine.worker_process import WorkerProcess
from neuron_whisper.engine.worker_resources import WorkerResources

STATUS = EngineStatus(
    waiting=0, decoding=0, completed=1, steps=5, device_call_s=0.5, stats=EngineStats(tokens=7, fallbacks={"a": 1})
)


def worker_run(**fields: object) -> WorkerRun:
    process = cast(WorkerProcess, SimpleNamespace(pid=123))  # the numbers of a run need no process
    return replace(WorkerRun(process, Watchdog(PoolTimeouts(), 0.0), status=STATUS), **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("fields", "now", "expected"),
    [
        ({}, 1e6, False),
        ({"completed": 1}, 0.0, True),
        ({"ready_at": 0.0}, STABLE_AFTER_S, False),
        ({"ready_at": 0.0}, STABLE_AFTER_S + 1, True),
    ],
)
def test_a_run_makes_progress_by_a_window_or_by_staying_ready(
    fields: dict[str, object], now: float, expected: bool
) -> None:
    assert worker_run(**fields).made_progress(now) is expected


def test_the_numbers_of_a_worker_are_those_of_all_its_runs() -> None:
    worker = PoolWorker(2, WorkerResources(environment={}), past_steps=10, past_stats=EngineStats(tokens=1))
    assert (worker.steps, worker.stats.tokens, worker.device_call_s) == (10, 1, 0.0)
    assert worker.status(waiting=0, decoding=0).pid is None
    worker.current_run = worker_run()
    assert (worker.steps, worker.stats.tokens, worker.device_call_s) == (15, 8, 0.5)
    assert worker.stats.fallbacks == {"a": 1}
    status = worker.status(waiting=3, decoding=1)
    assert (status.index, status.waiting, status.decoding, status.pid) == (2, 3, 1, 123)
