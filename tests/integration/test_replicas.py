"""Replicas: several worker processes as one engine, also while some of them die."""

from __future__ import annotations

import io
import logging
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, suppress
from multiprocessing import Pipe
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neuron_whisper.artifact.store import ArtifactStore
from neuron_whisper.audio.load import load_audio
from neuron_whisper.decode.options import TranscribeOptions
from neuron_whisper.decode.window import DecodingResult, WindowRequest
from neuron_whisper.engine.dispatcher import Dispatcher, PoolRequest
from neuron_whisper.engine.engine import Engine, EngineStatus
from neuron_whisper.engine.interface import PoolStatus
from neuron_whisper.engine.messages import Channel, DecodeWindow, SerializedError
from neuron_whisper.engine.pool import EnginePool
from neuron_whisper.engine.watchdog import PoolTimeouts, Watchdog
from neuron_whisper.engine.worker_resources import list_usable_cpus, partition_resources
from neuron_whisper.errors import (
    AudioTooLong,
    DeviceError,
    EngineDraining,
    InvalidOption,
    NeuronWhisperError,
    QueueFull,
    TargetUnavailable,
)
from neuron_whisper.profile import TargetTable
from neuron_whisper.target.neuron.runtime.core_allocation import reserve_cores
from neuron_whisper.transcriber import Transcriber
from tests.support.paths import ROOT
from tests.support.replicas import (
    FAIL_DEVICE,
    KILL_WORKER,
    TIMEOUT_S,
    FakeSessionFactory,
    ProcessGate,
    ScriptedSession,
    running_pool,
    spec,
    tokenizer,
    wait_for_results,
    window_request,
)
from tests.support.servers import TRANSCRIPTIONS, tone
from tests.support.tiny_models import TINY_PROFILE, tiny_checkpoint

__all__ = ["tiny_checkpoint"]  # a fixture

# --- who gets a window ----------------------------------------------------------------------------


def make_dispatcher(workers: int = 2, slots: int = 2, prefetch: int = 1) -> Dispatcher:
    made = Dispatcher(workers, slots=slots, prefetch=prefetch)
    for worker in range(workers):
        made.attach_worker(worker)
    return made


def enqueue_windows(to: Dispatcher, n: int) -> list[PoolRequest]:
    return [to.enqueue(window_request(seed)) for seed in range(n)]


def test_a_window_goes_to_the_least_loaded_worker_and_ties_to_the_first() -> None:
    made = make_dispatcher(workers=3, slots=4)
    jobs = enqueue_windows(made, 4)
    assert [worker for worker, _ in made.assign()] == [0, 1, 2, 0]
    made.finish(0, jobs[0].id)
    made.finish(0, jobs[3].id)
    enqueue_windows(made, 3)
    assert [worker for worker, _ in made.assign()] == [0, 0, 1]


def test_a_worker_gets_its_slots_full_and_a_few_ahead_and_the_rest_waits() -> None:
    made = make_dispatcher(workers=2, slots=2, prefetch=1)
    enqueue_windows(made, 9)
    assert len(list(made.assign())) == 6
    assert (made.waiting, made.decoding) == (5, 4)
    assert made.worker_load(0) == made.worker_load(1) == (1, 2)


def test_windows_of_a_dead_worker_wait_before_those_that_came_later() -> None:
    made = make_dispatcher(workers=1, slots=2, prefetch=0)
    jobs = enqueue_windows(made, 3)
    list(made.assign())
    assert made.detach_worker(0) == []
    made.attach_worker(0)
    assert [job for _, job in made.assign()] == jobs[:2]


def test_a_window_that_was_alone_with_its_second_dead_worker_fails() -> None:
    made = make_dispatcher()
    (job,) = enqueue_windows(made, 1)
    ((first, _),) = made.assign()
    assert made.detach_worker(first) == []
    ((second, _),) = made.assign()
    assert second != first
    assert made.detach_worker(second) == [job]
    assert made.waiting == made.decoding == 0


