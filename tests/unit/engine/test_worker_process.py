"""WorkerProcess: a real process, its messages, its output, and how it ended."""

from __future__ import annotations

import os
import time

from neuron_whisper.engine.messages import Ready, Start, StartFailed, WorkerEvent
from neuron_whisper.engine.worker_process import WorkerProcess
from neuron_whisper.engine.worker_resources import WorkerResources
from neuron_whisper.errors import TargetUnavailable
from tests.support.paths import ROOT
from tests.support.replicas import TIMEOUT_S, FakeSessionFactory


def start_worker(factory: FakeSessionFactory) -> WorkerProcess:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    start = Start(session_factory=factory, threads=1, log_level=30, heartbeat_interval_s=60)
    return WorkerProcess(0, WorkerResources(environment=environment), start)


def next_event(process: WorkerProcess) -> WorkerEvent:
    deadline = time.monotonic() + TIMEOUT_S
    while (event := process.receive(1.0)) is None:
        assert time.monotonic() < deadline, "no event"
    return event


def test_a_worker_that_is_killed_has_the_signal_as_its_end() -> None:
    process = start_worker(FakeSessionFactory())
    assert isinstance(next_event(process), Ready)
    process.kill()
    assert process.reap() == "signal SIGKILL"


def test_a_worker_that_cannot_start_sends_its_error_and_ends() -> None:
    process = start_worker(FakeSessionFactory(start="refuses"))
    event = next_event(process)
    assert isinstance(event, StartFailed)
    assert isinstance(event.error.to_error(), TargetUnavailable)
    assert process.reap() == "exit code 1"


def test_the_output_of_a_worker_outlives_it() -> None:
    process = start_worker(FakeSessionFactory(start="dies"))
    assert process.reap() == "exit code 9"
    assert process.last_output == "nrt: core 0 is held by another\nnrt: giving up"
