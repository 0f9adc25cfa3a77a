"""Replicas: several worker processes as one engine, also while some of them die."""

from __future__ import annotations

import io
import logging
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from neuron_whisper.artifact.store import ArtifactStore
from neuron_whisper.audio.load import load_audio
from neuron_whisper.decode.options import TranscribeOptions
from neuron_whisper.decode.window import DecodingResult, WindowRequest
from neuron_whisper.engine.engine import Engine
from neuron_whisper.engine.interface import PoolStatus, WorkerStatus
from neuron_whisper.engine.pool import EnginePool
from neuron_whisper.engine.watchdog import PoolTimeouts
from neuron_whisper.errors import (
    DecodingFailed,
    DeviceError,
    EngineDraining,
    InvalidOption,
    QueueFull,
)
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
from tests.support.tiny_models import TINY_PROFILE

# --- what workers count ---------------------------------------------------------------------------


def test_what_workers_count_adds_up_and_outlives_them() -> None:
    with running_pool() as pool:
        tokens = sum(
            len(found.tokens) for found in wait_for_results([pool.submit(window_request(seed)) for seed in range(6)])
        )
        ends = time.monotonic() + TIMEOUT_S
        while pool.status.stats.tokens < tokens:
            assert time.monotonic() < ends
            time.sleep(0.01)
        counts = pool.status.stats
        assert sum(counts.prefill_s.counts) == sum(counts.wait_s.counts) == 6
        victim = pool.status.workers[0].pid
        assert victim is not None
        os.kill(victim, signal.SIGKILL)
        while pool.status.workers[0].pid in (victim, None):
            assert time.monotonic() < ends
            time.sleep(0.01)
        assert pool.status.stats.tokens == tokens


# --- real processes -------------------------------------------------------------------------------


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[ProcessGate]:
    pool = ProcessGate(tmp_path)
    yield pool
    pool.close()


def wait_until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.001)


def wait_until_ready(pool: EnginePool) -> None:
    wait_until(lambda: pool.status.n_ready == len(pool.status.workers), "every worker ready")


def worker_pid(pool: EnginePool, worker: int) -> int:
    pid = pool.status.workers[worker].pid
    assert pid is not None
    return pid


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] not in "ZX"
    except OSError:
        return False


def decode_in_process(seeds: range) -> list[DecodingResult]:
    """The results of one engine in this process."""
    engine = Engine(ScriptedSession(spec(), None), tokenizer())
    try:
        return wait_for_results([engine.submit(window_request(seed)) for seed in seeds])
    finally:
        engine.close()


def test_a_pool_gives_the_results_of_one_engine() -> None:
    with running_pool() as pool:
        wait_until_ready(pool)
        assert wait_for_results([pool.submit(window_request(seed)) for seed in range(12)]) == decode_in_process(
            range(12)
        )
        status = pool.status
        assert (status.waiting, status.decoding, status.completed) == (0, 0, 12)
        wait_until(lambda: pool.status.steps > 0, "a heartbeat with steps")
        assert pool.drain(0)


def test_both_workers_decode_at_once(gate: ProcessGate) -> None:
    gate.shut()
    with running_pool(FakeSessionFactory(slots=1, gate=gate.path)) as pool:
        wait_until_ready(pool)
        futures = [pool.submit(window_request(seed)) for seed in range(2)]
        assert {gate.next_arrival(), gate.next_arrival()} == {worker_pid(pool, 0), worker_pid(pool, 1)}
        gate.open()
        wait_for_results(futures)


