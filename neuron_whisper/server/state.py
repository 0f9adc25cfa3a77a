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
from neuron_whisper.errors import DeviceFault, Draining, Overloaded, QueueFull
from neuron_whisper.server.config.settings import ServerSettings
from neuron_whisper.server.http.admission import Admission, Ticket
from neuron_whisper.server.http.middleware import Front
from neuron_whisper.server.http.request_context import CURRENT, RequestRecord, stage
from neuron_whisper.server.jobs.metrics import JobsCollector
from neuron_whisper.server.jobs.service import Jobs
from neuron_whisper.server.models.registry import Models
from neuron_whisper.server.observability.metrics import Metrics
from neuron_whisper.server.realtime.limiter import Sockets
from neuron_whisper.transcriber import Transcriber

MOST_DECODERS = 4


class Service:
    """One server's state. Used by the event loop's thread only."""

    def __init__(self, served: Transcriber | Models, settings: ServerSettings) -> None:
        self.models = served if isinstance(served, Models) else Models.of(served, settings)
        self.settings = settings
        self.started_at = int(time.time())
        self.drain_begun = asyncio.Event()
        self.sockets = Sockets(settings.realtime_sessions)
        self.idle = asyncio.Event()
        self.idle.set()
        self.admission = Admission(
            max_requests=settings.max_requests,
            max_per_client=settings.max_requests_per_client,
            max_wait_s=settings.max_wait_s,
        )
        self.front = Front(settings, Metrics(self.models, self.admission))
        self.jobs = Jobs(settings, self.models, self.idle) if settings.jobs_dir is not None else None
        if self.jobs is not None:
            self.front.metrics.also(JobsCollector(self.jobs))
        self._working: set[asyncio.Task[Any]] = set()
        self._is_over = False
        # a pool of its own bounds how much audio is unpacked at once, and never keeps the plans waiting
        self._decoders = ThreadPoolExecutor(min(MOST_DECODERS, os.cpu_count() or 1), "decode-audio")

    @property
    def is_draining(self) -> bool:
        """Whether new work is refused."""
        return self.drain_begun.is_set()

    @contextmanager
    def working(self) -> Iterator[None]:
        """What the current task does is waited for by a drain, and ended with Draining by `end_work`.

        A request has to be admitted, too. Raises Draining, Overloaded, ClientBusy, and DeviceFault when the device
        is gone.
        """
        task, record = asyncio.current_task(), CURRENT.get()
        assert task is not None
        if (fault := self.models.fault) is not None:
            raise DeviceFault(str(fault))
        if self.is_draining:
            raise Draining
        if record is not None:
            record.ticket = self._admitted(record)
        self._working.add(task)
        self.idle.clear()
        is_served = False
        try:
            yield
            is_served = True
        except asyncio.CancelledError:
            if not self._is_over:
                raise
            task.uncancel()
            raise Draining from None
        except QueueFull as error:  # the engine does not know how fast it is
            error.retry_after_s = max(error.retry_after_s, self.admission.wait_s)
            raise
        finally:
            if record is not None and record.ticket is not None:
                self.admission.leave(record.ticket, time.monotonic(), is_served=is_served)
            self._working.discard(task)
            if not self._working:
                self.idle.set()

    def _admitted(self, record: RequestRecord) -> Ticket:
        self.admission.slots = max(1, sum(transcriber.status.slots for transcriber in self.models.loaded))
        client = record.client
        return self.admission.enter(
            client.id if client is not None else "",
            time.monotonic(),
            most=client.max_requests if client is not None else None,
        )

    @property
    def in_flight(self) -> int:
        """Requests that are being worked on."""
        return len(self._working)

    def end_work(self) -> None:
        """The drain's deadline has come: what is still in flight is answered that there is no room."""
        self._is_over = True
        for task in self._working:
            task.cancel()

    async def decode(self, upload: SpooledTemporaryFile[bytes], name: str) -> AudioClip:
        """The upload as a clip, decoded in a thread. Takes the upload over and closes it.

        Raises InputError, and Overloaded where others have filled the queue while it came in.
        """
        record = CURRENT.get()
        if record is not None and record.ticket is not None:
            try:
                self.admission.ready(record.ticket, time.monotonic())
            except Overloaded:
                upload.close()
                raise
        decoding = self._decoders.submit(self._decode, cast("BinaryIO", upload), name)
        # not before: a decoder that runs while its request is cancelled still reads from it
        decoding.add_done_callback(lambda _: upload.close())
        with stage("decode audio"):
            clip = await asyncio.wrap_future(decoding)
        if record is not None:
            record.audio_s += clip.duration_s
        return clip

    def _decode(self, upload: BinaryIO, name: str) -> AudioClip:
        return load_audio(upload, name=name, limits=self.settings.audio_limits)

    def close(self) -> None:
        """Start no decoder any more, let the jobs' directory go, tell the last spans. The models are their maker's."""
        if self.jobs is not None:
            self.jobs.close()
        self._decoders.shutdown(wait=False, cancel_futures=True)
        if self.front.tracing is not None:
            self.front.tracing.close()