def test_a_window_nobody_waits_for_is_forgotten_wherever_it_is() -> None:
    made = make_dispatcher(workers=1, slots=1, prefetch=0)
    held, waits = enqueue_windows(made, 2)
    list(made.assign())
    assert made.cancel(held) == 0
    assert made.cancel(waits) is None
    assert made.cancel(waits) is None
    assert made.finish(0, held.id) is None
    assert made.waiting == made.decoding == 0


@settings(max_examples=200, deadline=None)
@given(
    n=st.integers(1, 25),
    workers=st.integers(1, 4),
    slots=st.integers(1, 5),
    ahead=st.integers(0, 2),
    poison=st.sets(st.integers(0, 24), max_size=3),
    seed=st.integers(0, 10_000),
)
def test_windows_that_kill_their_worker_fail_and_no_other_does(
    n: int, workers: int, slots: int, ahead: int, poison: set[int], seed: int
) -> None:
    """In whatever order workers answer, die and come back."""
    made, chance = make_dispatcher(workers, slots, ahead), random.Random(seed)
    jobs = enqueue_windows(made, n)
    held: dict[int, list[PoolRequest]] = {worker: [] for worker in range(workers)}
    down: set[int] = set()
    answered, failed = set(), set()
    for _ in range(100 * n):
        for worker, job in made.assign():
            held[worker].append(job)
            assert len(held[worker]) <= slots + ahead
        worker = chance.randrange(workers)
        if worker in down:
            down.discard(worker)
            made.attach_worker(worker)
        elif deadly := [job for job in held[worker][:slots] if job.id in poison]:
            assert len(deadly) <= 1 or len(held[worker]) > 1
            failed |= {job.id for job in made.detach_worker(worker)}
            held[worker].clear()
            down.add(worker)
        elif held[worker]:
            job = held[worker].pop(0)
            assert made.finish(worker, job.id) is job
            answered.add(job.id)
    assert failed == {job.id for job in jobs} & poison
    assert answered == {job.id for job in jobs} - poison
    assert made.waiting == made.decoding == 0


# --- what workers count ---------------------------------------------------------------------------


def test_what_workers_count_adds_up_and_outlives_them() -> None:
    with running_pool() as made:
        tokens = sum(
            len(found.tokens) for found in wait_for_results([made.submit(window_request(seed)) for seed in range(6)])
        )
        ends = time.monotonic() + TIMEOUT_S
        while made.status.stats.tokens < tokens:  # they tell from time to time
            assert time.monotonic() < ends
            time.sleep(0.01)
        counts = made.status.stats
        assert sum(counts.prefill_s.counts) == sum(counts.wait_s.counts) == 6
        victim = made.status.workers[0].pid
        assert victim is not None
        os.kill(victim, signal.SIGKILL)
        while made.status.workers[0].pid in (victim, None):
            assert time.monotonic() < ends
            time.sleep(0.01)
        assert made.status.stats.tokens == tokens


# --- when a worker is given up --------------------------------------------------------------------

TIMEOUTS = PoolTimeouts(start_timeout_s=60, hang_timeout_s=10, initial_backoff_s=0.5, max_backoff_s=3)


def engine_status(*, steps: int, decoding: int = 1, waiting: int = 0) -> EngineStatus:
    return EngineStatus(waiting=waiting, decoding=decoding, completed=0, steps=steps)


def test_a_worker_that_never_gets_ready_is_given_up() -> None:
    watch = Watchdog(TIMEOUTS, 0)
    assert watch.find_timeout(60) == ""
    assert watch.find_timeout(61) == "not ready within 60 s"


def test_a_worker_with_work_and_no_step_hangs_whatever_else_it_is_given() -> None:
    watch = Watchdog(TIMEOUTS, 0)
    watch.record_ready(50)
    for second in range(51, 61):
        watch.record_heartbeat(engine_status(steps=3, waiting=second), second)
    assert watch.find_timeout(61) == ""
    assert watch.find_timeout(62) == "hung: windows, but no step for 10 s"
    watch.record_heartbeat(engine_status(steps=4), 62)
    assert watch.find_timeout(62) == ""


