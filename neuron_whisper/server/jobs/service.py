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

from neuron_whisper.errors import Draining, InvalidOption, JobsFull, WrongJobState
from neuron_whisper.server.config.settings import ServerSettings
from neuron_whisper.server.jobs.download import name_in
from neuron_whisper.server.jobs.entities import ENDED, Delivery, Job, JobStatus
from neuron_whisper.server.jobs.files import JobFiles
from neuron_whisper.server.jobs.outbound import AllowedOrigins, Outbound, private_networks
from neuron_whisper.server.jobs.request import JobAsked, asked_by
from neuron_whisper.server.jobs.runner import JobRunner, Running
from neuron_whisper.server.jobs.schemas import event_of
from neuron_whisper.server.jobs.store import JobStore, StoredCounts
from neuron_whisper.server.jobs.webhooks import WebhookSender, secret_of
from neuron_whisper.server.models.registry import Models
from neuron_whisper.transcript import Transcript

log = logging.getLogger(__name__)

SWEEP_S = 60.0
LOOK_AGAIN_S = 0.005


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A job, how far it is if it runs, and what became of its webhook."""

    job: Job
    running: Running | None = None
    delivery: Delivery | None = None


class Jobs:
    """Used by the event loop's thread. `idle` is set while no request is in flight.

    Opening it raises InvalidOption: a directory, an origin, a network or a secret that cannot be used.
    """

    def __init__(self, settings: ServerSettings, models: Models, idle: asyncio.Event) -> None:
        assert settings.jobs_dir is not None
        self.settings = settings
        self.url_origins = AllowedOrigins("jobs_url_origins", settings.jobs_url_origins)
        self.webhook_origins = AllowedOrigins("webhook_origins", settings.webhook_origins)
        networks = private_networks(settings.private_networks)
        if self.webhook_origins and settings.webhook_secret is None:
            raise InvalidOption("webhook_secret", None, "webhook_origins need it, to sign what is sent to them")
        secret = secret_of(settings.webhook_secret) if settings.webhook_secret is not None else b""
        self._models = models
        self._files = JobFiles(settings.jobs_dir)
        try:
            self._store = JobStore(self._files.database)
        except BaseException:
            self._files.close()
            raise
        outbound = Outbound(networks)
        self._outbound = outbound
        self._sender = WebhookSender(self._store, outbound, secret, first_wait_s=settings.webhook_retry_s)
        self._runner = JobRunner(
            self._store,
            self._files,
            models,
            outbound,
            settings,
            idle=idle,
            announced=_announced,
            on_end=self._sender.look,
        )
        self._tasks: list[asyncio.Task[None]] = []
        self._arriving: dict[object, int] = {}  # bytes that uploads on their way may take
        self._is_stopped = False

    # --- life -------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Take up what an earlier process left, and begin."""
        again, failed = await asyncio.to_thread(self._take_up)
        if again or failed:
            log.warning("jobs taken up again=%d failed=%d", len(again), len(failed))
        self._runner.start()
        self._tasks = [asyncio.ensure_future(self._sender.run()), asyncio.ensure_future(self._forget_old())]

    def _take_up(self) -> tuple[list[Job], list[Job]]:
        taken_up = self._store.recover(time.time(), most_attempts=self.settings.jobs_max_attempts, announced=_announced)
        statuses = self._store.ids()
        waiting = [job_id for job_id, status in statuses.items() if status not in ENDED]
        done = [job_id for job_id, status in statuses.items() if status == "succeeded"]
        self._files.sweep(waiting=waiting, done=done)
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
        await self._outbound.close()

    def close(self) -> None:
        self._runner.close()
        self._store.close()
        self._files.close()

    async def _forget_old(self) -> None:
        while True:
            try:
                for job_id in await asyncio.to_thread(
                    self._store.ended_before, time.time() - self.settings.jobs_retention_s
                ):
                    await asyncio.to_thread(self._forget, job_id)
                    log.info("job forgotten id=%s", job_id)
            except Exception:  # a full disk, say
                log.exception("old jobs stay")
            await asyncio.sleep(min(SWEEP_S, self.settings.jobs_retention_s))

    def _forget(self, job_id: str) -> None:
        # the row first: files without one are swept, a row without its files would be a lie
        self._store.remove(job_id)
        self._files.drop(job_id)

    # --- jobs -------------------------------------------------------------------------------------

    @property
    def uploads(self) -> Path:
        """Where uploads on their way belong: on the disk where they are kept."""
        return self._files.uploads

    @contextmanager
    def arriving(self, announced_bytes: int | None) -> Iterator[None]:
        """Room for an upload on its way. Raises JobsFull where uploads on their way have taken it, and Draining."""
        if self._is_stopped:
            raise Draining
        most = self.settings.jobs_max_upload_bytes
        wanted = min(most, announced_bytes or most)
        if sum(self._arriving.values()) + wanted > self.settings.jobs_max_bytes:
            raise JobsFull(f"{self.settings.jobs_max_bytes:,} bytes of jobs may be stored")
        ticket = object()
        self._arriving[ticket] = wanted
        try:
            yield
        finally:
            del self._arriving[ticket]

    def counts(self) -> StoredCounts:
        """What is stored now."""
        return self._store.counts()

    async def keyed(self, owner: str, idempotency_key: str | None) -> Job | None:
        """The job that this owner made with this key before."""
        if idempotency_key is None:
            return None
        return await asyncio.to_thread(self._store.keyed, owner, idempotency_key)

    async def add(
        self,
        asked: JobAsked,
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
            request = asked_by(asked.fields, asked.task, vad_filter=self.settings.vad_filter)
            model = self._models.named(request.model)
            if asked.url is not None:
                self.url_origins.check("url", asked.url)
                upload_name = name_in(asked.url)
            if asked.webhook_url is not None:
                self.webhook_origins.check("webhook_url", asked.webhook_url)
            job = Job(
                id=f"job_{secrets.token_hex(12)}",
                owner=owner,
                idempotency_key=idempotency_key,
                created_at=time.time(),
                task=asked.task,
                fields=asked.fields,
                model=model.id,
                response_format=request.response_format,
                file_name=upload_name,
                url=asked.url,
                webhook_url=asked.webhook_url,
            )
            kept = await asyncio.shield(asyncio.to_thread(self._keep, job, cast("BinaryIO | None", upload)))
        finally:
            if upload is not None:
                upload.close()
        self._runner.look()
        return kept

    def _keep(self, job: Job, upload: BinaryIO | None) -> Job:
        """In a thread. The upload is there before the store knows of the job."""
        size_bytes = 0 if upload is None else self._files.keep_upload(job.id, upload)
        try:
            kept = self._store.add(
                replace(job, upload_bytes=size_bytes),
                most_jobs=self.settings.jobs_max,
                most_bytes=self.settings.jobs_max_bytes,
            )
        except BaseException:
            self._files.drop_upload(job.id)
            raise
        if kept.id != job.id:
            self._files.drop_upload(job.id)
        return kept

    async def see(self, job_id: str, owner: str) -> Seen:
        """Raises UnknownJob."""
        job = await asyncio.to_thread(self._store.get, job_id, owner)
        (seen,) = await self._seen([job])
        return seen

    async def page(self, owner: str, *, limit: int, after: str | None, status: JobStatus | None) -> list[Seen]:
        """The newest first. Raises UnknownJob for `after`."""
        jobs = await asyncio.to_thread(self._store.page, owner, limit=limit, after=after, status=status)
        return await self._seen(jobs)

    async def _seen(self, jobs: list[Job]) -> list[Seen]:
        told = [job.id for job in jobs if job.webhook_url is not None]
        deliveries = await asyncio.to_thread(self._store.deliveries, told) if told else {}
        return [
            Seen(job=job, running=self._runner.running.get(job.id), delivery=deliveries.get(job.id)) for job in jobs
        ]

    async def transcript(self, job_id: str, owner: str) -> tuple[Job, Transcript]:
        """Raises UnknownJob, WrongJobState."""
        job = await asyncio.to_thread(self._store.get, job_id, owner)
        if job.status != "succeeded":
            raise WrongJobState(job.id, job.status, "it has a result when it has succeeded")
        return job, await asyncio.to_thread(self._read, job_id)

    def _read(self, job_id: str) -> Transcript:
        return msgspec.json.decode(self._files.result(job_id).read_bytes(), type=Transcript)

    async def cancel(self, job_id: str, owner: str) -> Seen:
        """Raises UnknownJob, WrongJobState for a job that succeeded or failed."""
        job = await self._ended(job_id, owner)
        if job.status != "cancelled":
            raise WrongJobState(job.id, job.status, "it has ended")
        return await self.see(job_id, owner)

    async def _ended(self, job_id: str, owner: str) -> Job:
        """The job, ended now if it had not."""
        while True:
            job = await asyncio.to_thread(self._store.get, job_id, owner)
            if job.status in ENDED:
                return job
            await asyncio.to_thread(self._cancel_waiting, job_id)
            await self._runner.cancel(job_id)
            await asyncio.sleep(LOOK_AGAIN_S)  # it may be between the queue and its task
            self._sender.look()

    def _cancel_waiting(self, job_id: str) -> None:
        if self._store.end_waiting(job_id, time.time(), announced=_announced):
            self._files.drop_upload(job_id)

    async def remove(self, job_id: str, owner: str) -> None:
        """Cancel it if it has not ended, and forget it. Raises UnknownJob."""
        await self._ended(job_id, owner)
        await asyncio.to_thread(self._forget, job_id)


def _announced(job: Job) -> Delivery | None:
    """The webhook of a job that ended."""
    if job.webhook_url is None:
        return None
    return Delivery(
        id=f"msg_{secrets.token_hex(12)}", job_id=job.id, url=job.webhook_url, payload=event_of(job), next_at=0.0
    )
