"""WindowEngine, the interface that a transcriber needs of an engine, and the status of pools and their workers."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass
from typing import Literal, Protocol

from neuron_whisper.decode.window import DecodingResult, WindowRequest
from neuron_whisper.engine.engine import EngineStatus
from neuron_whisper.errors import DeviceError

WorkerState = Literal["starting", "ready", "restarting", "failed"]
"""failed: it could not be started several times in a row; it is still retried, after longer and longer delays."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerStatus:
    """A snapshot of one worker: windows that wait in its queue, and windows in its slots.

    `restarts` counts its restarts; `pid` is None while there is no process.
    """

    index: int
    state: WorkerState
    restarts: int
    waiting: int
    decoding: int
    pid: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolStatus(EngineStatus):
    """The sums over all workers, and each worker. `steps` and `stats` are as old as the last heartbeat, about 1 s."""

    workers: tuple[WorkerStatus, ...]

    @property
    def n_ready(self) -> int:
        return sum(worker.state == "ready" for worker in self.workers)


class WindowEngine(Protocol):
    """Decodes windows: Engine and EnginePool. Any thread may call any method."""

    def submit(self, request: WindowRequest, *, is_first: bool = True) -> Future[DecodingResult]:
        """Queue a window. Raises QueueFull, EngineDraining, DeviceError, InvalidOption."""

    @property
    def status(self) -> EngineStatus: ...

    @property
    def device_error(self) -> DeviceError | None:
        """Why no window is accepted any more, and the process should end; None while it works."""

    def drain(self, timeout_s: float | None = None) -> bool:
        """Accept no new clips and wait until no window is left; False when that took longer."""

    def close(self) -> None:
        """End; unfinished windows fail with EngineDraining. Idempotent."""