def test_a_worker_without_work_needs_no_steps_but_has_to_say_so() -> None:
    watch = Watchdog(TIMEOUTS, 0)
    watch.record_ready(0)
    for second in range(100):
        watch.record_heartbeat(engine_status(steps=3, decoding=0), second)
        assert watch.find_timeout(second) == ""
    assert watch.find_timeout(110) == "hung: no message for 10 s"


def test_a_worker_that_fails_again_and_again_is_started_ever_later() -> None:
    assert [TIMEOUTS.restart_delay_s(failures) for failures in range(6)] == [0, 0.5, 1, 2, 3, 3]


# --- what a worker gets of the machine ------------------------------------------------------------


def visible_cores(environment: dict[str, str], tp: int, workers: int) -> list[str]:
    groups = partition_resources(
        TargetTable(name="neuron", tp=tp), workers, threads=0, environment=environment, cpus=[0, 1, 2, 3]
    )
    assert all("NEURON_RT_NUM_CORES" not in group.environment and not group.cpus for group in groups)
    return [group.environment["NEURON_RT_VISIBLE_CORES"] for group in groups]


def test_each_worker_has_neuron_cores_of_its_own() -> None:
    assert visible_cores({}, tp=2, workers=3) == ["0,1", "2,3", "4,5"]
    assert visible_cores({"NEURON_RT_NUM_CORES": "4"}, tp=1, workers=2) == ["0", "1"]
    assert visible_cores({"NEURON_RT_NUM_CORES": "0"}, tp=1, workers=2) == ["0", "1"]


def test_a_workers_own_plan_takes_the_cores_it_was_given() -> None:
    (first, _) = partition_resources(TargetTable(name="neuron", tp=2), 2, threads=0, environment={}, cpus=[])
    assert reserve_cores(dict(first.environment), 2) == "NEURON_RT_VISIBLE_CORES=0,1"


def test_workers_keep_to_the_neuron_cores_that_the_operator_chose() -> None:
    assert visible_cores({"NEURON_RT_VISIBLE_CORES": "4-6,9"}, tp=2, workers=2) == ["4,5", "6,9"]


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("NEURON_RT_VISIBLE_CORES", "0-2"),
        ("NEURON_RT_VISIBLE_CORES", "0,0,1,1"),
        ("NEURON_RT_VISIBLE_CORES", "all"),
        ("NEURON_RT_NUM_CORES", "3"),
        ("NEURON_RT_NUM_CORES", "-4"),
    ],
)
def test_too_few_neuron_cores_are_told_before_anything_starts(variable: str, value: str) -> None:
    with pytest.raises(InvalidOption, match=rf"{variable}: '{value}' .* 4 or more NeuronCores for 2 replicas of 2"):
        visible_cores({variable: value}, tp=2, workers=2)


@pytest.mark.parametrize(
    ("workers", "threads", "shares"),
    [
        (2, 0, [((0, 1), 2), ((2, 3, 4), 3)]),
        (2, 8, [((0, 1), 4), ((2, 3, 4), 4)]),
        (5, 2, [((cpu,), 1) for cpu in range(5)]),
        (6, 0, [((), 1)] * 6),
    ],
)
def test_processors_and_threads_are_divided(
    workers: int, threads: int, shares: list[tuple[tuple[int, ...], int]]
) -> None:
    groups = partition_resources(TargetTable(name="cpu"), workers, threads=threads, environment={}, cpus=range(5))
    assert [(group.cpus, group.threads) for group in groups] == shares


def test_the_processors_are_those_of_this_process() -> None:
    assert set(list_usable_cpus()) == os.sched_getaffinity(0)


# --- what crosses ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "error",
    [
        InvalidOption("prompt", 400, "at most 256 tokens"),
        TargetUnavailable("cpu", "no openvino", "pip install it"),
        AudioTooLong("a.wav", 3.5),
        DeviceError("gone"),
        QueueFull(3),
    ],
    ids=lambda error: type(error).__name__,
)
def test_errors_arrive_with_their_fields(error: NeuronWhisperError) -> None:
    ours, theirs = (Channel(end) for end in Pipe())
    ours.send(SerializedError.from_error(error))  # type: ignore[arg-type]  # a part of messages
    arrived = theirs.receive().to_error()
    assert type(arrived) is type(error)
    assert (str(arrived), vars(arrived)) == (str(error), vars(error))
    ours.close()
    with pytest.raises(EOFError):
        theirs.receive()
    theirs.close()


