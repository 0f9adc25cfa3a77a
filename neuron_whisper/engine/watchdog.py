"""When a worker has said nothing, or done nothing, for too long. Pure: the time comes in as seconds."""

from __future__ import annotations

from dataclasses import dataclass, replace

from neuron_whisper.engine.engine import EngineStatus
from neuron_whisper.engine.stats import EngineCounts


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolTimes:
    """`start_s`: until a worker is ready. `hang_s`: without a word of it, or with work and without a step; a step
    or the encoding of a batch must take less. `stop_s`: between asking it to end and killing it. `backoff_s`: before
    the second start in a row, doubled up to `most_backoff_s`. `beat_s`: between two words of an idle worker.
    """

    start_s: float = 600.0
    hang_s: float = 120.0
    stop_s: float = 5.0
    backoff_s: float = 0.5
    most_backoff_s: float = 60.0
    beat_s: float = 1.0

    def delay_s(self, failures: int) -> float:
        """Before a worker is started again that failed so often in a row: 0, then backoff_s, doubled each time."""
        return min(self.most_backoff_s, self.backoff_s * 2.0 ** (failures - 1)) if failures else 0.0


class Watch:
    """One life of a worker."""

    def __init__(self, times: PoolTimes, now: float) -> None:
        self._times = times
        self._is_ready = False
        self._heard_at = self._moved_at = now
        self._last: EngineStatus | None = None

    def ready(self, now: float) -> None:
        self._is_ready = True
        self._heard_at = self._moved_at = now

    def beat(self, status: EngineStatus, now: float) -> None:
        """A worker with work has to show another status from time to time: steps, windows delivered or taken up."""
        self._heard_at = now
        has_work = status.waiting or status.decoding
        # what comes in, is given up or takes its time is no work done
        status = replace(status, waiting=0, device_call_s=0.0, counts=EngineCounts())
        if status != self._last or not has_work:
            self._last, self._moved_at = status, now

    def overdue(self, now: float) -> str:
        """Why the worker should be killed; "" while it is well."""
        times = self._times
        if not self._is_ready:
            return f"not ready within {times.start_s:g} s" if now - self._heard_at > times.start_s else ""
        if now - self._heard_at > times.hang_s:
            return f"hung: not a word for {times.hang_s:g} s"
        if now - self._moved_at > times.hang_s:
            return f"hung: work, but no step for {times.hang_s:g} s"
        return ""
