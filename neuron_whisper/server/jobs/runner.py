"""Runs jobs: takes the oldest from the store, transcribes it behind the requests that wait, and keeps what comes of it.

Whatever happens to the process, a job is in the store as queued, running or ended, and its result is there when it
says so.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from typing import Literal

import msgspec

from neuron_whisper.audio.clip import AudioClip
from neuron_whisper.audio.load import load_audio
from neuron_whisper.errors import CapacityError, DeviceFault, InputError, UrlFailed
from neuron_whisper.longform.drivers import Told
from neuron_whisper.server.audio.request import named_as_sent
from neuron_whisper.server.config.settings import ServerSettings
from neuron_whisper.server.http.errors import told_of
from neuron_whisper.server.jobs.download import download
from neuron_whisper.server.jobs.entities import Job, JobError, JobStatus
from neuron_whisper.server.jobs.files import JobFiles
from neuron_whisper.server.jobs.outbound import Outbound
from neuron_whisper.server.jobs.request import JOB_FORM, asked_by
from neuron_whisper.server.jobs.store import WORN_OUT, Announcing, JobStore
from neuron_whisper.server.models.registry import Models
from neuron_whisper.transcriber import transcript_of
from neuron_whisper.transcript import Dropped, Segment, Transcript

log = logging.getLogger(__name__)

LONGEST_LOOK_S = 60.0
RETRY_S = 5.0  # for room on the disk
LAST_WRITES_S = 5.0
STOPPED = "the server was stopped while it ran"
FAULTED = "the device failed while it ran"

Stage = Literal["starting", "downloading", "decoding", "transcribing", "storing"]


@dataclass(slots=True, kw_only=True)
class Running:
    """A job that runs, and how far it is. Used by the event loop's thread only."""

    job: Job
    stage: Stage = "starting"
    done_s: float = 0.0
    total_s: float | None = None
    segments: list[Segment] = field(default_factory=list)
    task: asyncio.Task[None] = field(init=False)
    is_cancelled: bool = False  # by its owner

    def heard(self, item: Told) -> None:
        if isinstance(item, Segment):
            self.segments.append(item)
        if isinstance(item, Segment | Dropped):
            self.done_s = min(max(self.done_s, item.end_s), self.total_s or item.end_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What an attempt came to. queued: again, for a `reason` that is told, or when what it `waits_for` may be there."""

    status: JobStatus
    transcript: Transcript | None = None
    error: JobError | None = None
    reason: str | None = None
    waits_for: str = ""
    wait_s: float = 0.0

    @property
    def told(self) -> str:
        why = self.reason or self.waits_for or (self.error.code if self.error else "")
        return f"status={self.status}" + (f" reason={why!r}" if why else "")


class JobRunner:
    """`settings.jobs_at_once` tasks of the event loop that run jobs until `stop`.

    A job gives way to requests in flight, which `idle` is not set during: before it goes on it waits for them, as long
    as it worked since it waited last. So it takes at most twice its time, and never the last slots.
    """

    def __init__(
        self,
        store: JobStore,
        files: JobFiles,
        models: Models,
        outbound: Outbound,
        settings: ServerSettings,
        *,
        idle: asyncio.Event,
        announced: Announcing,
        on_end: Callable[[], None],
    ) -> None:
        self._store, self._files, self._models, self._outbound = store, files, models, outbound
        self._settings, self._idle, self._announced, self._on_end = settings, idle, announced, on_end
        self.running: dict[str, Running] = {}
        self._wanted = asyncio.Event()
        self._workers: list[asyncio.Task[None]] = []
        self._is_stopping = False
        self._decoders = ThreadPoolExecutor(settings.jobs_at_once, "decode-job")

    def start(self) -> None:
        self._workers = [asyncio.ensure_future(self._work()) for _ in range(self._settings.jobs_at_once)]

    def look(self) -> None:
        """There may be a new job."""
        self._wanted.set()

    async def cancel(self, job_id: str) -> None:
        """End a job that runs, for its owner; returns when it has ended, which it may have done by itself."""
        running = self.running.get(job_id)
        if running is not None:
            running.is_cancelled = True
            await self._interrupt(running)

    async def stop(self) -> None:
        """What runs is queued again and says why; nothing is begun any more. Idempotent."""
        self._is_stopping = True
        await asyncio.gather(*(self._interrupt(running) for running in list(self.running.values())))
        for worker in self._workers:
            worker.cancel()
        await asyncio.gather(*self._workers, return_exceptions=True)

    async def _interrupt(self, running: Running) -> None:
        if running.stage != "storing":  # what is being kept is kept
            running.task.cancel()
        await asyncio.wait({running.task}, timeout=LAST_WRITES_S)

    def close(self) -> None:
        self._decoders.shutdown(wait=False, cancel_futures=True)

    # --- a worker ---------------------------------------------------------------------------------

    async def _work(self) -> None:
        while True:
            self._wanted.clear()
            try:
                job = await asyncio.to_thread(self._store.claim, time.time())
            except Exception:  # a full disk, a broken one: the requests need none
                log.exception("jobs wait: the store does not answer")
                await asyncio.sleep(RETRY_S)
                continue
            if job is None:
                await self._wait_for_one()
                continue
            running = Running(job=job)
            running.task = asyncio.ensure_future(self._run(running))
            self.running[job.id] = running
            await asyncio.wait({running.task})
            del self.running[job.id]
            if self._is_stopping or self._models.fault is not None:
                return  # the process ends, and its successor goes on

    async def _wait_for_one(self) -> None:
        next_at = await asyncio.to_thread(self._store.next_claim_at)
        wait_s = LONGEST_LOOK_S if next_at is None else min(LONGEST_LOOK_S, max(0.0, next_at - time.time()))
        with suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                await self._wanted.wait()

    async def _run(self, running: Running) -> None:
        """One attempt, and what becomes of it, in the store."""
        job, started = running.job, time.perf_counter()
        log.info("job begins id=%s attempt=%d restarted=%r", job.id, job.attempts, job.restarted)
        outcome = await self._outcome(running)
        running.stage = "storing"  # from here on nothing interrupts it
        while not await self._kept(job, outcome):
            await asyncio.sleep(RETRY_S)
        log.info("job ends id=%s %s took_s=%.1f", job.id, outcome.told, time.perf_counter() - started)

    async def _outcome(self, running: Running) -> Outcome:
        job = running.job
        try:
            with named_as_sent(JOB_FORM):
                return Outcome(status="succeeded", transcript=await self._transcribed(running))
        except asyncio.CancelledError:
            return Outcome(status="cancelled") if running.is_cancelled else Outcome(status="queued", reason=STOPPED)
        except DeviceFault:
            if job.attempts < self._settings.jobs_max_attempts:
                return Outcome(status="queued", reason=FAULTED)
            message = f"{FAULTED}, {job.attempts} times"
            return Outcome(status="failed", error=JobError(message=message, code=WORN_OUT))
        except CapacityError as error:
            return Outcome(status="queued", waits_for=str(error), wait_s=max(1.0, error.retry_after_s))
        except InputError as error:
            return Outcome(status="failed", error=JobError(**told_of(error)))
        except Exception:
            log.exception("job failed id=%s", job.id)
            message = "the server failed at this job; its log says more"
            return Outcome(status="failed", error=JobError(message=message, code="internal_error"))

    async def _kept(self, job: Job, outcome: Outcome) -> bool:
        """Whether it could be kept: there may be no room on the disk, or no disk."""
        try:
            await asyncio.to_thread(self._keep, job, outcome)
        except Exception:
            log.exception("job cannot be kept id=%s", job.id)
            return False
        if outcome.status != "queued":
            self._on_end()
        return True

    def _keep(self, job: Job, outcome: Outcome) -> None:
        """In a thread. The result is there before the store says so; the upload goes after."""
        if outcome.status == "queued":
            if outcome.reason is not None:
                self._store.requeue(job.id, outcome.reason)
            else:
                self._store.put_off(job.id, outcome.waits_for, now=time.time(), wait_s=outcome.wait_s)
            return
        transcript, size_bytes = outcome.transcript, 0
        if transcript is not None:
            content = msgspec.json.encode(transcript)
            size_bytes = len(content)
            self._files.keep_result(job.id, content)
        ended = self._store.end(
            job.id,
            outcome.status,
            time.time(),
            error=outcome.error,
            result_bytes=size_bytes,
            audio_s=transcript.duration_s if transcript else None,
            language=transcript.language if transcript else None,
            announced=self._announced,
        )
        self._files.drop_upload(job.id)
        if ended is None:  # it was forgotten meanwhile
            self._files.drop(job.id)

    # --- the work ---------------------------------------------------------------------------------

    async def _transcribed(self, running: Running) -> Transcript:
        """Raises InputError, CapacityError, DeviceFault."""
        job, settings = running.job, self._settings
        asked = asked_by(job.fields, job.task, vad_filter=settings.vad_filter)
        self._models.named(job.model)  # the one it was made for, whatever its names mean by now
        await self._fetch(running)
        running.stage = "decoding"
        loop = asyncio.get_running_loop()
        clip = await loop.run_in_executor(self._decoders, self._decode, job)
        running.total_s = clip.duration_s
        async with self._models.using(job.model) as transcriber:
            running.stage = "transcribing"
            told: list[Told] = []
            began = worked_from = time.perf_counter()
            async with aclosing(transcriber.arun(clip, asked.options, is_in_background=True)) as items:
                async for item in items:
                    told.append(item)
                    running.heard(item)
                    if not self._idle.is_set():
                        await self._give_way(time.perf_counter() - worked_from)
                        worked_from = time.perf_counter()
            return transcript_of(clip, asked.options, told, took_s=time.perf_counter() - began)

    async def _give_way(self, longest_s: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(longest_s):
                await self._idle.wait()

    async def _fetch(self, running: Running) -> None:
        """The upload in its place; an earlier attempt may have put it there."""
        job, settings = running.job, self._settings
        if await asyncio.to_thread(self._files.upload(job.id).exists):
            return
        if job.url is None:
            raise UrlFailed(job.file_name, "the upload is not in the jobs' directory any more")
        running.stage = "downloading"
        size_bytes = await download(
            self._outbound,
            job.url,
            self._files,
            job.id,
            max_bytes=settings.jobs_max_upload_bytes,
            within_s=settings.jobs_url_timeout_s,
        )
        try:
            await asyncio.to_thread(self._store.note_upload, job.id, size_bytes, most_bytes=settings.jobs_max_bytes)
        except CapacityError:
            await asyncio.to_thread(self._files.drop_upload, job.id)
            raise

    def _decode(self, job: Job) -> AudioClip:
        return load_audio(self._files.upload(job.id), name=job.file_name, limits=self._settings.job_limits)