def test_a_window_arrives_as_it_was() -> None:
    ours, theirs = (Channel(end) for end in Pipe())
    mel = np.random.default_rng(0).standard_normal((128, 3000)).astype(np.float32)
    for sent in (mel, np.asfortranarray(mel), mel[:, ::2]):
        window = WindowRequest(mel=sent, options=window_request(0).options)
        with ThreadPoolExecutor(1) as sender:
            sender.submit(ours.send, DecodeWindow(id=7, window=window))
            arrived = theirs.receive()
        np.testing.assert_array_equal(arrived.window.mel, sent)
        assert (arrived.id, arrived.window.options) == (7, window.options)
    ours.close()
    theirs.close()


# --- real processes -------------------------------------------------------------------------------


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[ProcessGate]:
    made = ProcessGate(tmp_path)
    yield made
    made.close()


def wait_until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while not condition():
        assert time.monotonic() < deadline, what
        os.sched_yield()


def wait_until_ready(made: EnginePool) -> None:
    wait_until(lambda: made.status.n_ready == len(made.status.workers), "every worker ready")


def worker_pid(made: EnginePool, worker: int) -> int:
    pid = made.status.workers[worker].pid
    assert pid is not None
    return pid


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] not in "ZX"
    except OSError:
        return False


def decode_in_process(seeds: range) -> list[DecodingResult]:
    """What one engine in this process says."""
    engine = Engine(ScriptedSession(spec(), None), tokenizer())
    try:
        return wait_for_results([engine.submit(window_request(seed)) for seed in seeds])
    finally:
        engine.close()


def test_a_pool_says_what_one_engine_says() -> None:
    with running_pool() as made:
        wait_until_ready(made)
        assert wait_for_results([made.submit(window_request(seed)) for seed in range(12)]) == decode_in_process(
            range(12)
        )
        status = made.status
        assert (status.waiting, status.decoding, status.completed) == (0, 0, 12)
        wait_until(lambda: made.status.steps > 0, "steps told")
        assert made.drain(0)


def test_both_workers_decode_at_once(gate: ProcessGate) -> None:
    gate.shut()
    with running_pool(FakeSessionFactory(slots=1, gate=gate.path)) as made:
        wait_until_ready(made)
        futures = [made.submit(window_request(seed)) for seed in range(2)]
        assert {gate.next_arrival(), gate.next_arrival()} == {worker_pid(made, 0), worker_pid(made, 1)}
        gate.open()
        wait_for_results(futures)


def test_windows_of_a_killed_worker_are_answered_and_it_comes_back(
    gate: ProcessGate, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "neuron_whisper")
    gate.shut()
    with running_pool(FakeSessionFactory(gate=gate.path)) as made:
        wait_until_ready(made)
        futures = [made.submit(window_request(seed)) for seed in range(10)]
        killed = worker_pid(made, 0)
        while gate.next_arrival() != killed:
            pass
        assert made.status.workers[0].decoding == 2
        os.kill(killed, signal.SIGKILL)
        wait_until(lambda: made.status.workers[0].state == "restarting", "the death seen")
        meanwhile = made.status
        assert (meanwhile.n_ready, meanwhile.workers[0].decoding, meanwhile.waiting + meanwhile.decoding) == (1, 0, 10)
        gate.open()
        assert wait_for_results(futures) == decode_in_process(range(10))
        wait_until_ready(made)
        assert [worker.restarts for worker in made.status.workers] == [1, 0]
        assert worker_pid(made, 0) != killed
        assert wait_for_results([made.submit(window_request(seed)) for seed in range(4)]) == decode_in_process(range(4))
    told = "\n".join(record.getMessage() for record in caplog.records)
    assert f"worker=0 died pid={killed} reason='signal SIGKILL' retried=4 failed=0" in told
    assert re.search(r"worker=0 started pid=\d+ restarts=1", told)


