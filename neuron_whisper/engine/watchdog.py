"""Watchdog: whether a worker has sent nothing, or made no progress, for too long. The time is an argument."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

from neuron_whisper.engine.engine import EngineStatus
from neuron_whisper.engine.stats import EngineStats

HEARTBEATS_PER_HANG = 5  # of which some may be late


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolTimeouts:
    """How long a pool waits for its workers.

    `start_timeout_s`: until a worker is ready. `hang_timeout_s`: without any message, or with windows and without a
    step; one step, or the encoding of one batch, must take less. `stop_timeout_s`: between Stop and SIGKILL.
    `initial_backoff_s`: before the second start in a row, doubled each time up to `max_backoff_s`.
    `heartbeat_interval_s`: between two heartbeats of a worker.
    """

    start_timeout_s: float = 600.0
    hang_timeout_s: float = 120.0
    stop_timeout_s: float = 5.0
    initial_backoff_s: float = 0.5
    max_backoff_s: float = 60.0
    heartbeat_interval_s: float = 1.0

    @classmethod
    def from_hang_s(cls, hang_s: float) -> Self:
        """Timeouts with which a worker that hangs is killed after `hang_s`, and one that works never is."""
        return cls(hang_timeout_s=hang_s, heartbeat_interval_s=min(1.0, hang_s / HEARTBEATS_PER_HANG))

    @property
    def poll_interval_s(self) -> float:
        """Between two looks at the time: at most so much later than its timeout a hung worker is noticed."""
        return min(0.5, self.heartbeat_interval_s)

    def restart_delay_s(self, failed_runs: int) -> float:
        """The delay before a worker is restarted that failed `failed_runs` times in a row.

        0 -> 0, 1 -> initial_backoff_s, 2 -> twice that, and so on up to max_backoff_s.
        """
        return min(self.max_backoff_s, self.initial_backoff_s * 2.0 ** (failed_runs - 1)) if failed_runs else 0.0


class Watchdog:
    """Watches one run of a worker."""

    def __init__(self, timeouts: PoolTimeouts, now: float) -> None:
        self._timeouts = timeouts
        self._is_ready = False
        self._last_seen_at = self._last_progress_at = now
        self._last_status: EngineStatus | None = None

    def record_ready(self, now: float) -> None:
        self._is_ready = True
        self._last_seen_at = self._last_progress_at = now

    def record_heartbeat(self, status: EngineStatus, now: float) -> None:
        """A worker with windows makes progress when its status changes: steps, windows completed or put into slots."""
        self._last_seen_at = now
        has_work = status.waiting or status.decoding
        # new, cancelled and slow windows are no progress
        status = replace(status, waiting=0, device_call_s=0.0, stats=EngineStats())
        if status != self._last_status or not has_work:
            self._last_status, self._last_progress_at = status, now

    def find_timeout(self, now: float) -> str:
        """Why the worker must be killed; "" while it is in time."""
        timeouts = self._timeouts
        if not self._is_ready:
            return (
                f"not ready within {timeouts.start_timeout_s:g} s"
                if now - self._last_seen_at > timeouts.start_timeout_s
                else ""
            )
        if now - self._last_seen_at > timeouts.hang_timeout_s:
            return f"hung: no message for {timeouts.hang_timeout_s:g} s"
        if now - self._last_progress_at > timeouts.hang_timeout_s:
            return f"hung: windows, but no step for {timeouts.hang_timeout_s:g} s"
        return ""
