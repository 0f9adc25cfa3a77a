"""PoolWorker: one worker of a pool over all its restarts, and its present process. Guarded by the pool's lock."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from neuron_whisper.engine.engine import EngineStatus
from neuron_whisper.engine.interface import WorkerState, WorkerStatus
from neuron_whisper.engine.stats import EngineStats
from neuron_whisper.engine.watchdog import Watchdog
from neuron_whisper.engine.worker_process import WorkerProcess
from neuron_whisper.engine.worker_resources import WorkerResources
from neuron_whisper.errors import NeuronWhisperError

STABLE_AFTER_S = 60.0  # a worker that ran so long after it was ready counts as one that started well
INITIAL_STATUS = EngineStatus(waiting=0, decoding=0, completed=0, steps=0)
MAX_FAILED_RUNS = 5  # in a row without progress; then a worker counts as failed


@dataclass(slots=True, eq=False)
class WorkerRun:
    """One process of a worker, from its start to its exit."""

    process: WorkerProcess
    watchdog: Watchdog
    ready_at: float | None = None
    completed: int = 0
    status: EngineStatus = INITIAL_STATUS  # of its last heartbeat
    start_error: NeuronWhisperError | None = None  # which it reported while it was loading
    exit_reason: str = ""  # why it ended, where more is known than its exit code

    def made_progress(self, now: float) -> bool:
        """Whether it completed a window, or was ready for long enough: it may be restarted without delay."""
        return self.completed > 0 or (self.ready_at is not None and now - self.ready_at > STABLE_AFTER_S)


@dataclass(slots=True, eq=False)
class PoolWorker:
    """A worker's share of the machine, its history over all runs, and its present run."""

    index: int
    resources: WorkerResources
    state: WorkerState = "starting"
    current_run: WorkerRun | None = None
    restarts: int = 0
    failed_runs: int = 0  # in a row, without progress
    last_error: NeuronWhisperError | None = None  # of the last failed run; None while it works
    past_steps: int = 0
    past_stats: EngineStats = field(default_factory=EngineStats)
    thread: threading.Thread = field(init=False)

    @property
    def steps(self) -> int:
        """Decode steps of all runs, as of the last heartbeat."""
        return self.past_steps + (self.current_run.status.steps if self.current_run else 0)

    @property
    def stats(self) -> EngineStats:
        """Statistics of all runs, as of the last heartbeat."""
        return self.past_stats + self.current_run.status.stats if self.current_run else self.past_stats

    @property
    def device_call_s(self) -> float:
        """How long its device's present call has taken, as of the last heartbeat."""
        return self.current_run.status.device_call_s if self.current_run else 0.0

    def status(self, *, waiting: int, decoding: int) -> WorkerStatus:
        pid = self.current_run.process.pid if self.current_run else None
        return WorkerStatus(
            index=self.index, state=self.state, restarts=self.restarts, waiting=waiting, decoding=decoding, pid=pid
        )
