"""Soak, roofline and host time: what they make of what they measured."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from benchmarks.load.soak import SoakResult
from benchmarks.process.server import ServerProcess
from benchmarks.profiling.host_time import StepTiming, TimedSession, summarize
from benchmarks.profiling.host_time import format_table as host_table
from benchmarks.profiling.roofline import MachinePeaks, compute_shares, measure_best_s, measure_stream_bytes
from benchmarks.profiling.roofline import format_table as roofline_table
from neuron_whisper.artifact.loader import Artifact
from neuron_whisper.decode.window import StepRequest
from neuron_whisper.engine.step_batch import StepBatch
from neuron_whisper.errors import TargetUnavailable
from neuron_whisper.target.cpu.runtime.session import CpuSession
from neuron_whisper.target.interfaces import N_RULES
from tests.support.tiny_program import spec

# --- soak -----------------------------------------------------------------------------------------


def soak(sizes: list[int], **more: Any) -> SoakResult:
    return SoakResult(memory=[(float(n), size) for n, size in enumerate(sizes)], seconds=float(len(sizes)), **more)


def test_memory_that_rises_in_the_warm_up_alone_is_flat() -> None:
    found = soak([100, 500, 900, *[1000] * 26, 1040])
    assert found.growth == 0.0
    assert found.passed


def test_memory_that_goes_on_rising_is_told_by_how_much() -> None:
    found = soak([1000 + 10 * n for n in range(30)])
    assert found.growth == pytest.approx(180 / 1070, rel=0.05)
    assert not found.passed
    assert not SoakResult().passed  # nothing was seen


def test_a_text_that_changes_between_rounds_is_an_error() -> None:
    found = soak([1000] * 30)
    found.add_texts(["a", "b"], ["one", "two"])
    found.add_texts(["a", "b"], ["one", "too"])
    assert found.changed_clips == ["b"]
    assert not found.passed
    assert found.summarize()["changed"] == ["b"]


def test_a_server_that_ends_before_it_listens_is_told_with_what_it_said() -> None:
    with pytest.raises(TargetUnavailable, match="its process ended with 7: no port"):
        ServerProcess(["/bin/sh", "-c", "echo no port >&2; exit 7"], ready_path="/")


# --- roofline -------------------------------------------------------------------------------------


def test_shares_are_of_the_least_work_and_the_limits_that_were_measured() -> None:
    tiny = spec(slots=8, beams=1)
    base = SimpleNamespace(
        spec=tiny,
        profile=SimpleNamespace(
            target=SimpleNamespace(dtype="float32"),
            weights=SimpleNamespace(dtype="float32"),
        ),
    )
    limits = MachinePeaks(flops={"f32": 1e9, "bf16": 4e9}, bytes_per_s=1e9)
    rows = compute_shares(
        cast(Artifact, base), {"encode 1": [1.0], "decode 1": [9.0, 1.0, 1.0], "decode 8": [1.0]}, limits
    )
    encode, one, eight = rows
    assert encode["flops_share"] == pytest.approx(encode["gflop"], rel=0.05, abs=1e-3)
    assert one["ms"] == 1000.0
    assert eight["mb"] > one["mb"]
    assert eight["flops_share"] == pytest.approx(8 * one["flops_share"], rel=0.05, abs=2e-4)
    base.profile.target.dtype = "bfloat16"  # four times the peak, half the bytes of caches
    assert (
        compute_shares(cast(Artifact, base), {"encode 1": [1.0]}, limits)[0]["flops_share"] < encode["flops_share"] / 3
    )
    text = roofline_table(rows, limits)
    assert "f32 1 GFLOP/s, bf16 4 GFLOP/s; memory: 1.0 GB/s read" in text


def test_the_best_of_several_runs_counts() -> None:
    assert 0 <= measure_best_s(lambda: None, 0.0) < 0.1
    assert measure_stream_bytes(1, 0.0, size=4096) > 0


# --- host time ------------------------------------------------------------------------------------


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

    watched = TimedSession(cast(CpuSession, Session()))
    active = np.array([True, False, True])
    step = (np.zeros(3, np.int32),) * 4
    for _ in range(3):
        watched.decode(*step, active)
    watched.encode([0], np.zeros((1, 1, 1), np.float32))
    watched.decode(*step, active)
    assert [(it.slots, it.device_s) for it in watched.steps] == [(2, 0.25)] * 2


# --- the engine's rows ----------------------------------------------------------------------------


def ask(tokens: list[int], parents: list[int], position: int, rule: int) -> StepRequest:
    rules = [np.full(N_RULES, rule + n, np.int32) for n in range(len(tokens))]
    return StepRequest(tokens=tokens, parents=parents, position=position, rules=rules, needs_logits=False)


def test_a_steps_rows_hold_nothing_of_the_step_before() -> None:
    rows = StepBatch(spec(slots=3, beams=2))
    rows.fill([(0, ask([7, 8], [1, 1], 5, 20)), (2, ask([9], [0], 6, 30))])
    tokens, positions, parents, rules, active = rows.fill([(1, ask([3, 4], [1, 0], 2, 40))])
    assert tokens.tolist() == [0, 0, 3, 4, 0, 0]
    assert positions.tolist() == [0, 0, 2, 2, 0, 0]
    assert parents.tolist() == [0, 1, 1, 0, 0, 1]
    assert (rules[2].tolist(), rules[3].tolist()) == ([40] * N_RULES, [41] * N_RULES)
    assert active.tolist() == [False, True, False]