def test_windows_of_a_killed_worker_are_decoded_and_it_is_restarted(
    gate: ProcessGate, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "neuron_whisper")
    gate.shut()
    with running_pool(FakeSessionFactory(gate=gate.path)) as pool:
        wait_until_ready(pool)
        futures = [pool.submit(window_request(seed)) for seed in range(10)]
        killed = worker_pid(pool, 0)
        wait_until(lambda: gate.next_arrival() == killed, "the worker's step")
        assert pool.status.workers[0].decoding == 2
        os.kill(killed, signal.SIGKILL)
        wait_until(lambda: pool.status.workers[0].state == "restarting", "the death seen")
        meanwhile = pool.status
        assert (meanwhile.n_ready, meanwhile.workers[0].decoding, meanwhile.waiting + meanwhile.decoding) == (1, 0, 10)
        gate.open()
        assert wait_for_results(futures) == decode_in_process(range(10))
        wait_until_ready(pool)
        assert [worker.restarts for worker in pool.status.workers] == [1, 0]
        assert worker_pid(pool, 0) != killed
        assert wait_for_results([pool.submit(window_request(seed)) for seed in range(4)]) == decode_in_process(range(4))
    logged = "\n".join(record.getMessage() for record in caplog.records)
    assert f"worker=0 died pid={killed} reason='signal SIGKILL' retried=4 failed=0" in logged
    assert re.search(r"worker=0 started pid=\d+ restarts=1", logged)


def test_windows_wait_while_no_worker_is_up(gate: ProcessGate) -> None:
    gate.shut()
    with running_pool(FakeSessionFactory(gate=gate.path)) as pool:
        wait_until_ready(pool)
        futures = [pool.submit(window_request(seed)) for seed in range(6)]
        for worker in range(2):
            os.kill(worker_pid(pool, worker), signal.SIGKILL)
        futures += [pool.submit(window_request(seed)) for seed in range(6, 8)]
        gate.open()
        assert wait_for_results(futures) == decode_in_process(range(8))


@pytest.mark.parametrize(("order", "reason"), [(KILL_WORKER, "SIGKILL"), (FAIL_DEVICE, "the device does not answer")])
def test_a_window_that_kills_workers_fails_and_no_other_does(order: float, reason: str) -> None:
    with running_pool() as pool:
        wait_until_ready(pool)
        futures = [pool.submit(window_request(seed)) for seed in range(3)]
        deadly = pool.submit(window_request(3, command=order))
        futures += [pool.submit(window_request(seed)) for seed in range(3, 9)]
        with pytest.raises(DeviceError, match=rf"[23] workers died while .* window, the last one by .*{reason}"):
            deadly.result(TIMEOUT_S)
        assert wait_for_results(futures) == decode_in_process(range(9))
        wait_until_ready(pool)
        assert pool.device_error is None
        assert 2 <= sum(worker.restarts for worker in pool.status.workers) <= 3


@pytest.mark.parametrize(("signals", "reason"), [([signal.SIGSTOP], "no message"), ([], "no step")])
def test_a_worker_that_hangs_is_replaced(
    signals: list[signal.Signals], reason: str, gate: ProcessGate, caplog: pytest.LogCaptureFixture
) -> None:
    gate.shut()
    with running_pool(
        FakeSessionFactory(gate=gate.path),
        workers=1,
        timeouts=PoolTimeouts(hang_timeout_s=2, heartbeat_interval_s=0.05),
    ) as pool:
        future = pool.submit(window_request(1))
        hung = gate.next_arrival()
        for sent in signals:
            os.kill(hung, sent)
        wait_until(lambda: pool.status.workers[0].restarts == 1, "the worker replaced")
        gate.open()
        assert wait_for_results([future]) == decode_in_process(range(1, 2))
        assert not is_running(hung)
    assert re.search(rf"worker=0 died pid={hung} reason='hung: .*{reason} .*signal SIGKILL' retried=1", caplog.text)


def test_a_worker_heeds_no_signal_that_means_the_parent() -> None:
    """A terminal and a service manager signal every process of the group, and the parent drains."""
    with running_pool(workers=1) as pool:
        pid = worker_pid(pool, 0)
        for meant in (signal.SIGINT, signal.SIGTERM):
            os.kill(pid, meant)
        assert wait_for_results([pool.submit(window_request(1))]) == decode_in_process(range(1, 2))
        assert worker_pid(pool, 0) == pid
        assert os.getsid(pid) != os.getsid(0)


def test_a_cancelled_window_gives_its_slot_to_another(gate: ProcessGate) -> None:
    gate.shut()
    with running_pool(FakeSessionFactory(slots=1, gate=gate.path), workers=1) as pool:
        held = pool.submit(window_request(0))
        gate.next_arrival()
        waits = pool.submit(window_request(1))
        behind = [pool.submit(window_request(seed)) for seed in (2, 3)]
        assert behind[1].cancel()
        assert held.cancel()
        assert pool.status.decoding + pool.status.waiting == 2
        gate.open()
        assert wait_for_results([waits, behind[0]]) == decode_in_process(range(1, 3))
        assert pool.status.completed == 2


