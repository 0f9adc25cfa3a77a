"""What the routes share: the models, decoder threads, and the work in flight."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from tempfile import SpooledTemporaryFile
from typing import Any, BinaryIO, cast

from neuron_whisper.audio.clip import AudioClip
from neuron_whisper.audio.load import load_audio
from neuron_whisper.errors import DeviceError, EngineDraining, Overloaded, QueueFull
from neuron_whisper.server.config.settings import ServerSettings
from neuron_whisper.server.http.admission import Admission, AdmissionTicket
from neuron_whisper.server.http.middleware import RequestGateway
from neuron_whisper.server.http.request_context import RequestContext, current_request, measure_stage
from neuron_whisper.server.jobs.metrics import JobsCollector
from neuron_whisper.server.jobs.service import JobService
from neuron_whisper.server.models.registry import ModelRegistry
from neuron_whisper.server.observability.metrics import Metrics
from neuron_whisper.server.realtime.limiter import SessionLimiter
from neuron_whisper.transcriber import Transcriber

MAX_DECODERS = 4


class ServerState:
    """One server's state. Used by the event loop's thread only."""

    def __init__(self, models: Transcriber | ModelRegistry, settings: ServerSettings) -> None:
        self.models = models if isinstance(models, ModelRegistry) else ModelRegistry.from_transcriber(models, settings)
        self.settings = settings
        self.started_at = int(time.time())
        self.drain_started = asyncio.Event()
        self.session_limiter = SessionLimiter(settings.realtime_sessions)
        self.idle = asyncio.Event()
        self.idle.set()
        self.admission = Admission(
            max_requests=settings.max_requests,
            max_per_client=settings.max_requests_per_client,
            max_wait_s=settings.max_wait_s,
        )
        self.gateway = RequestGateway(settings, Metrics(self.models, self.admission))
        self.jobs = JobService(settings, self.models, self.idle) if settings.jobs_dir is not None else None
        if self.jobs is not None:
            self.gateway.metrics.register(JobsCollector(self.jobs))
        self._tasks: set[asyncio.Task[Any]] = set()
        self._is_aborting = False
        # a pool of its own bounds how much audio is unpacked at once, and never keeps the plans waiting
        self._decoder_threads = ThreadPoolExecutor(min(MAX_DECODERS, os.cpu_count() or 1), "decode-audio")

    @property
    def is_draining(self) -> bool:
        """Whether new work is refused."""
        return self.drain_started.is_set()

    @contextmanager
    def track_request(self) -> Iterator[None]:
        """What the current task does is waited for by a drain, and ended with Draining by `abort_requests`.

        A request has to be admitted, too. Raises Draining, Overloaded, ClientBusy, and DeviceError when the device
        is gone.
        """
        task, record = asyncio.current_task(), current_request.get()
        assert task is not None
        if (fault := self.models.device_error) is not None:
            raise DeviceError(str(fault))
        if self.is_draining:
            raise EngineDraining
        if record is not None:
            record.ticket = self._admit(record)
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
        except QueueFull as error:  # the engine does not know how fast it is
            error.retry_after_s = max(error.retry_after_s, self.admission.wait_s)
            raise
        finally:
            if record is not None and record.ticket is not None:
                self.admission.release(record.ticket, time.monotonic(), is_served=is_served)
            self._tasks.discard(task)
            if not self._tasks:
                self.idle.set()

    def _admit(self, record: RequestContext) -> AdmissionTicket:
        self.admission.slots = max(1, sum(transcriber.status.slots for transcriber in self.models.loaded_transcribers))
        client = record.client
        return self.admission.admit(
            client.id if client is not None else "",
            time.monotonic(),
            client_limit=client.max_requests if client is not None else None,
        )

    @property
    def in_flight(self) -> int:
        """Requests that are being worked on."""
        return len(self._tasks)

    def abort_requests(self) -> None:
        """The drain's deadline has come: what is still in flight is answered that there is no room."""
        self._is_aborting = True
        for task in self._tasks:
            task.cancel()

    async def decode_upload(self, upload: SpooledTemporaryFile[bytes], name: str) -> AudioClip:
        """The upload as a clip, decoded in a thread. Takes the upload over and closes it.

        Raises InputError, and Overloaded where others have filled the queue while it came in.
        """
        record = current_request.get()
        if record is not None and record.ticket is not None:
            try:
                self.admission.enqueue(record.ticket, time.monotonic())
            except Overloaded:
                upload.close()
                raise
        decoding = self._decoder_threads.submit(self._load_audio, cast("BinaryIO", upload), name)
        # not before: a decoder that runs while its request is cancelled still reads from it
        decoding.add_done_callback(lambda _: upload.close())
        with measure_stage("decode audio"):
            clip = await asyncio.wrap_future(decoding)
        if record is not None:
            record.audio_s += clip.duration_s
        return clip

    def _load_audio(self, upload: BinaryIO, name: str) -> AudioClip:
        return load_audio(upload, name=name, limits=self.settings.audio_limits)

    def close(self) -> None:
        """Start no decoder any more, let the jobs' directory go, tell the last spans. The models are their maker's."""
        if self.jobs is not None:
            self.jobs.close()
        self._decoder_threads.shutdown(wait=False, cancel_futures=True)
        if self.gateway.tracing is not None:
            self.gateway.tracing.close()