def test_windows_wait_while_no_worker_is_up(gate: ProcessGate) -> None:
    gate.shut()
    with running_pool(FakeSessionFactory(gate=gate.path)) as made:
        wait_until_ready(made)
        futures = [made.submit(window_request(seed)) for seed in range(6)]
        for worker in range(2):
            os.kill(worker_pid(made, worker), signal.SIGKILL)
        futures += [made.submit(window_request(seed)) for seed in range(6, 8)]
        gate.open()
        assert wait_for_results(futures) == decode_in_process(range(8))


@pytest.mark.parametrize(("order", "reason"), [(KILL_WORKER, "SIGKILL"), (FAIL_DEVICE, "the device does not answer")])
def test_a_window_that_kills_workers_fails_and_no_other_does(order: float, reason: str) -> None:
    with running_pool() as made:
        wait_until_ready(made)
        futures = [made.submit(window_request(seed)) for seed in range(3)]
        deadly = made.submit(window_request(3, command=order))
        futures += [made.submit(window_request(seed)) for seed in range(3, 9)]
        with pytest.raises(DeviceError, match=rf"[23] workers died while .* window, the last one by .*{reason}"):
            deadly.result(TIMEOUT_S)
        assert wait_for_results(futures) == decode_in_process(range(9))
        wait_until_ready(made)
        assert made.fault is None
        assert 2 <= sum(worker.restarts for worker in made.status.workers) <= 3


@pytest.mark.parametrize(("signals", "reason"), [([signal.SIGSTOP], "no message"), ([], "no step")])
def test_a_worker_that_hangs_is_replaced(
    signals: list[signal.Signals], reason: str, gate: ProcessGate, caplog: pytest.LogCaptureFixture
) -> None:
    gate.shut()
    with running_pool(
        FakeSessionFactory(gate=gate.path),
        workers=1,
        timeouts=PoolTimeouts(hang_timeout_s=2, heartbeat_interval_s=0.05),
    ) as made:
        future = made.submit(window_request(1))
        hung = gate.next_arrival()
        for sent in signals:
            os.kill(hung, sent)
        wait_until(lambda: made.status.workers[0].restarts == 1, "the worker replaced")
        gate.open()
        assert wait_for_results([future]) == decode_in_process(range(1, 2))
        assert not is_running(hung)
    assert re.search(rf"worker=0 died pid={hung} reason='hung: .*{reason} .*signal SIGKILL' retried=1", caplog.text)


def test_a_worker_heeds_no_signal_that_means_the_parent() -> None:
    """A terminal and a service manager signal every process of the group, and the parent drains."""
    with running_pool(workers=1) as made:
        pid = worker_pid(made, 0)
        for meant in (signal.SIGINT, signal.SIGTERM):
            os.kill(pid, meant)
        assert wait_for_results([made.submit(window_request(1))]) == decode_in_process(range(1, 2))
        assert worker_pid(made, 0) == pid
        assert os.getsid(pid) != os.getsid(0)


def test_a_cancelled_window_gives_its_slot_to_another(gate: ProcessGate) -> None:
    gate.shut()
    with running_pool(FakeSessionFactory(slots=1, gate=gate.path), workers=1) as made:
        held = made.submit(window_request(0))
        gate.next_arrival()
        waits = made.submit(window_request(1))
        behind = [made.submit(window_request(seed)) for seed in (2, 3)]
        assert behind[1].cancel()
        assert held.cancel()
        assert made.status.decoding + made.status.waiting == 2
        gate.open()
        assert wait_for_results([waits, behind[0]]) == decode_in_process(range(1, 3))
        assert made.status.completed == 2