def test_the_queue_limit_holds_for_all_workers_together(gate: ProcessGate) -> None:
    gate.shut()
    with running_pool(FakeSessionFactory(slots=1, gate=gate.path), queue_limit=3) as pool:
        wait_until_ready(pool)
        futures = [pool.submit(window_request(seed)) for seed in range(5)]
        with pytest.raises(QueueFull, match="3 windows are waiting"):
            pool.submit(window_request(5))
        futures.append(pool.submit(window_request(5), is_first=False))
        gate.open()
        assert wait_for_results(futures) == decode_in_process(range(6))


def test_a_wrong_mel_is_refused_before_it_is_sent() -> None:
    with running_pool(workers=1) as pool:
        wrong = WindowRequest(mel=np.zeros((80, 7), np.float32), options=window_request(0).options)
        with pytest.raises(InvalidOption, match="mel"):
            pool.submit(wrong)


def test_a_window_that_a_worker_rejects_fails_with_its_error_and_no_other_does() -> None:
    with running_pool(workers=1) as pool:
        unknown = WindowRequest(
            mel=window_request(0).mel, options=window_request(0).options.__class__(language="xx", task="transcribe")
        )
        prompted = replace(window_request(0).options, prompt=("seven",))  # type: ignore[arg-type]  # as a bug would
        impossible = replace(window_request(0), options=prompted)
        refused, failed, good = (pool.submit(window) for window in (unknown, impossible, window_request(1)))
        with pytest.raises(InvalidOption):
            refused.result(TIMEOUT_S)
        with pytest.raises(DecodingFailed):  # a bug, in effect: no prompt is such a token
            failed.result(TIMEOUT_S)
        assert wait_for_results([good]) == decode_in_process(range(1, 2))


def test_a_draining_pool_finishes_what_it_has_and_takes_nothing_new(gate: ProcessGate) -> None:
    gate.shut()
    with running_pool(FakeSessionFactory(gate=gate.path), workers=1) as pool:
        future = pool.submit(window_request(0))
        assert not pool.drain(0)
        with pytest.raises(EngineDraining):
            pool.submit(window_request(1))
        later = pool.submit(window_request(1), is_first=False)
        gate.open()
        assert pool.drain(TIMEOUT_S)
        assert wait_for_results([future, later]) == decode_in_process(range(2))


# --- starts that fail -----------------------------------------------------------------------------


def test_a_worker_that_never_gets_ready_leaves_its_last_output() -> None:
    timeouts = PoolTimeouts(start_timeout_s=4)
    with (
        pytest.raises(DeviceError, match=r"not ready within 4 s; signal SIGKILL[^$]*core 0 is held by another"),
        running_pool(FakeSessionFactory(start="hangs"), workers=1, timeouts=timeouts),
    ):
        pass


