"""Watchdog: when a worker is in time, and when it hangs."""

from __future__ import annotations

import pytest

from neuron_whisper.engine.engine import EngineStatus
from neuron_whisper.engine.watchdog import PoolTimeouts, Watchdog

TIMEOUTS = PoolTimeouts(start_timeout_s=60, hang_timeout_s=10, initial_backoff_s=0.5, max_backoff_s=3)


def engine_status(*, steps: int, decoding: int = 1, waiting: int = 0) -> EngineStatus:
    return EngineStatus(waiting=waiting, decoding=decoding, completed=0, steps=steps)


@pytest.mark.parametrize(("hang_s", "heartbeat_s"), [(120.0, 1.0), (5.0, 1.0), (1.0, 0.2)])
def test_a_short_hang_timeout_has_heartbeats_within_it(hang_s: float, heartbeat_s: float) -> None:
    timeouts = PoolTimeouts.from_hang_s(hang_s)
    assert (timeouts.hang_timeout_s, timeouts.heartbeat_interval_s) == (hang_s, heartbeat_s)
    assert timeouts.poll_interval_s <= min(0.5, heartbeat_s)


def test_a_worker_that_is_never_ready_times_out() -> None:
    watchdog = Watchdog(TIMEOUTS, 0)
    assert watchdog.find_timeout(60) == ""
    assert watchdog.find_timeout(61) == "not ready within 60 s"


def test_a_worker_with_windows_and_no_step_hangs_although_more_windows_come() -> None:
    watchdog = Watchdog(TIMEOUTS, 0)
    watchdog.record_ready(50)
    for second in range(51, 61):
        watchdog.record_heartbeat(engine_status(steps=3, waiting=second), second)
    assert watchdog.find_timeout(61) == ""
    assert watchdog.find_timeout(62) == "hung: windows, but no step for 10 s"
    watchdog.record_heartbeat(engine_status(steps=4), 62)
    assert watchdog.find_timeout(62) == ""


def test_a_worker_without_windows_needs_heartbeats_and_no_steps() -> None:
    watchdog = Watchdog(TIMEOUTS, 0)
    watchdog.record_ready(0)
    for second in range(100):
        watchdog.record_heartbeat(engine_status(steps=3, decoding=0), second)
        assert watchdog.find_timeout(second) == ""
    assert watchdog.find_timeout(110) == "hung: no message for 10 s"


def test_the_delay_of_a_restart_doubles_up_to_its_maximum() -> None:
    assert [TIMEOUTS.restart_delay_s(failed_runs) for failed_runs in range(6)] == [0, 0.5, 1, 2, 3, 3]
