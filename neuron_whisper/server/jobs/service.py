"""The jobs of a server: made, found, cancelled, forgotten; and the tasks that run them and tell of them."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import BinaryIO, cast

import msgspec

from neuron_whisper.errors import EngineDraining, InvalidJobState, JobsFull, MissingOption
from neuron_whisper.server.config.settings import ServerSettings
from neuron_whisper.server.jobs.download import file_name_from_url
from neuron_whisper.server.jobs.entities import FINAL_STATUSES, Job, JobStatus, WebhookDelivery
from neuron_whisper.server.jobs.files import JobFiles
from neuron_whisper.server.jobs.outbound import AllowedOrigins, RestrictedHttpClient, parse_private_networks
from neuron_whisper.server.jobs.request import JobRequest, to_audio_request
from neuron_whisper.server.jobs.runner import JobRunner, RunningJob
from neuron_whisper.server.jobs.schemas import encode_webhook_event
from neuron_whisper.server.jobs.store import JobStore, StoredCounts
from neuron_whisper.server.jobs.webhooks import WebhookSender, decode_secret
from neuron_whisper.server.models.registry import ModelRegistry
from neuron_whisper.transcript import Transcript

log = logging.getLogger(__name__)

CLEANUP_INTERVAL_S = 60.0
CANCEL_POLL_S = 0.005


@dataclass(frozen=True, slots=True, kw_only=True)
class JobView:
    """A job, how far it is if it runs, and what became of its webhook."""

    job: Job
    running: RunningJob | None = None
    delivery: WebhookDelivery | None = None


class JobService:
    """Used by the event loop's thread. `idle` is set while no request is in flight.

    Opening it raises InvalidOption: a directory, an origin, a network or a secret that cannot be used.
    """

    def __init__(self, settings: ServerSettings, models: ModelRegistry, idle: asyncio.Event) -> None:
        assert settings.jobs_dir is not None
        self.settings = settings
        self.url_origins = AllowedOrigins("jobs_url_origins", settings.jobs_url_origins)
        self.webhook_origins = AllowedOrigins("webhook_origins", settings.webhook_origins)
        networks = parse_private_networks(settings.private_networks)
        if self.webhook_origins and settings.webhook_secret is None:
            raise MissingOption("webhook_secret", "webhook_origins need it: webhooks are signed with it")
        secret = decode_secret(settings.webhook_secret) if settings.webhook_secret is not None else b""
        self._models = models
        self._files = JobFiles(settings.jobs_dir)
        try:
            self._store = JobStore(self._files.database_path)
        except BaseException:
            self._files.close()
            raise
        outbound = RestrictedHttpClient(networks)
        self._http_client = outbound
        self._webhook_sender = WebhookSender(self._store, outbound, secret, first_retry_s=settings.webhook_retry_s)
        self._runner = JobRunner(
            self._store,
            self._files,
            models,
            outbound,
            settings,
            idle=idle,
            create_delivery=_create_delivery,
            on_end=self._webhook_sender.wake,
        )
        self._tasks: list[asyncio.Task[None]] = []
        self._reserved_bytes: dict[object, int] = {}  # bytes that uploads on their way may take
        self._is_stopped = False

    # --- life -------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Take up what an earlier process left, and begin."""
        again, failed = await asyncio.to_thread(self._recover)
        if again or failed:
            log.warning("jobs taken up again=%d failed=%d", len(again), len(failed))
        self._runner.start()
        self._tasks = [asyncio.ensure_future(self._webhook_sender.run()), asyncio.ensure_future(self._delete_expired())]

    def _recover(self) -> tuple[list[Job], list[Job]]:
        taken_up = self._store.recover(
            time.time(), max_attempts=self.settings.jobs_max_attempts, create_delivery=_create_delivery
        )
        statuses = self._store.list_statuses()
        waiting = [job_id for job_id, status in statuses.items() if status not in FINAL_STATUSES]
        done = [job_id for job_id, status in statuses.items() if status == "succeeded"]
        self._files.delete_orphans(upload_ids=waiting, result_ids=done)
        return taken_up

    async def stop(self) -> None:
        """Jobs that run are queued for the next process; those that are there can still be looked at. Idempotent."""
        if self._is_stopped:
            return
        self._is_stopped = True
        await self._runner.stop()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._http_client.close()

    def close(self) -> None:
        self._runner.close()
        self._store.close()
        self._files.close()

    async def _delete_expired(self) -> None:
        while True:
            try:
                for job_id in await asyncio.to_thread(
                    self._store.find_ended_before, time.time() - self.settings.jobs_retention_s
                ):
                    await asyncio.to_thread(self._delete, job_id)
                    log.info("job forgotten id=%s", job_id)
            except Exception:  # a full disk, say
                log.exception("old jobs stay")
            await asyncio.sleep(min(CLEANUP_INTERVAL_S, self.settings.jobs_retention_s))

    def _delete(self, job_id: str) -> None:
        # the row first: files without one are swept, a row without its files would be a lie
        self._store.delete(job_id)
        self._files.delete(job_id)

    # --- jobs -------------------------------------------------------------------------------------

    @property
    def uploads_directory(self) -> Path:
        """Where uploads on their way belong: on the disk where they are kept."""
        return self._files.uploads_directory

    @contextmanager
    def reserve_upload(self, content_length: int | None) -> Iterator[None]:
        """Room for an upload on its way. Raises JobsFull where uploads on their way have taken it, and Draining."""
        if self._is_stopped:
            raise EngineDraining
        most = self.settings.jobs_max_upload_bytes
        wanted = min(most, content_length or most)
        if sum(self._reserved_bytes.values()) + wanted > self.settings.jobs_max_bytes:
            raise JobsFull(f"{self.settings.jobs_max_bytes:,} bytes of jobs may be stored")
        ticket = object()
        self._reserved_bytes[ticket] = wanted
        try:
            yield
        finally:
            del self._reserved_bytes[ticket]

    def count_stored(self) -> StoredCounts:
        """What is stored now."""
        return self._store.count_stored()

    async def find_by_idempotency_key(self, owner: str, idempotency_key: str | None) -> Job | None:
        """The job that this owner made with this key before."""
        if idempotency_key is None:
            return None
        return await asyncio.to_thread(self._store.find_by_idempotency_key, owner, idempotency_key)

    async def add(
        self,
        job_request: JobRequest,
        *,
        owner: str,
        idempotency_key: str | None,
        upload: SpooledTemporaryFile[bytes] | None,
        upload_name: str,
    ) -> Job:
        """Keep a job, and run it when its turn comes. Takes the upload over and closes it.

        Raises InvalidOption, UnknownModel, JobsFull, StorageFull, Draining.
        """
        try:
            request = to_audio_request(job_request.fields, job_request.task, vad_filter=self.settings.vad_filter)
            model = self._models.find(request.model)
            if job_request.url is not None:
                self.url_origins.check("url", job_request.url)
                upload_name = file_name_from_url(job_request.url)
            if job_request.webhook_url is not None:
                self.webhook_origins.check("webhook_url", job_request.webhook_url)
            job = Job(
                id=f"job_{secrets.token_hex(12)}",
                owner=owner,
                idempotency_key=idempotency_key,
                created_at=time.time(),
                task=job_request.task,
                fields=job_request.fields,
                model=model.id,
                response_format=request.response_format,
                file_name=upload_name,
                url=job_request.url,
                webhook_url=job_request.webhook_url,
            )
            kept = await asyncio.shield(asyncio.to_thread(self._persist, job, cast("BinaryIO | None", upload)))
        finally:
            if upload is not None:
                upload.close()
        self._runner.wake()
        return kept

    def _persist(self, job: Job, upload: BinaryIO | None) -> Job:
        """In a thread. The upload is there before the store knows of the job."""
        size_bytes = 0 if upload is None else self._files.store_upload(job.id, upload)
        try:
            kept = self._store.add(
                replace(job, upload_bytes=size_bytes),
                max_jobs=self.settings.jobs_max,
                max_bytes=self.settings.jobs_max_bytes,
            )
        except BaseException:
            self._files.delete_upload(job.id)
            raise
        if kept.id != job.id:
            self._files.delete_upload(job.id)
        return kept

    async def get(self, job_id: str, owner: str) -> JobView:
        """Raises UnknownJob."""
        job = await asyncio.to_thread(self._store.get, job_id, owner)
        (seen,) = await self._to_views([job])
        return seen

    async def list_page(self, owner: str, *, limit: int, after: str | None, status: JobStatus | None) -> list[JobView]:
        """The newest first. Raises UnknownJob for `after`."""
        jobs = await asyncio.to_thread(self._store.list_page, owner, limit=limit, after=after, status=status)
        return await self._to_views(jobs)

    async def _to_views(self, jobs: list[Job]) -> list[JobView]:
        told = [job.id for job in jobs if job.webhook_url is not None]
        deliveries = await asyncio.to_thread(self._store.find_deliveries, told) if told else {}
        return [
            JobView(job=job, running=self._runner.running.get(job.id), delivery=deliveries.get(job.id)) for job in jobs
        ]

    async def get_transcript(self, job_id: str, owner: str) -> tuple[Job, Transcript]:
        """Raises UnknownJob, InvalidJobState."""
        job = await asyncio.to_thread(self._store.get, job_id, owner)
        if job.status != "succeeded":
            raise InvalidJobState(job.id, job.status, "it has a result when it has succeeded")
        return job, await asyncio.to_thread(self._read_result, job_id)

    def _read_result(self, job_id: str) -> Transcript:
        return msgspec.json.decode(self._files.result_path(job_id).read_bytes(), type=Transcript)

    async def cancel(self, job_id: str, owner: str) -> JobView:
        """Raises UnknownJob, InvalidJobState for a job that succeeded or failed."""
        job = await self._ensure_ended(job_id, owner)
        if job.status != "cancelled":
            raise InvalidJobState(job.id, job.status, "it has ended")
        return await self.get(job_id, owner)

    async def _ensure_ended(self, job_id: str, owner: str) -> Job:
        """The job, ended now if it had not."""
        while True:
            job = await asyncio.to_thread(self._store.get, job_id, owner)
            if job.status in FINAL_STATUSES:
                return job
            await asyncio.to_thread(self._cancel_queued, job_id)
            await self._runner.cancel(job_id)
            await asyncio.sleep(CANCEL_POLL_S)  # it may be between the queue and its task
            self._webhook_sender.wake()

    def _cancel_queued(self, job_id: str) -> None:
        if self._store.cancel_queued(job_id, time.time(), create_delivery=_create_delivery):
            self._files.delete_upload(job_id)

    async def delete(self, job_id: str, owner: str) -> None:
        """Cancel it if it has not ended, and forget it. Raises UnknownJob."""
        await self._ensure_ended(job_id, owner)
        await asyncio.to_thread(self._delete, job_id)


def _create_delivery(job: Job) -> WebhookDelivery | None:
    """The webhook of a job that ended."""
    if job.webhook_url is None:
        return None
    return WebhookDelivery(
        id=f"msg_{secrets.token_hex(12)}",
        job_id=job.id,
        url=job.webhook_url,
        payload=encode_webhook_event(job),
        next_at=0.0,
    )