def test_a_pool_whose_workers_cannot_be_started_again_has_failed(tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    errors: list[DeviceError] = []
    with running_pool(FakeSessionFactory(start="dies", failure_marker=broken), on_device_error=errors.append) as pool:
        wait_until_ready(pool)
        broken.touch()
        for worker in range(2):
            os.kill(worker_pid(pool, worker), signal.SIGKILL)
        wait_until(lambda: pool.status.n_ready == 0, "the deaths seen")
        futures = [pool.submit(window_request(seed)) for seed in range(3)]
        for future in futures:
            with pytest.raises(DeviceError, match=r"no worker can be started: worker \d ended"):
                future.result(TIMEOUT_S)
        wait_until(lambda: bool(errors), "the device error reported")
        assert pool.device_error is errors[0]
        assert {worker.state for worker in pool.status.workers} == {"failed"}
        with pytest.raises(DeviceError):
            pool.submit(window_request(1))


def test_a_worker_that_failed_is_still_tried_while_another_works(tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    with running_pool(FakeSessionFactory(start="refuses", failure_marker=broken)) as pool:
        wait_until_ready(pool)
        broken.touch()
        os.kill(worker_pid(pool, 1), signal.SIGKILL)
        wait_until(lambda: pool.status.workers[1].state == "failed", "given up")
        assert pool.status.n_ready == 1
        assert wait_for_results([pool.submit(window_request(seed)) for seed in range(4)]) == decode_in_process(range(4))
        broken.unlink()
        wait_until_ready(pool)
        assert pool.device_error is None


# --- ends -----------------------------------------------------------------------------------------


def test_a_closed_pool_leaves_no_process_no_thread_and_no_descriptor() -> None:
    before = list_open_resources()
    with running_pool() as pool:
        wait_until_ready(pool)
        os.kill(worker_pid(pool, 0), signal.SIGKILL)
        wait_until(lambda: pool.status.workers[0].restarts == 1, "the worker replaced")
        pids = [worker.pid for worker in pool.status.workers if worker.pid]
        futures = [pool.submit(window_request(seed)) for seed in range(30)]
        pool.close()
        pool.close()
        for future in futures:
            assert isinstance(future.exception(TIMEOUT_S), EngineDraining | None)
        with pytest.raises(EngineDraining):
            pool.submit(window_request(1))
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
    with running_pool(FakeSessionFactory(gate=gate.path), workers=1, timeouts=PoolTimeouts(stop_timeout_s=0.2)) as pool:
        future = pool.submit(window_request(1))
        hung = gate.next_arrival()
        pool.close()
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


def test_an_artifact_is_opened_in_the_processes_of_its_profile_with_the_same_texts(cache: Path) -> None:
    store = ArtifactStore(cache)
    (artifact,) = store.list_artifacts().current
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
    (artifact,) = store.list_artifacts().current
    with pytest.raises(InvalidOption, match=rf"replicas: {replicas} .* from 1 to 64"):
        Transcriber.open(store, artifact, replicas=replicas)


def test_a_stopped_worker_of_an_artifact_is_replaced_within_the_time_that_was_asked_for(cache: Path) -> None:
    store = ArtifactStore(cache)
    (artifact,) = store.list_artifacts().current
    with closing(Transcriber.open(store, artifact, replicas=2, hang_s=2.0)) as transcriber:

        def workers() -> Sequence[WorkerStatus]:
            status = transcriber.status
            assert isinstance(status, PoolStatus)
            return status.workers

        wait_until(lambda: all(worker.state == "ready" for worker in workers()), "both workers ready")
        pid = workers()[0].pid
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        started = time.monotonic()
        wait_until(lambda: workers()[0].state != "ready", "the stopped worker noticed")
        assert time.monotonic() - started < 10  # with 120 s by default
        assert workers()[1].restarts == 0
        wait_until(lambda: workers()[0].state == "ready", "the worker replaced")


def test_a_server_loses_no_request_when_workers_are_killed(cache: Path) -> None:
    (artifact,) = ArtifactStore(cache).list_artifacts().current
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
        status: dict[str, Any] = answer.json()
        assert answer.status_code == (200 if status["workers_up"] else 503)
        assert status["degraded"] == (status["workers_up"] < status["workers_configured"] == 2)
        return status

    def wait_for_health(condition: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        deadline = time.monotonic() + TIMEOUT_S
        while not condition(status := health()):
            assert time.monotonic() < deadline, status
            time.sleep(0.001)  # as long as a worker is down the state must be seen
        return status

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
    degraded = wait_for_health(lambda it: it["degraded"])
    state = degraded["workers"][0]["state"]
    assert (degraded["status"], degraded["workers_up"], state) == ("ready", 1, "restarting")
    assert [answer.result(TIMEOUT_S) for answer in answers] == expected
    wait_until(lambda: health()["workers_up"] == 2, "both workers up again")
    assert [worker["restarts"] for worker in health()["workers"]] == [1, 0]

    for index in range(2):
        os.kill(started_pids(log, worker=index)[-1], signal.SIGKILL)
    assert wait_for_health(lambda it: not it["workers_up"])["status"] == "no_worker"
    assert client.get("/health/live").status_code == 200
    assert text(tones[0]) == expected[0]
    wait_until(lambda: health()["workers_up"] == 2, "both workers up once more")
