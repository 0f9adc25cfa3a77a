"""Host time of decode steps."""

from __future__ import annotations

from typing import Any, cast

import numpy as np

from benchmarks.profiling.host_time import StepTiming, TimedSession, summarize
from benchmarks.profiling.host_time import format_table as host_table
from neuron_whisper.target.cpu.runtime.session import CpuSession
from neuron_whisper.target.interfaces import N_RULES, StepInputs


def test_host_time_is_what_is_left_of_a_step_by_medians() -> None:
    steps = [
        StepTiming(slots=8, device_s=0.008, session_s=0.001, engine_s=0.001),
        StepTiming(slots=8, device_s=0.008, session_s=0.001, engine_s=0.5),
        StepTiming(slots=8, device_s=0.008, session_s=0.001, engine_s=0.001),
        StepTiming(slots=1, device_s=0.5, session_s=0.001, engine_s=0.001),
    ]
    assert summarize(steps, 8) == {
        "slots": 8,
        "steps": 3,
        "device_ms": 8.0,
        "session_ms": 1.0,
        "engine_ms": 1.0,
        "host_share": 0.2,
    }
    assert summarize(steps, 3) is None
    assert "| 8 | 1 | 3 | 8.00 | 1.00 | 1.00 | 20.0 |" in host_table([{"beams": 1, **(summarize(steps, 8) or {})}])


def test_only_steps_that_follow_each_other_at_once_are_counted() -> None:
    class Session:
        device_s = 0.0

        def decode(self, *arguments: Any) -> None:
            self.device_s += 0.25

        def encode(self, *arguments: Any) -> None:
            pass

    session = TimedSession(cast(CpuSession, Session()))
    rows = np.zeros(3, np.int32)
    rules, active = np.zeros((3, N_RULES), np.int32), np.array([True, False, True])
    step = StepInputs(tokens=rows, positions=rows, parents=rows, rules=rules, active=active)
    for _ in range(3):
        session.decode(step)
    session.encode([0], np.zeros((1, 1, 1), np.float32))
    session.decode(step)
    assert [(it.slots, it.device_s) for it in session.steps] == [(2, 0.25)] * 2
