"""When a worker has said nothing, or done nothing, for too long. Pure: the time comes in as seconds."""

from __future__ import annotations

from dataclasses import dataclass, replace

from neuron_whisper.engine.engine import EngineStatus
from neuron_whisper.engine.stats import EngineStats


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolTimeouts:
    """`start_timeout_s`: until a worker is ready. `hang_timeout_s`: without a word of it, or with work and without a
    step; a step or the encoding of a batch must take less. `stop_timeout_s`: between asking it to end and killing it.
    `initial_backoff_s`: before the second start in a row, doubled up to `max_backoff_s`. `heartbeat_interval_s`:
    between two words of an idle worker.
    """

    start_timeout_s: float = 600.0
    hang_timeout_s: float = 120.0
    stop_timeout_s: float = 5.0
    initial_backoff_s: float = 0.5
    max_backoff_s: float = 60.0
    heartbeat_interval_s: float = 1.0

    def restart_delay_s(self, failed_runs: int) -> float:
        """Before a worker is started again that failed so often in a row: 0, then initial_backoff_s, doubled each
        time."""
        return min(self.max_backoff_s, self.initial_backoff_s * 2.0 ** (failed_runs - 1)) if failed_runs else 0.0


class Watchdog:
    """One life of a worker."""

    def __init__(self, timeouts: PoolTimeouts, now: float) -> None:
        self._timeouts = timeouts
        self._is_ready = False
        self._last_seen_at = self._last_progress_at = now
        self._last_status: EngineStatus | None = None

    def record_ready(self, now: float) -> None:
        self._is_ready = True
        self._last_seen_at = self._last_progress_at = now

    def record_heartbeat(self, status: EngineStatus, now: float) -> None:
        """A worker with work has to show another status from time to time: steps, windows delivered or taken up."""
        self._last_seen_at = now
        has_work = status.waiting or status.decoding
        # what comes in, is given up or takes its time is no work done
        status = replace(status, waiting=0, device_call_s=0.0, stats=EngineStats())
        if status != self._last_status or not has_work:
            self._last_status, self._last_progress_at = status, now

    def find_timeout(self, now: float) -> str:
        """Why the worker should be killed; "" while it is well."""
        times = self._timeouts
        if not self._is_ready:
            return (
                f"not ready within {times.start_timeout_s:g} s"
                if now - self._last_seen_at > times.start_timeout_s
                else ""
            )
        if now - self._last_seen_at > times.hang_timeout_s:
            return f"hung: not a word for {times.hang_timeout_s:g} s"
        if now - self._last_progress_at > times.hang_timeout_s:
            return f"hung: work, but no step for {times.hang_timeout_s:g} s"
        return ""