def test_the_queue_limit_holds_for_all_workers_together(gate: ProcessGate) -> None:
    gate.shut()
    with running_pool(FakeSessionFactory(slots=1, gate=gate.path), queue_limit=3) as made:
        wait_until_ready(made)
        futures = [made.submit(window_request(seed)) for seed in range(5)]
        with pytest.raises(QueueFull, match="3 windows are waiting"):
            made.submit(window_request(5))
        futures.append(made.submit(window_request(5), is_first=False))
        gate.open()
        assert wait_for_results(futures) == decode_in_process(range(6))


def test_a_wrong_mel_is_refused_before_it_is_sent() -> None:
    with running_pool(workers=1) as made:
        wrong = WindowRequest(mel=np.zeros((80, 7), np.float32), options=window_request(0).options)
        with pytest.raises(InvalidOption, match="mel"):
            made.submit(wrong)


def test_a_window_a_worker_refuses_fails_with_what_it_said_and_harms_nobody() -> None:
    with running_pool(workers=1) as made:
        unknown = WindowRequest(
            mel=window_request(0).mel, options=window_request(0).options.__class__(language="xx", task="transcribe")
        )
        refused, good = made.submit(unknown), made.submit(window_request(1))
        with pytest.raises((InvalidOption, DeviceError)):
            refused.result(TIMEOUT_S)
        assert wait_for_results([good]) == decode_in_process(range(1, 2))


def test_a_draining_pool_finishes_what_it_has_and_takes_nothing_new(gate: ProcessGate) -> None:
    gate.shut()
    with running_pool(FakeSessionFactory(gate=gate.path), workers=1) as made:
        future = made.submit(window_request(0))
        assert not made.drain(0)
        with pytest.raises(EngineDraining):
            made.submit(window_request(1))
        later = made.submit(window_request(1), is_first=False)
        gate.open()
        assert made.drain(TIMEOUT_S)
        assert wait_for_results([future, later]) == decode_in_process(range(2))


# --- starts that fail -----------------------------------------------------------------------------


def test_an_error_of_the_tree_at_the_start_is_the_openers_error() -> None:
    with pytest.raises(TargetUnavailable, match="buy one") as raised, running_pool(FakeSessionFactory(start="refuses")):
        pass
    assert raised.value.install == "buy one"


def test_a_worker_that_dies_at_its_start_leaves_its_last_words() -> None:
    with (
        pytest.raises(DeviceError, match=r"worker 0 .*\(exit code 9\)[^$]*core 0 is held by another\nnrt: giving up"),
        running_pool(FakeSessionFactory(start="dies")),
    ):
        pass


def test_a_worker_that_never_gets_ready_leaves_its_last_words() -> None:
    timeouts = PoolTimeouts(start_timeout_s=4)
    with (
        pytest.raises(DeviceError, match=r"not ready within 4 s; signal SIGKILL[^$]*core 0 is held by another"),
        running_pool(FakeSessionFactory(start="hangs"), workers=1, timeouts=timeouts),
    ):
        pass


