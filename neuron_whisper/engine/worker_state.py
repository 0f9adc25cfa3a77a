"""A worker's place in a pool, and who sits there. Guarded by the pool's lock."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from neuron_whisper.engine.engine import EngineStatus
from neuron_whisper.engine.interface import WorkerState, WorkerStatus
from neuron_whisper.engine.process import WorkerProcess
from neuron_whisper.engine.stats import EngineCounts
from neuron_whisper.engine.watchdog import Watch
from neuron_whisper.engine.worker_resources import CoreGroup
from neuron_whisper.errors import NeuronWhisperError

SETTLED_S = 60.0  # a worker that lived so long after its start did not fail at starting
NOTHING = EngineStatus(waiting=0, decoding=0, delivered=0, steps=0)
MOST_FAILURES = 5  # lives in a row of no use; then a worker counts as failed


@dataclass(slots=True, eq=False)
class Life:
    """A worker from one start to its death."""

    process: WorkerProcess
    watch: Watch
    ready_at: float | None = None
    delivered: int = 0
    status: EngineStatus = NOTHING  # as it told last
    error: NeuronWhisperError | None = None  # what kept it from starting, by its own account
    reason: str = ""  # why it ends, where more is known than its exit code

    def was_of_use(self, now: float) -> bool:
        return self.delivered > 0 or (self.ready_at is not None and now - self.ready_at > SETTLED_S)


@dataclass(slots=True, eq=False)
class Seat:
    """Its share of the machine, its history, and the process that is there now."""

    index: int
    group: CoreGroup
    state: WorkerState = "starting"
    life: Life | None = None
    restarts: int = 0
    failures: int = 0  # lives in a row that were of no use
    error: NeuronWhisperError | None = None  # why it does not work, while it does not
    steps_before: int = 0
    counts_before: EngineCounts = field(default_factory=EngineCounts)
    thread: threading.Thread = field(init=False)

    @property
    def steps(self) -> int:
        """Of every life so far, as they told."""
        return self.steps_before + (self.life.status.steps if self.life else 0)

    @property
    def counts(self) -> EngineCounts:
        """Of every life so far, as they told."""
        return self.counts_before + self.life.status.counts if self.life else self.counts_before

    @property
    def device_call_s(self) -> float:
        """How long its device's present call has taken, as it told last."""
        return self.life.status.device_call_s if self.life else 0.0

    def status(self, *, waiting: int, decoding: int) -> WorkerStatus:
        pid = self.life.process.pid if self.life else None
        return WorkerStatus(
            index=self.index, state=self.state, restarts=self.restarts, waiting=waiting, decoding=decoding, pid=pid
        )
