"""Jobs from creation to deletion, without HTTP, on a small program."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import Any, TypeVar

import pytest

from neuron_whisper.errors import EngineDraining, InvalidJobState, InvalidOption, JobsFull, UnknownJob, UnknownModel
from neuron_whisper.server import ServerSettings
from neuron_whisper.server.jobs.entities import Job
from neuron_whisper.server.jobs.request import JobRequest
from neuron_whisper.server.jobs.service import JobService
from neuron_whisper.server.models.registry import ModelRegistry
from tests.support.decoders import run_decoders
from tests.support.job_clients import NO_FALLBACK
from tests.support.servers import make_transcriber, tone

T = TypeVar("T")


def run_service(
    directory: Path, work: Callable[[JobService], Awaitable[T]], *, is_blocked: bool = False, **settings: Any
) -> T:
    """Run `work` with a started service; blocked, no job gets beyond its first step until `work` is done."""
    chosen = ServerSettings(vad_filter=False, jobs_dir=directory / "jobs", **settings)

    async def run() -> T:
        transcriber, session = make_transcriber()
        if is_blocked:
            session.gate.clear()
        idle = asyncio.Event()
        idle.set()
        with run_decoders() as decoders:
            service = JobService(chosen, ModelRegistry.from_transcriber(transcriber, chosen), decoders, idle)
            try:
                await service.start()
                return await work(service)
            finally:
                session.gate.set()
                await service.stop()
                service.close()
                transcriber.close()

    return asyncio.run(run())


async def add(service: JobService, *, owner: str = "", key: str | None = None, **changes: Any) -> Job:
    upload = SpooledTemporaryFile()  # noqa: SIM115  # the service closes it
    upload.write(tone(seconds=0.2))
    upload.seek(0)
    fields = {name: [value] for name, value in NO_FALLBACK.items()}
    request = JobRequest(**{"task": "transcribe", "url": None, "webhook_url": None, "fields": fields, **changes})
    return await service.add(request, owner=owner, idempotency_key=key, upload=upload, upload_name="tone.wav")


async def wait_until_ended(service: JobService, job: Job) -> Job:
    async with asyncio.timeout(20):
        while (current := (await service.get(job.id, job.owner)).job).ended_at is None:
            await asyncio.sleep(0.005)
    return current


def test_a_job_succeeds_and_has_a_transcript(tmp_path: Path) -> None:
    async def work(service: JobService) -> None:
        job = await wait_until_ended(service, await add(service))
        assert (job.status, job.attempts, job.file_name) == ("succeeded", 1, "tone.wav")
        _, transcript = await service.get_transcript(job.id, "")
        assert transcript.duration_s == 0.2

    run_service(tmp_path, work)


def test_one_idempotency_key_of_an_owner_is_one_job(tmp_path: Path) -> None:
    async def work(service: JobService) -> None:
        first, second = await add(service, owner="ann", key="k"), await add(service, owner="ann", key="k")
        other = await add(service, owner="bob", key="k")
        assert first.id == second.id != other.id
        found = await service.find_by_idempotency_key("ann", "k")
        assert found is not None
        assert found.id == first.id
        assert await service.find_by_idempotency_key("ann", None) is None

    run_service(tmp_path, work)


def test_a_transcript_of_a_cancelled_job_is_refused(tmp_path: Path) -> None:
    async def work(service: JobService) -> None:
        job = await add(service)
        view = await service.cancel(job.id, "")
        assert view.job.status == "cancelled"
        with pytest.raises(InvalidJobState):
            await service.get_transcript(job.id, "")

    run_service(tmp_path, work, is_blocked=True)


def test_a_deleted_job_is_unknown_and_leaves_no_bytes(tmp_path: Path) -> None:
    async def work(service: JobService) -> None:
        job = await wait_until_ended(service, await add(service))
        assert service.count_stored().stored_bytes > 0
        await service.delete(job.id, "")
        with pytest.raises(UnknownJob):
            await service.get(job.id, "")
        assert service.count_stored().stored_bytes == 0

    run_service(tmp_path, work)


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"url": "https://files.example.org/a.mp3"}, InvalidOption),
        ({"webhook_url": "https://app.example.org/hook"}, InvalidOption),
        ({"fields": {"beam_size": ["0"]}}, InvalidOption),
        ({"fields": {"model": ["gpt-9"]}}, UnknownModel),
    ],
)
def test_an_invalid_request_stores_nothing(tmp_path: Path, changes: dict[str, Any], error: type[Exception]) -> None:
    async def work(service: JobService) -> None:
        with pytest.raises(error):
            await add(service, **changes)
        assert service.count_stored().jobs == {}

    run_service(tmp_path, work)


def test_uploads_take_room_as_their_bytes_arrive(tmp_path: Path) -> None:
    async def work(service: JobService) -> None:
        usage = await service.measure_usage("")
        with service.reserve_upload("", usage, 0) as first, service.reserve_upload("", usage, 600) as second:
            first.count(600)
            second.count(400)  # what it announced takes no room before it arrives
            with pytest.raises(JobsFull):
                first.count(1)
            with pytest.raises(JobsFull), service.reserve_upload("", usage, 1):
                pass
        with service.reserve_upload("", usage, 1000):
            pass
        await service.stop()
        with pytest.raises(EngineDraining), service.reserve_upload("", usage, 1):
            pass

    run_service(tmp_path, work, jobs_max_bytes=1000, jobs_max_upload_bytes=1000)


def test_stored_jobs_take_room_from_uploads(tmp_path: Path) -> None:
    async def work(service: JobService) -> None:
        await add(service)
        usage = await service.measure_usage("")
        assert (usage.jobs, usage.size_bytes) == (1, len(tone(seconds=0.2)))
        with pytest.raises(JobsFull), service.reserve_upload("", usage, 5_000):
            pass
        with service.reserve_upload("", usage, 0) as incoming, pytest.raises(JobsFull):
            incoming.count(5_000)

    run_service(tmp_path, work, is_blocked=True, jobs_max_bytes=10_000)


def test_webhook_origins_need_a_secret(tmp_path: Path) -> None:
    async def work(service: JobService) -> None:
        raise AssertionError("the service was created")

    with pytest.raises(InvalidOption) as error:
        run_service(tmp_path, work, webhook_origins=("app.example.org",))
    assert error.value.field == "webhook_secret"
