"""The status of a pool."""

from __future__ import annotations

from neuron_whisper.engine.interface import PoolStatus, WorkerState, WorkerStatus


def worker(index: int, state: WorkerState) -> WorkerStatus:
    return WorkerStatus(index=index, state=state, restarts=0, waiting=0, decoding=0, pid=None)


def test_only_ready_workers_count_as_ready() -> None:
    states: tuple[WorkerState, ...] = ("starting", "ready", "restarting", "failed", "ready")
    workers = tuple(worker(index, state) for index, state in enumerate(states))
    assert PoolStatus(waiting=0, decoding=0, completed=0, steps=0, workers=workers).n_ready == 2
