"""The jobs of a server: create, find, cancel, delete; and the tasks that run them and send their webhooks."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import SpooledTemporaryFile
from types import MappingProxyType
from typing import BinaryIO, cast

import msgspec

from neuron_whisper.errors import EngineDraining, InvalidJobState, MissingOption
from neuron_whisper.server.config.settings import ServerSettings
from neuron_whisper.server.decoding.pool import DecoderPool
from neuron_whisper.server.http.errors import PeaksUnavailable
from neuron_whisper.server.jobs.download import file_name_from_url
from neuron_whisper.server.jobs.entities import FINAL_STATUSES, Job, JobStatus, WebhookDelivery
from neuron_whisper.server.jobs.files import JobFiles
from neuron_whisper.server.jobs.outbound import AllowedOrigins, RestrictedHttpClient, parse_private_networks
from neuron_whisper.server.jobs.quota import IncomingUpload, StorageLimits, StorageUsage, UploadLedger
from neuron_whisper.server.jobs.request import JobRequest, to_audio_request
from neuron_whisper.server.jobs.runner import JobRunner, RunningJob
from neuron_whisper.server.jobs.schemas import encode_webhook_event
from neuron_whisper.server.jobs.store import JobStore, StoredCounts
from neuron_whisper.server.jobs.webhooks import WebhookSender, create_signer
from neuron_whisper.server.models.registry import ModelRegistry
from neuron_whisper.transcript import Transcript

log = logging.getLogger(__name__)

CLEANUP_INTERVAL_S = 60.0
CANCEL_POLL_S = 0.005
NO_PEAKS_STORED = "they were not stored: there was no room, or an earlier version ran it"
NO_PEAKS_REASONS: Mapping[JobStatus, str] = MappingProxyType(
    {
        "queued": "its audio is not decoded yet; ask again when it is running",
        "running": "its audio is not decoded yet; ask again when its progress has total_s",
        "failed": "it failed before its audio was decoded",
        "cancelled": "it was cancelled before its audio was decoded",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class JobView:
    """A job, its progress if it runs, and the delivery of its webhook."""

    job: Job
    running: RunningJob | None = None
    delivery: WebhookDelivery | None = None


class JobService:
    """Creates, runs and deletes jobs. Used by the event loop's thread. `idle` is set while no request is in flight.

    Raises InvalidOption for a directory, origin, network or secret that cannot be used.
    """

    def __init__(
        self,
        settings: ServerSettings,
        models: ModelRegistry,
        decoders: DecoderPool,
        idle: asyncio.Event,
        count_keys: Callable[[], int] = lambda: 0,
    ) -> None:
        assert settings.jobs_dir is not None
        self.settings = settings
        self.url_origins = AllowedOrigins("jobs_url_origins", settings.jobs_url_origins)
        self.webhook_origins = AllowedOrigins("webhook_origins", settings.webhook_origins)
        networks = parse_private_networks(settings.private_networks)
        if self.webhook_origins and settings.webhook_secret is None:
            raise MissingOption("webhook_secret", "webhook_origins need it: it signs the webhooks")
        signer = create_signer(settings.webhook_secret) if settings.webhook_secret is not None else None
        self._models, self._count_keys, self._uploads = models, count_keys, UploadLedger()
        self._files = JobFiles(settings.jobs_dir)
        try:
            self._store = JobStore(self._files.database_path)
        except BaseException:
            self._files.close()
            raise
        self._http_client = RestrictedHttpClient(networks)
        self._webhook_sender = WebhookSender(
            self._store, self._http_client, signer, first_retry_s=settings.webhook_retry_s
        )
        self._runner = JobRunner(
            self._store,
            self._files,
            models,
            decoders,
            self._http_client,
            settings,
            idle=idle,
            create_delivery=_create_delivery,
            on_end=self._webhook_sender.wake,
            uploads=self._uploads,
            get_limits=self._get_limits,
        )
        self._tasks: list[asyncio.Task[None]] = []
        self._is_stopped = False

    # --- life -------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Recover the jobs that an earlier process left, and start running."""
        requeued, failed = await asyncio.to_thread(self._recover)
        if requeued or failed:
            log.warning("recovered jobs requeued=%d failed=%d", len(requeued), len(failed))
        self._runner.start()
        self._tasks = [asyncio.ensure_future(self._webhook_sender.run()), asyncio.ensure_future(self._delete_expired())]

    def _recover(self) -> tuple[list[Job], list[Job]]:
        recovered = self._store.recover(
            time.time(), max_attempts=self.settings.jobs_max_attempts, create_delivery=_create_delivery
        )
        statuses = self._store.list_statuses()
        upload_ids = [job_id for job_id, status in statuses.items() if status not in FINAL_STATUSES]
        result_ids = [job_id for job_id, status in statuses.items() if status == "succeeded"]
        self._files.delete_orphans(upload_ids=upload_ids, peaks_ids=statuses.keys(), result_ids=result_ids)
        return recovered

    async def stop(self) -> None:
        """Requeue running jobs for the next process; stored jobs can still be read. Idempotent."""
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
                    log.info("job deleted id=%s reason=expired", job_id)
            except Exception:  # a full disk, for example
                log.exception("expired jobs not deleted")
            await asyncio.sleep(min(CLEANUP_INTERVAL_S, self.settings.jobs_retention_s))

    def _delete(self, job_id: str) -> None:
        # the row first: files without a row are deleted at the next start, a row without files would be wrong
        self._store.delete(job_id)
        self._files.delete(job_id)

    # --- jobs -------------------------------------------------------------------------------------

    @property
    def uploads_directory(self) -> Path:
        """Where incoming uploads are spooled: on the disk where they will be stored."""
        return self._files.uploads_directory

    def _get_limits(self) -> StorageLimits:
        return StorageLimits.from_settings(self.settings, self._count_keys())

    async def measure_usage(self, owner: str) -> StorageUsage:
        """What is stored, and what of it is this owner's."""
        return await asyncio.to_thread(self._store.measure_usage, owner)

    @contextmanager
    def reserve_upload(self, owner: str, usage: StorageUsage, content_length: int) -> Iterator[IncomingUpload]:
        """An incoming upload, which takes room as its bytes arrive; `content_length` 0: not known.

        Raises JobsFull where it does not fit beside what is stored and what has arrived, and EngineDraining.
        """
        if self._is_stopped:
            raise EngineDraining
        with self._uploads.open(owner, usage, self._get_limits()) as incoming:
            incoming.check(min(self.settings.jobs_max_upload_bytes, content_length))
            yield incoming

    def count_stored(self) -> StoredCounts:
        """Jobs and bytes in the store now."""
        return self._store.count_stored()

    async def find_by_idempotency_key(self, owner: str, idempotency_key: str | None) -> Job | None:
        """The job that this owner created with this key, if there is one."""
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
        """Store a job and queue it. Takes ownership of the upload and closes it.

        Raises InvalidOption, UnknownModel, JobsFull, StorageFull.
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
            stored = await asyncio.shield(asyncio.to_thread(self._persist, job, cast("BinaryIO | None", upload)))
        finally:
            if upload is not None:
                upload.close()
        self._runner.wake()
        return stored

    def _persist(self, job: Job, upload: BinaryIO | None) -> Job:
        """Store the upload and then the job's row, in a thread, so that a stored job has its upload."""
        size_bytes = 0 if upload is None else self._files.store_upload(job.id, upload)
        try:
            stored = self._store.add(replace(job, upload_bytes=size_bytes), self._get_limits())
        except BaseException:
            self._files.delete_upload(job.id)
            raise
        if stored.id != job.id:  # another request with this idempotency key came first
            self._files.delete_upload(job.id)
        return stored

    async def get(self, job_id: str, owner: str) -> JobView:
        """The job with its progress and webhook. Raises UnknownJob."""
        job = await asyncio.to_thread(self._store.get, job_id, owner)
        (view,) = await self._to_views([job])
        return view

    async def list_page(self, owner: str, *, limit: int, after: str | None, status: JobStatus | None) -> list[JobView]:
        """An owner's jobs, the newest first, those after `after`. Raises UnknownJob for `after`."""
        jobs = await asyncio.to_thread(self._store.list_page, owner, limit=limit, after=after, status=status)
        return await self._to_views(jobs)

    async def _to_views(self, jobs: list[Job]) -> list[JobView]:
        ids = [job.id for job in jobs if job.webhook_url is not None]
        deliveries = await asyncio.to_thread(self._store.find_deliveries, ids) if ids else {}
        return [
            JobView(job=job, running=self._runner.running.get(job.id), delivery=deliveries.get(job.id)) for job in jobs
        ]

    async def get_transcript(self, job_id: str, owner: str) -> tuple[Job, Transcript]:
        """The transcript of a succeeded job. Raises UnknownJob, InvalidJobState."""
        job = await asyncio.to_thread(self._store.get, job_id, owner)
        if job.status != "succeeded":
            raise InvalidJobState(job.id, job.status, "only a succeeded job has a result")
        return job, await asyncio.to_thread(self._read_result, job_id)

    def _read_result(self, job_id: str) -> Transcript:
        return msgspec.json.decode(self._files.result_path(job_id).read_bytes(), type=Transcript)

    async def get_peaks(self, job_id: str, owner: str) -> bytes:
        """The waveform of a job, a byte for each peak. Raises UnknownJob, PeaksUnavailable."""
        job = await asyncio.to_thread(self._store.get, job_id, owner)
        peaks = await asyncio.to_thread(self._files.read_peaks, job_id)
        if peaks is None:
            raise PeaksUnavailable(job_id, NO_PEAKS_REASONS.get(job.status, NO_PEAKS_STORED))
        return peaks

    async def cancel(self, job_id: str, owner: str) -> JobView:
        """Cancel a job. Raises UnknownJob, InvalidJobState for a job that succeeded or failed."""
        job = await self._ensure_ended(job_id, owner)
        if job.status != "cancelled":
            raise InvalidJobState(job.id, job.status, "it has ended and cannot be cancelled")
        return await self.get(job_id, owner)

    async def _ensure_ended(self, job_id: str, owner: str) -> Job:
        """Return the job once it has ended, and cancel it if it has not."""
        while True:
            job = await asyncio.to_thread(self._store.get, job_id, owner)
            if job.status in FINAL_STATUSES:
                return job
            await asyncio.to_thread(self._cancel_queued, job_id)
            await self._runner.cancel(job_id)
            await asyncio.sleep(CANCEL_POLL_S)  # it may be claimed and have no task yet
            self._webhook_sender.wake()

    def _cancel_queued(self, job_id: str) -> None:
        if self._store.cancel_queued(job_id, time.time(), create_delivery=_create_delivery):
            self._files.delete_upload(job_id)
            self._files.delete_peaks(job_id)

    async def delete(self, job_id: str, owner: str) -> None:
        """Delete a job; one that has not ended is cancelled first. Raises UnknownJob."""
        await self._ensure_ended(job_id, owner)
        await asyncio.to_thread(self._delete, job_id)


def _create_delivery(job: Job) -> WebhookDelivery | None:
    """The webhook message for an ended job; None where the job has no webhook URL."""
    if job.webhook_url is None:
        return None
    return WebhookDelivery(
        id=f"msg_{secrets.token_hex(12)}",
        job_id=job.id,
        url=job.webhook_url,
        payload=encode_webhook_event(job),
        next_at=0.0,
    )
