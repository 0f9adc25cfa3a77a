"""What a transcriber needs of an engine, in this process or in several, and what engines tell of themselves."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass
from typing import Literal, Protocol

from neuron_whisper.decode.window import DecodingResult, WindowRequest
from neuron_whisper.engine.engine import EngineStatus
from neuron_whisper.errors import DeviceError

WorkerState = Literal["starting", "ready", "restarting", "failed"]
"""failed: it could not be started several times in a row; it is tried again all the same, ever more rarely."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerStatus:
    """A snapshot of one worker: windows that wait there, and at most as many as it has slots that are decoded.

    `restarts` counts how often it was started again; `pid` is None while there is no process.
    """

    index: int
    state: WorkerState
    restarts: int
    waiting: int
    decoding: int
    pid: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolStatus(EngineStatus):
    """The sums over all workers, and each of them. `steps` is what the workers told last, a second ago or so."""

    workers: tuple[WorkerStatus, ...]

    @property
    def n_ready(self) -> int:
        return sum(worker.state == "ready" for worker in self.workers)


class WindowEngine(Protocol):
    """Engine and EnginePool. Any thread may call any of it."""

    def submit(self, request: WindowRequest, *, is_first: bool = True) -> Future[DecodingResult]:
        """Queue a window. Raises QueueFull, Draining, DeviceError, InvalidOption."""

    @property
    def status(self) -> EngineStatus: ...

    @property
    def fault(self) -> DeviceError | None:
        """Why nothing is taken any more, if so: the process should end."""

    def drain(self, timeout_s: float | None = None) -> bool:
        """Take no new clips and wait until no window is left; False when that took longer."""

    def close(self) -> None:
        """End; what is not done fails with Draining. Idempotent."""