def test_a_pool_whose_workers_cannot_be_started_again_has_failed(tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    faults: list[DeviceError] = []
    with running_pool(FakeSessionFactory(start="dies", failure_marker=broken), on_fault=faults.append) as made:
        wait_until_ready(made)
        broken.touch()
        for worker in range(2):
            os.kill(worker_pid(made, worker), signal.SIGKILL)
        wait_until(lambda: made.status.n_ready == 0, "the deaths seen")
        futures = [made.submit(window_request(seed)) for seed in range(3)]
        for future in futures:
            with pytest.raises(DeviceError, match=r"no worker can be started: worker \d ended"):
                future.result(TIMEOUT_S)
        wait_until(lambda: bool(faults), "the fault told")
        assert made.fault is faults[0]
        assert {worker.state for worker in made.status.workers} == {"failed"}
        with pytest.raises(DeviceError):
            made.submit(window_request(1))


def test_a_worker_that_failed_is_still_tried_while_another_works(tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    with running_pool(FakeSessionFactory(start="refuses", failure_marker=broken)) as made:
        wait_until_ready(made)
        broken.touch()
        os.kill(worker_pid(made, 1), signal.SIGKILL)
        wait_until(lambda: made.status.workers[1].state == "failed", "given up")
        assert made.status.n_ready == 1
        assert wait_for_results([made.submit(window_request(seed)) for seed in range(4)]) == decode_in_process(range(4))
        broken.unlink()
        wait_until_ready(made)
        assert made.fault is None


# --- ends -----------------------------------------------------------------------------------------


def test_a_closed_pool_leaves_no_process_no_thread_and_no_descriptor() -> None:
    before = list_open_resources()
    with running_pool() as made:
        wait_until_ready(made)
        os.kill(worker_pid(made, 0), signal.SIGKILL)
        wait_until(lambda: made.status.workers[0].restarts == 1, "the worker replaced")
        pids = [worker.pid for worker in made.status.workers if worker.pid]
        futures = [made.submit(window_request(seed)) for seed in range(30)]
        made.close()
        made.close()
        for future in futures:
            assert isinstance(future.exception(TIMEOUT_S), EngineDraining | None)
        with pytest.raises(EngineDraining):
            made.submit(window_request(1))
    # What earlier tests left may go meanwhile; the kernel lists a joined thread for an instant longer.
    wait_until(lambda: not list_open_resources() - before, "every process, thread and descriptor gone")
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def list_open_resources() -> set[str]:
    """Sockets and pipes that this process has open, and its threads."""
    names = {f"thread {task.name}" for task in Path("/proc/self/task").iterdir()}
    for descriptor in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # the one that looked
            names.add(str(descriptor.readlink()))
    return {name for name in names if name.startswith(("socket", "pipe", "thread"))}


def test_a_worker_that_hangs_does_not_keep_a_pool_from_closing(gate: ProcessGate) -> None:
    gate.shut()
    with running_pool(FakeSessionFactory(gate=gate.path), workers=1, timeouts=PoolTimeouts(stop_timeout_s=0.2)) as made:
        future = made.submit(window_request(1))
        hung = gate.next_arrival()
        made.close()
        assert isinstance(future.exception(0), EngineDraining)
        assert not is_running(hung)


def test_workers_end_with_a_parent_that_is_killed() -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", "from tests.support.replicas import main; main()"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    with parent:
        assert parent.stdout is not None
        workers = [int(pid) for pid in parent.stdout.readline().replace("None", "").split()]
        assert workers
        parent.kill()
    wait_until(lambda: not any(map(is_running, workers)), "the workers gone")


# --- a real artifact ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory, tiny_checkpoint: Path) -> Path:
    """A cache with one artifact, whose profile wants three replicas."""
    directory = tmp_path_factory.mktemp("replicas")
    profile = directory / "three.toml"
    profile.write_text(TINY_PROFILE.replace("[target]\n", "[target]\nreplicas = 3\n"))
    subprocess.run(
        [
            sys.executable,
            "-m",
            "neuron_whisper",
            "compile",
            "--model",
            tiny_checkpoint,
            "--profile",
            profile,
            "--cache",
            directory / "cache",
        ],
        check=True,
        capture_output=True,
    )
    return directory / "cache"


def test_an_artifact_is_opened_in_as_many_processes_as_its_profile_says_and_says_the_same(cache: Path) -> None:
    store = ArtifactStore(cache)
    (artifact,), _ = store.list_artifacts()
    options = TranscribeOptions(temperature=0.0, vad_filter=False)
    clips = [load_audio(io.BytesIO(tone(hertz, seconds=31)), name="tone.wav") for hertz in (300, 600, 900)]
    with closing(Transcriber.open(store, artifact, replicas=1)) as one:
        expected = [one.transcribe(clip, options) for clip in clips]
        assert not isinstance(one.status, PoolStatus)
    with closing(Transcriber.open(store, artifact)) as three, ThreadPoolExecutor(3) as threads:
        assert isinstance(three.status, PoolStatus)
        assert len(three.status.workers) == 3
        found = [*threads.map(three.transcribe, clips, [options] * 3)]
    for mine, other in zip(found, expected, strict=True):
        assert mine.text == other.text
        assert [it.tokens for it in mine.segments] == [it.tokens for it in other.segments]
        # a replica has fewer threads, and sums of more or fewer parts are rounded otherwise
        scores = [[it.avg_logprob for it in transcript.segments] for transcript in (mine, other)]
        assert scores[0] == pytest.approx(scores[1], abs=1e-4)
    assert len({transcript.text for transcript in expected}) > 1


@pytest.mark.parametrize("replicas", [0, 65])
def test_a_number_of_replicas_that_cannot_be_is_refused(cache: Path, replicas: int) -> None:
    store = ArtifactStore(cache)
    (artifact,), _ = store.list_artifacts()
    with pytest.raises(InvalidOption, match=rf"replicas: {replicas} .* from 1 to 64"):
        Transcriber.open(store, artifact, replicas=replicas)


def test_a_server_loses_no_request_when_workers_are_killed(cache: Path) -> None:
    (artifact,), _ = ArtifactStore(cache).list_artifacts()
    server = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "neuron_whisper",
            "serve",
            "--artifact",
            artifact.name,
            "--cache",
            cache,
            "--port",
            "0",
            "--replicas",
            "2",
            "--no-vad",
        ],
        stderr=subprocess.PIPE,
        text=True,
    )
    assert server.stderr is not None
    log: list[str] = []
    with server, ThreadPoolExecutor(7) as threads:
        try:
            for line in server.stderr:
                log.append(line)
                if "listening on " in line:
                    break
            threads.submit(log.extend, server.stderr)
            url = line.rpartition("listening on ")[2].strip()
            with httpx.Client(base_url=url, timeout=TIMEOUT_S, verify=False) as client:
                _serve_through_deaths(client, threads, log)
        finally:
            server.terminate()
    assert server.returncode == 0
    pids = started_pids(log, worker=0) + started_pids(log, worker=1)
    assert len(pids) == 5
    assert not any(map(is_running, pids))


