"""What the routes share: the transcriber, the model's names, decoder threads, and the work in flight."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import PurePath
from tempfile import SpooledTemporaryFile
from typing import Any, BinaryIO, cast

from neuron_whisper.audio.clip import AudioClip
from neuron_whisper.audio.load import load_audio
from neuron_whisper.errors import DeviceFault, Draining, UnknownModel
from neuron_whisper.model.catalogue import CATALOGUE
from neuron_whisper.server.settings import ServerSettings
from neuron_whisper.transcriber import Transcriber

ALIAS = "whisper-1"  # the name that OpenAI's clients send
MOST_DECODERS = 4


class Service:
    """One server's state. Used by the event loop's thread only."""

    def __init__(self, transcriber: Transcriber, settings: ServerSettings) -> None:
        self.transcriber, self.settings = transcriber, settings
        self.model_id, *self.aliases = served_names(transcriber.name)
        self.started_at = int(time.time())
        self.is_draining = False
        self.idle = asyncio.Event()
        self.idle.set()
        self._working: set[asyncio.Task[Any]] = set()
        self._is_over = False
        # a pool of its own bounds how much audio is unpacked at once, and never keeps the plans waiting
        self._decoders = ThreadPoolExecutor(min(MOST_DECODERS, os.cpu_count() or 1), "decode-audio")

    def check_model(self, name: str) -> None:
        """Raises UnknownModel when `name` is not the loaded model."""
        if name not in (self.model_id, *self.aliases):
            raise UnknownModel(name, (self.model_id, *self.aliases))

    @contextmanager
    def working(self) -> Iterator[None]:
        """What the current task does is waited for by a drain, and ended with Draining by `end_work`.

        Raises Draining, and DeviceFault when the device is gone.
        """
        task = asyncio.current_task()
        assert task is not None
        if self.transcriber.fault is not None:
            raise DeviceFault(str(self.transcriber.fault))
        if self.is_draining:
            raise Draining
        self._working.add(task)
        self.idle.clear()
        try:
            yield
        except asyncio.CancelledError:
            if not self._is_over:
                raise
            task.uncancel()
            raise Draining from None
        finally:
            self._working.discard(task)
            if not self._working:
                self.idle.set()

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
        """The upload as a clip, decoded in a thread. Takes the upload over and closes it. Raises InputError."""
        decoding = self._decoders.submit(self._decode, cast("BinaryIO", upload), name)
        # not before: a decoder that runs while its request is cancelled still reads from it
        decoding.add_done_callback(lambda _: upload.close())
        return await asyncio.wrap_future(decoding)

    def _decode(self, upload: BinaryIO, name: str) -> AudioClip:
        return load_audio(upload, name=name, limits=self.settings.audio_limits)

    def close(self) -> None:
        """Start no decoder any more. The transcriber belongs to whoever opened it."""
        self._decoders.shutdown(wait=False, cancel_futures=True)


def served_names(model: str) -> tuple[str, ...]:
    """What a model answers to, its own name first.

    "turbo" -> turbo, large-v3-turbo, openai/whisper-large-v3-turbo, whisper-1; "/models/mine.pt" -> mine.pt,
    whisper-1: where it lies on this machine is nobody's business.
    """
    is_hub_id = model.count("/") == 1 and not model.startswith(("/", ".", "~"))
    own = model if is_hub_id else PurePath(model).name or ALIAS
    wanted = CATALOGUE[own].hub_id if own in CATALOGUE else own.partition("@")[0]
    others: list[str] = [short for short, entry in CATALOGUE.items() if entry.hub_id == wanted]
    if others:
        others.append(wanted)
    return tuple(dict.fromkeys((own, *others, ALIAS)))
