"""Running jobs: requeues, failures and deferrals, without HTTP, on a small program."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from neuron_whisper.server import ServerSettings
from neuron_whisper.server.jobs.entities import Job
from neuron_whisper.server.jobs.files import JobFiles
from neuron_whisper.server.jobs.outbound import RestrictedHttpClient
from neuron_whisper.server.jobs.quota import StorageLimits, UploadLedger
from neuron_whisper.server.jobs.runner import DEVICE_FAILED, SERVER_STOPPED, AttemptResult, JobRunner, RunningJob
from neuron_whisper.server.jobs.store import JobStore
from neuron_whisper.server.models.registry import ModelRegistry
from neuron_whisper.transcript import SkippedRegion
from tests.support.decoders import run_decoders
from tests.support.fake_session import FakeSession
from tests.support.job_clients import NO_FALLBACK
from tests.support.servers import make_transcriber, tone

JOB = Job(
    id="job_1",
    created_at=0.0,
    task="transcribe",
    fields={name: [value] for name, value in NO_FALLBACK.items()},
    model="turbo",
    response_format="json",
    file_name="tone.wav",
)


@asynccontextmanager
async def start_runner(
    directory: Path, job: Job, max_bytes: int = 10**9, **program: Any
) -> AsyncIterator[tuple[JobRunner, JobStore, FakeSession]]:
    """A runner with one job in its store."""
    settings = ServerSettings(vad_filter=False, jobs_dir=directory / "jobs", jobs_max_attempts=2)
    transcriber, session = make_transcriber(**program)
    files = JobFiles(directory / "jobs")
    store = JobStore(files.database_path)
    client, idle = RestrictedHttpClient(), asyncio.Event()
    idle.set()
    stack = ExitStack()
    runner = JobRunner(
        store,
        files,
        ModelRegistry.from_transcriber(transcriber, settings),
        stack.enter_context(run_decoders()),
        client,
        settings,
        idle=idle,
        create_delivery=lambda _: None,
        on_end=lambda: None,
        uploads=UploadLedger(),
        get_limits=lambda: replace(StorageLimits.from_settings(settings, 0), max_bytes=max_bytes),
    )
    try:
        with files.write_atomically(files.upload_path(job.id)) as file:
            file.write(tone(seconds=0.2))
        store.add(job, StorageLimits(max_jobs=1, max_bytes=1, max_own_jobs=1, max_own_bytes=1))
        runner.start()
        yield runner, store, session
    finally:
        session.gate.set()
        await runner.stop()
        await client.close()
        runner.close()
        stack.close()
        store.close()
        files.close()
        transcriber.close()


def run_job(directory: Path, job: Job, until: Callable[[Job], bool], **program: Any) -> Job:
    """Run the job until `until` is true of it, stop the runner, and return the stored job."""

    async def run() -> Job:
        async with start_runner(directory, job, **program) as (runner, store, _), asyncio.timeout(20):
            while not until(store.get(job.id)):
                await asyncio.sleep(0.005)
            await runner.stop()
            return store.get(job.id)

    return asyncio.run(run())


def has_ended(job: Job) -> bool:
    return job.ended_at is not None


def test_a_job_succeeds_and_its_upload_is_deleted(tmp_path: Path) -> None:
    job = run_job(tmp_path, JOB, has_ended)
    assert (job.status, job.attempts, job.audio_s, job.upload_bytes) == ("succeeded", 1, 0.2, 0)
    assert [path.name for path in (tmp_path / "jobs" / "results").iterdir()] == ["job_1.json"]
    assert list((tmp_path / "jobs" / "uploads").iterdir()) == []


def test_the_waveform_of_a_job_is_kept_and_counted(tmp_path: Path) -> None:
    job = run_job(tmp_path, JOB, has_ended)
    peaks, result = (tmp_path / "jobs" / name for name in ("peaks/job_1", "results/job_1.json"))
    assert list(peaks.read_bytes()) == [76] * 4  # a tone of 0.3
    assert job.result_bytes == result.stat().st_size + 4


def test_a_job_without_room_for_its_waveform_succeeds(tmp_path: Path) -> None:
    async def run() -> Job:
        async with start_runner(tmp_path, JOB, max_bytes=3) as (_, store, _), asyncio.timeout(20):
            while not has_ended(store.get(JOB.id)):
                await asyncio.sleep(0.005)
            return store.get(JOB.id)

    job = asyncio.run(run())
    assert (job.status, job.result_bytes > 0) == ("succeeded", True)
    assert list((tmp_path / "jobs" / "peaks").iterdir()) == []


def test_a_job_whose_waveform_the_disk_refuses_succeeds(tmp_path: Path) -> None:
    async def run() -> Job:
        async with start_runner(tmp_path, JOB) as (_, store, _), asyncio.timeout(20):
            (tmp_path / "jobs" / "peaks" / JOB.id).mkdir()  # no file can take its place
            while not has_ended(store.get(JOB.id)):
                await asyncio.sleep(0.005)
            return store.get(JOB.id)

    assert asyncio.run(run()).status == "succeeded"


def test_the_waveform_of_a_job_that_is_interrupted_is_there_for_its_next_attempt(tmp_path: Path) -> None:
    async def run() -> Job:
        async with start_runner(tmp_path, JOB) as (runner, store, session), asyncio.timeout(20):
            session.gate.clear()
            while JOB.id not in runner.running or runner.running[JOB.id].stage != "transcribing":
                await asyncio.sleep(0.001)
            await runner.stop()
            return store.get(JOB.id)

    job = asyncio.run(run())
    assert (job.status, job.result_bytes) == ("queued", 4)
    assert (tmp_path / "jobs" / "peaks" / "job_1").stat().st_size == 4


def test_a_runner_that_stops_requeues_its_job(tmp_path: Path) -> None:
    async def run() -> Job:
        async with start_runner(tmp_path, JOB) as (runner, store, session), asyncio.timeout(20):
            session.gate.clear()
            while store.get(JOB.id).status != "running":
                await asyncio.sleep(0)
            await runner.stop()  # in the middle of a step, or when the job is claimed and has no task yet
            return store.get(JOB.id)

    job = asyncio.run(run())
    assert (job.status, job.attempts, job.restart_reason) == ("queued", 1, SERVER_STOPPED)


def test_a_job_can_be_cancelled_before_the_first_step_of_its_task(tmp_path: Path) -> None:
    async def run() -> Job:
        async with start_runner(tmp_path, JOB) as (runner, store, session), asyncio.timeout(20):
            session.gate.clear()
            while JOB.id not in runner.running:
                await asyncio.sleep(0)  # this task is resumed before the new one
            assert not runner.running[JOB.id].started.is_set()
            await runner.cancel(JOB.id)
            return store.get(JOB.id)

    assert asyncio.run(run()).status == "cancelled"


def test_a_device_failure_requeues_the_job(tmp_path: Path) -> None:
    job = run_job(tmp_path, JOB, lambda job: job.restart_reason is not None, fault_at=1)
    assert (job.status, job.restart_reason) == ("queued", DEVICE_FAILED)


def test_a_device_failure_in_the_last_attempt_fails_the_job(tmp_path: Path) -> None:
    job = run_job(tmp_path, replace(JOB, attempts=1), has_ended, fault_at=1)
    assert job.error is not None
    assert (job.status, job.error["code"]) == ("failed", "too_many_attempts")


def test_unsupported_fields_of_the_model_fail_the_job(tmp_path: Path) -> None:
    job = run_job(tmp_path, replace(JOB, fields={"language": ["tlh"]}), has_ended)
    assert job.error is not None
    assert (job.status, job.error["param"]) == ("failed", "language")


def test_progress_never_goes_back_nor_beyond_the_end() -> None:
    running = RunningJob(job=JOB, total_s=10.0)
    for end_s in (4.0, 2.0, 12.0):
        running.on_event(SkippedRegion(start_s=0.0, end_s=end_s, reason="vad"))
        assert running.done_s == {4.0: 4.0, 2.0: 4.0, 12.0: 10.0}[end_s]


def test_the_outcome_of_an_attempt_is_logged_with_its_reason() -> None:
    assert AttemptResult(status="succeeded").log_fields == "status=succeeded"
    assert AttemptResult(status="queued", waiting_reason="full").log_fields == "status=queued reason='full'"
