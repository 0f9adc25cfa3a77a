"""Runs jobs: claims the oldest from the store, transcribes it with less priority than requests, stores the result.

If the process dies at any moment, the job is stored as queued, running or ended, and a succeeded job has its result.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable
from contextlib import aclosing, suppress
from dataclasses import dataclass, field, replace
from typing import Literal
from urllib.parse import urlsplit

import msgspec

from neuron_whisper.audio.clip import AudioClip
from neuron_whisper.errors import CapacityError, DeviceError, InputError, UrlFetchFailed
from neuron_whisper.longform.drivers import TranscriptEvent
from neuron_whisper.server.audio.peaks import compute_peaks
from neuron_whisper.server.audio.request import AudioRequest, translate_field_names
from neuron_whisper.server.config.settings import ServerSettings
from neuron_whisper.server.decoding.pool import DecoderPool
from neuron_whisper.server.http.errors import to_error_fields
from neuron_whisper.server.jobs.download import DownloadLimits, download
from neuron_whisper.server.jobs.entities import Job, JobError, JobStatus
from neuron_whisper.server.jobs.files import JobFiles
from neuron_whisper.server.jobs.outbound import RestrictedHttpClient
from neuron_whisper.server.jobs.quota import StorageLimits, UploadLedger
from neuron_whisper.server.jobs.request import JOB_FORM, to_audio_request
from neuron_whisper.server.jobs.store import TOO_MANY_ATTEMPTS, DeliveryFactory, JobStore
from neuron_whisper.server.models.registry import ModelRegistry
from neuron_whisper.transcriber import build_transcript
from neuron_whisper.transcript import Segment, SkippedRegion, Transcript

log = logging.getLogger(__name__)

MAX_POLL_INTERVAL_S = 60.0
STORE_RETRY_S = 5.0  # while the disk is full
MAX_DOWNLOADS = 4  # at once, beside the jobs that are transcribed
MAX_DOWNLOADS_PER_HOST = 2  # so that slow ones leave room
FINAL_WRITE_TIMEOUT_S = 5.0
SERVER_STOPPED = "the server was stopped while the job ran"
DEVICE_FAILED = "the device failed while the job ran"

Stage = Literal["starting", "downloading", "decoding", "transcribing", "storing"]


@dataclass(slots=True, kw_only=True)
class RunningJob:
    """A running job and its progress. Used by the event loop's thread only."""

    job: Job
    stage: Stage = "starting"
    done_s: float = 0.0
    total_s: float | None = None
    segments: list[Segment] = field(default_factory=list)
    needs_download: bool = False  # it ends when the file is here, and the job is queued for its transcription
    task: asyncio.Task[None] = field(init=False)
    started: asyncio.Event = field(default_factory=asyncio.Event)
    is_cancelled: bool = False  # by its owner

    def on_event(self, event: TranscriptEvent) -> None:
        if isinstance(event, Segment):
            self.segments.append(event)
        if isinstance(event, Segment | SkippedRegion):
            self.done_s = min(max(self.done_s, event.end_s), self.total_s or event.end_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptResult:
    """The outcome of an attempt. A queued job is started again: at once, for the `restart_reason` that its owner sees,
    or after `wait_s`, when the attempt could not begin for the `waiting_reason`; `is_downloaded`: in its turn.
    """

    status: JobStatus
    transcript: Transcript | None = None
    error: JobError | None = None
    restart_reason: str | None = None
    waiting_reason: str = ""
    wait_s: float = 0.0
    is_downloaded: bool = False

    @property
    def log_fields(self) -> str:
        reason = self.restart_reason or self.waiting_reason or (self.error.code if self.error else "")
        return f"status={self.status}" + (f" reason={reason!r}" if reason else "")


class JobRunner:
    """`settings.jobs_at_once` tasks of the event loop that run jobs until `stop`, and MAX_DOWNLOADS that fetch audio.

    A job yields to requests: after each segment it waits until no request is in flight (`idle` is set), at most as
    long as it has worked since its last wait. So requests make it take at most twice its time.
    """

    def __init__(
        self,
        store: JobStore,
        files: JobFiles,
        models: ModelRegistry,
        decoders: DecoderPool,
        http_client: RestrictedHttpClient,
        settings: ServerSettings,
        *,
        idle: asyncio.Event,
        create_delivery: DeliveryFactory,
        on_end: Callable[[], None],
        uploads: UploadLedger,
        get_limits: Callable[[], StorageLimits],
    ) -> None:
        self._store, self._files, self._models, self._http_client = store, files, models, http_client
        self._decoders = decoders
        self._settings, self._idle, self._create_delivery, self._on_end = settings, idle, create_delivery, on_end
        self.running: dict[str, RunningJob] = {}
        self._uploads, self._get_limits = uploads, get_limits
        self._wake_events = {needs_download: asyncio.Event() for needs_download in (False, True)}
        self._workers: list[asyncio.Task[None]] = []
        self._is_stopping = False

    def start(self) -> None:
        kinds = (*[False] * self._settings.jobs_at_once, *[True] * MAX_DOWNLOADS)
        self._workers = [asyncio.ensure_future(self._run_worker(needs_download)) for needs_download in kinds]

    def wake(self) -> None:
        """Look for a new job now."""
        for event in self._wake_events.values():
            event.set()

    async def cancel(self, job_id: str) -> None:
        """Cancel a running job for its owner and wait until it has ended; it may have ended by itself."""
        running = self.running.get(job_id)
        if running is not None:
            running.is_cancelled = True
            await self._interrupt(running)

    async def stop(self) -> None:
        """Requeue running jobs with the reason and start no more. Idempotent."""
        self._is_stopping = True
        await asyncio.gather(*(self._interrupt(running) for running in list(self.running.values())))
        for worker in self._workers:
            worker.cancel()
        await asyncio.gather(*self._workers, return_exceptions=True)

    async def _interrupt(self, running: RunningJob) -> None:
        await running.started.wait()  # a task that is cancelled before its first step stores no outcome
        if running.stage != "storing":  # a result that is being stored is not interrupted
            running.task.cancel()
        await asyncio.wait({running.task}, timeout=FINAL_WRITE_TIMEOUT_S)

    def close(self) -> None:
        self._decoders.close()

    # --- a worker ---------------------------------------------------------------------------------

    async def _run_worker(self, needs_download: bool) -> None:
        while True:
            self._wake_events[needs_download].clear()
            try:
                job = await self._claim(needs_download)
            except Exception:  # a full or broken disk; requests go on without it
                log.exception("job store unavailable retry_s=%g", STORE_RETRY_S)
                await asyncio.sleep(STORE_RETRY_S)
                continue
            if job is None:
                await self._wait_for_job(needs_download)
                continue
            running = RunningJob(job=job, needs_download=needs_download)
            running.task = asyncio.ensure_future(self._run_job(running))
            self.running[job.id] = running
            await asyncio.wait({running.task})
            del self.running[job.id]
            if needs_download:
                self.wake()  # its file is here, and its host has room for another
            if self._is_stopping or self._models.device_error is not None:
                return  # the process ends; the next one continues

    async def _claim(self, needs_download: bool) -> Job | None:
        hosts = Counter(_get_host(running.job) for running in self.running.values() if running.needs_download)
        claim = asyncio.ensure_future(
            asyncio.to_thread(
                self._store.claim,
                time.time(),
                needs_download=needs_download,
                accept=lambda job: hosts[_get_host(job)] < MAX_DOWNLOADS_PER_HOST,
            )
        )
        try:
            return await asyncio.shield(claim)
        except asyncio.CancelledError:
            # the thread goes on: what it claims would be running without a task until the next start
            if (job := await claim) is not None:
                await asyncio.to_thread(self._store.requeue, job.id, SERVER_STOPPED)
            raise

    async def _wait_for_job(self, needs_download: bool) -> None:
        next_at = await asyncio.to_thread(self._store.get_next_claim_time, needs_download=needs_download)
        wait_s = MAX_POLL_INTERVAL_S if next_at is None else min(MAX_POLL_INTERVAL_S, max(0.0, next_at - time.time()))
        if needs_download:
            wait_s = max(1.0, wait_s)  # a job that may run may wait for its host
        with suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                await self._wake_events[needs_download].wait()

    async def _run_job(self, running: RunningJob) -> None:
        """Run one attempt and store its outcome."""
        job, started_at = running.job, time.perf_counter()
        running.started.set()
        reason = f" restart_reason={job.restart_reason!r}" if job.restart_reason else ""
        log.info("job started id=%s attempt=%d%s", job.id, job.attempts, reason)
        result = await self._attempt(running)
        running.stage = "storing"  # from here on the task is not cancelled
        while not await self._try_persist(job, result):
            await asyncio.sleep(STORE_RETRY_S)
        log.info("job ended id=%s %s took_s=%.1f", job.id, result.log_fields, time.perf_counter() - started_at)

    async def _attempt(self, running: RunningJob) -> AttemptResult:
        job = running.job
        try:
            with translate_field_names(JOB_FORM):
                if running.needs_download:
                    await self._download(running)
                    return AttemptResult(status="queued", is_downloaded=True)
                return AttemptResult(status="succeeded", transcript=await self._transcribe(running))
        except asyncio.CancelledError:
            return (
                AttemptResult(status="cancelled")
                if running.is_cancelled
                else AttemptResult(status="queued", restart_reason=SERVER_STOPPED)
            )
        except DeviceError:
            if job.attempts < self._settings.jobs_max_attempts:
                return AttemptResult(status="queued", restart_reason=DEVICE_FAILED)
            message = f"{DEVICE_FAILED}, {job.attempts} times"
            return AttemptResult(status="failed", error=JobError(message=message, code=TOO_MANY_ATTEMPTS))
        except CapacityError as error:
            return AttemptResult(status="queued", waiting_reason=str(error), wait_s=max(1.0, error.retry_after_s))
        except InputError as error:
            return AttemptResult(status="failed", error=JobError(**to_error_fields(error)))
        except Exception:
            log.exception("job failed id=%s", job.id)
            message = f"internal server error; job {job.id} is in the server log"
            return AttemptResult(status="failed", error=JobError(message=message, code="internal_error"))

    async def _try_persist(self, job: Job, result: AttemptResult) -> bool:
        """Store the outcome; False when the disk is full or broken."""
        try:
            await asyncio.to_thread(self._persist, job, result)
        except Exception:
            log.exception("job result not stored id=%s retry_s=%g", job.id, STORE_RETRY_S)
            return False
        if result.status != "queued":
            self._on_end()
        return True

    def _persist(self, job: Job, result: AttemptResult) -> None:
        """Store the outcome, in a thread: the result file before the job's row, and the upload is deleted last."""
        if result.status == "queued":
            if result.is_downloaded:
                self._store.queue_downloaded(job.id)
            elif result.restart_reason is not None:
                self._store.requeue(job.id, result.restart_reason)
            else:
                self._store.defer(job.id, result.waiting_reason, now=time.time(), wait_s=result.wait_s)
            return
        transcript, size_bytes = result.transcript, self._files.measure_peaks(job.id)
        if transcript is not None:
            content = msgspec.json.encode(transcript)
            size_bytes += len(content)
            self._files.store_result(job.id, content)
        ended = self._store.end(
            job.id,
            result.status,
            time.time(),
            error=result.error,
            result_bytes=size_bytes,
            audio_s=transcript.duration_s if transcript else None,
            language=transcript.language if transcript else None,
            create_delivery=self._create_delivery,
        )
        self._files.delete_upload(job.id)
        if ended is None:  # the job was deleted meanwhile
            self._files.delete(job.id)

    # --- the work ---------------------------------------------------------------------------------

    async def _transcribe(self, running: RunningJob) -> Transcript:
        """Raises InputError, CapacityError, DeviceError."""
        job, settings = running.job, self._settings
        request = to_audio_request(job.fields, job.task, vad_filter=settings.vad_filter)
        self._models.find(job.model)  # by id: aliases may have changed since the job was created
        running.stage = "decoding"
        clip = await self._decode(job, request)
        await self._add_peaks(job, clip)
        running.total_s = clip.duration_s
        async with self._models.use(job.model) as transcriber:
            running.stage = "transcribing"
            events: list[TranscriptEvent] = []
            started = worked_from = time.perf_counter()
            async with aclosing(transcriber.arun(clip, request.options, low_priority=True)) as stream:
                async for event in stream:
                    events.append(event)
                    running.on_event(event)
                    if not self._idle.is_set():
                        await self._yield_to_requests(time.perf_counter() - worked_from)
                        worked_from = time.perf_counter()
            return build_transcript(clip, request.options, events, took_s=time.perf_counter() - started)

    async def _yield_to_requests(self, max_wait_s: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(max_wait_s):
                await self._idle.wait()

    async def _download(self, running: RunningJob) -> None:
        """Fetch the audio, unless an earlier attempt did. Raises InputError, CapacityError."""
        job, settings = running.job, self._settings
        assert job.url is not None
        running.stage = "downloading"
        path = self._files.upload_path(job.id)
        if not await asyncio.to_thread(path.exists):
            usage = await asyncio.to_thread(self._store.measure_usage, job.owner)
            with self._uploads.open(job.owner, replace(usage, jobs=0, own_jobs=0), self._get_limits()) as incoming:
                limits = DownloadLimits(
                    max_bytes=settings.jobs_max_upload_bytes,
                    timeout_s=settings.jobs_url_timeout_s,
                    min_bytes_per_s=settings.upload_least_bytes_s,
                    count=incoming.count,
                )
                await download(self._http_client, job.url, self._files, job.id, limits)
        size_bytes = (await asyncio.to_thread(path.stat)).st_size
        try:
            await asyncio.to_thread(self._store.set_upload_size, job.id, job.owner, size_bytes, self._get_limits())
        except CapacityError:
            await asyncio.to_thread(self._files.delete_upload, job.id)
            raise

    async def _add_peaks(self, job: Job, clip: AudioClip) -> None:
        """Store the waveform. The transcript is what the job is for: it goes on where there is no room."""
        peaks = await asyncio.to_thread(compute_peaks, clip.samples)
        stored = asyncio.ensure_future(asyncio.to_thread(self._store_peaks, job, peaks.tobytes()))
        try:
            await asyncio.shield(stored)
        except asyncio.CancelledError:
            await asyncio.wait({stored})  # a file that is written later would belong to no job
            raise
        except CapacityError as error:
            log.warning("waveform not stored job=%s reason=%r", job.id, str(error))
        except Exception:  # a full or broken disk: the outcome is tried again, the waveform is not worth a failed job
            log.exception("waveform not stored job=%s", job.id)

    def _store_peaks(self, job: Job, content: bytes) -> None:
        self._store.set_peaks_size(job.id, job.owner, len(content), self._get_limits())
        self._files.store_peaks(job.id, content)

    async def _decode(self, job: Job, request: AudioRequest) -> AudioClip:
        path = self._files.upload_path(job.id)
        if not path.exists():
            raise UrlFetchFailed(job.file_name, "the upload is missing from the jobs directory")
        with path.open("rb") as file:
            limits = self._settings.job_limits
            load_options = request.get_load_options(self._models.find(job.model).only_language)
            return await self._decoders.decode(file, name=job.file_name, limits=limits, **load_options)


def _get_host(job: Job) -> str:
    return urlsplit(job.url or "").hostname or ""
