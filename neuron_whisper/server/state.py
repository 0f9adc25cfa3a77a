"""State shared by the routes: models, settings, admission, decoders, requests in flight."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from tempfile import SpooledTemporaryFile
from typing import Any

from neuron_whisper.audio.clip import AudioClip
from neuron_whisper.errors import DeviceError, EngineDraining, QueueFull
from neuron_whisper.server.config.settings import ServerSettings
from neuron_whisper.server.decoding.forkserver import ForkserverClient
from neuron_whisper.server.decoding.metrics import DecodingCollector
from neuron_whisper.server.decoding.pool import DecoderLimits, DecoderPool, DecodingStats
from neuron_whisper.server.decoding.upload import open_with_descriptor
from neuron_whisper.server.http.admission import Admission, AdmissionTicket
from neuron_whisper.server.http.api_keys import Client, get_share
from neuron_whisper.server.http.middleware import RequestGateway
from neuron_whisper.server.http.origins import PageOrigins
from neuron_whisper.server.http.request_context import RequestContext, current_request, measure_stage
from neuron_whisper.server.jobs.metrics import JobsCollector
from neuron_whisper.server.jobs.service import JobService
from neuron_whisper.server.models.registry import ModelRegistry
from neuron_whisper.server.observability.metrics import Metrics
from neuron_whisper.server.realtime.limiter import SessionLimiter
from neuron_whisper.server.realtime.metrics import SessionsCollector
from neuron_whisper.server.web.samples import Samples
from neuron_whisper.transcriber import Transcriber

MAX_DECODERS = 4


class ServerState:
    """The state of one server. Used on the event loop only."""

    def __init__(self, models: Transcriber | ModelRegistry, settings: ServerSettings) -> None:
        self.models = models if isinstance(models, ModelRegistry) else ModelRegistry.from_transcriber(models, settings)
        self.settings = settings
        self.samples = Samples.load(settings.samples_dir)
        self.started_at = int(time.time())
        self.drain_started = asyncio.Event()
        self.allowed_origins = PageOrigins(settings.cors_origins)
        self.session_limiter = SessionLimiter(settings.realtime_sessions)
        self.idle = asyncio.Event()
        self.idle.set()
        self.admission = Admission(
            max_requests=settings.max_requests,
            max_per_client=settings.max_requests_per_client,
            max_wait_s=settings.max_wait_s,
        )
        self.gateway = RequestGateway(settings, Metrics(self.models, self.admission))
        self.forkserver, stats = ForkserverClient(), DecodingStats()
        limits = DecoderLimits(memory_bytes=settings.decoder_memory_bytes, stall_s=settings.decoder_stall_s)
        n_decoders = settings.decoders or min(MAX_DECODERS, os.cpu_count() or 1)
        self.decoders = DecoderPool(self.forkserver, stats, size=n_decoders, limits=limits)
        self.gateway.metrics.register(DecodingCollector(stats))
        self.gateway.metrics.register(SessionsCollector(self.session_limiter))
        # jobs have their own, so that long files do not take those of requests
        job_decoders = DecoderPool(self.forkserver, stats, size=settings.jobs_at_once, limits=limits)
        self.jobs = self._create_jobs(job_decoders) if settings.jobs_dir is not None else None
        if self.jobs is not None:
            self.gateway.metrics.register(JobsCollector(self.jobs))
        self._tasks: set[asyncio.Task[Any]] = set()
        self._is_aborting = False

    def _create_jobs(self, decoders: DecoderPool) -> JobService:
        return JobService(self.settings, self.models, decoders, self.idle, count_keys=lambda: self.gateway.n_keys)

    def acquire_session(self, client: Client | None) -> AbstractContextManager[None]:
        """Hold a realtime session open for the client while the block runs. Raises CapacityError."""
        if client is None or not client.has_key:
            return self.session_limiter.acquire()
        per_key = self.settings.realtime_sessions_per_key
        share = get_share(self.settings.realtime_sessions, per_key, self.gateway.n_keys)
        return self.session_limiter.acquire(client.id, share)

    @property
    def is_draining(self) -> bool:
        """Whether new requests are rejected."""
        return self.drain_started.is_set()

    @contextmanager
    def track_request(self) -> Iterator[None]:
        """Admit the current task's request and count it as in flight while the block runs.

        A drain waits for it; `abort_requests` ends it with EngineDraining. Raises EngineDraining, Overloaded,
        ClientBusy, and DeviceError after the device failed.
        """
        task, context = asyncio.current_task(), current_request.get()
        assert task is not None
        if (device_error := self.models.device_error) is not None:
            raise DeviceError(str(device_error))
        if self.is_draining:
            raise EngineDraining
        if context is not None:
            context.ticket = self._admit(context)
        self._tasks.add(task)
        self.idle.clear()
        is_served = False
        try:
            yield
            is_served = True
        except asyncio.CancelledError:
            if not self._is_aborting:
                raise
            task.uncancel()
            raise EngineDraining from None
        except QueueFull as error:  # the engine does not measure its own rate
            error.retry_after_s = max(error.retry_after_s, self.admission.wait_s)
            raise
        finally:
            if context is not None and context.ticket is not None:
                self.admission.release(context.ticket, time.monotonic(), is_served=is_served)
            self._tasks.discard(task)
            if not self._tasks:
                self.idle.set()

    def _admit(self, context: RequestContext) -> AdmissionTicket:
        self.admission.slots = max(1, sum(transcriber.status.slots for transcriber in self.models.loaded_transcribers))
        client = context.client
        return self.admission.admit(
            client.id if client is not None else "",
            time.monotonic(),
            client_limit=client.max_requests if client is not None else None,
        )

    @property
    def in_flight(self) -> int:
        """The number of requests in flight."""
        return len(self._tasks)

    def abort_requests(self) -> None:
        """Cancel every request in flight, when a drain's deadline has passed; each gets a 503 response."""
        self._is_aborting = True
        for task in self._tasks:
            task.cancel()

    async def decode_upload(self, upload: SpooledTemporaryFile[bytes], name: str, **options: Any) -> AudioClip:
        """Decode an upload in a child process, and close it. `options` are those of load_audio.

        Raises InputError, and Overloaded where the queue became too long while the upload arrived.
        """
        context = current_request.get()
        with upload:
            if context is not None and context.ticket is not None:
                self.admission.enqueue(context.ticket, time.monotonic())
            with measure_stage("decode audio"), open_with_descriptor(upload) as file:
                clip = await self.decoders.decode(file, name=name, limits=self.settings.audio_limits, **options)
        if context is not None:
            context.audio_s += clip.duration_s
        return clip

    def close(self) -> None:
        """Stop decoders, release the jobs directory and export the last spans. The models stay open."""
        if self.jobs is not None:
            self.jobs.close()
        self.decoders.close()
        self.forkserver.close()
        if self.gateway.tracing is not None:
            self.gateway.tracing.close()