def started_pids(log: list[str], *, worker: int) -> list[int]:
    """Its pids, by what the server logs."""
    return [int(pid) for pid in re.findall(rf"worker={worker} started pid=(\d+)", "".join(log))]


def _serve_through_deaths(client: httpx.Client, threads: ThreadPoolExecutor, log: list[str]) -> None:
    def health() -> dict[str, Any]:
        answer = client.get("/health/ready")
        told: dict[str, Any] = answer.json()
        assert answer.status_code == (200 if told["workers_up"] else 503)
        assert told["degraded"] == (told["workers_up"] < told["workers_configured"] == 2)
        return told

    def text(hertz: float) -> str:
        # at 0 the server climbs to temperatures at which random weights say anything
        files, form = {"file": ("tone.wav", tone(hertz, seconds=31))}, {"temperature": "0.01"}
        answer = client.post(TRANSCRIPTIONS, files=files, data=form)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["text"])

    wait_until(lambda: health()["workers_up"] == 2, "both workers up")
    tones = [200.0 * i for i in range(1, 7)]
    expected = [text(hertz) for hertz in tones]
    assert len(set(expected)) > 1

    (worker,) = started_pids(log, worker=0)
    os.kill(worker, signal.SIGSTOP)  # its windows are quick: this holds some
    answers: list[Future[str]] = [threads.submit(text, hertz) for hertz in tones]
    wait_until(lambda: health()["workers"][0]["decoding"] == 2, "both its slots taken")
    os.kill(worker, signal.SIGKILL)
    while not (told := health())["degraded"]:
        pass
    assert (told["status"], told["workers_up"], told["workers"][0]["state"]) == ("ready", 1, "restarting")
    assert [answer.result(TIMEOUT_S) for answer in answers] == expected
    wait_until(lambda: health()["workers_up"] == 2, "both workers up again")
    assert [worker["restarts"] for worker in health()["workers"]] == [1, 0]

    for index in range(2):
        os.kill(started_pids(log, worker=index)[-1], signal.SIGKILL)
    while (told := health())["workers_up"]:
        pass
    assert told["status"] == "no_worker"
    assert client.get("/health/live").status_code == 200
    assert text(tones[0]) == expected[0]
    wait_until(lambda: health()["workers_up"] == 2, "both workers up once more")
