"""DecoderPool: decodes uploads in reused child processes, which are killed when they take too much or are cancelled."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from neuron_whisper.audio.clip import AudioClip
from neuron_whisper.audio.limits import AudioLimits
from neuron_whisper.audio.process.messages import Message, from_error_fields
from neuron_whisper.audio.sample_buffer import MAX_MEMORY_S
from neuron_whisper.errors import AudioForged, AudioTooCostly, AudioUnreadable, DecoderUnavailable
from neuron_whisper.server.decoding.decoder import Decoder, DecoderGone
from neuron_whisper.server.decoding.forkserver import ForkserverClient, describe_wait_status

log = logging.getLogger(__name__)

BASE_MEMORY_BYTES = 256 << 20  # filters for odd sample rates, ten minutes of samples, decoders' tables
PROCESSOR_S_PER_MB = 20.0
MAX_DEAD_DECODERS = 5  # that were killed while they were idle
MEMORY_PER_FILE_BYTE = 8  # an index has up to 50 bytes for a packet, and a packet of speech has a dozen or more


@dataclass(slots=True)
class DecodingStats:
    """What the pools of a server count. `refused`: files by the reason for which decoding them was given up."""

    busy: int = 0
    replaced: int = 0
    refused: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True, kw_only=True)
class DecoderLimits:
    """Limits of a decoder: memory beyond its own, processor time of the smallest file, seconds without any progress."""

    memory_bytes: int = 1024**3
    processor_s: float = 30.0
    stall_s: float = 30.0

    def choose_memory_bytes(self, file_bytes: int) -> int:
        """The memory for one file: what a file of its size can need, within the limit."""
        return min(self.memory_bytes, BASE_MEMORY_BYTES + MEMORY_PER_FILE_BYTE * file_bytes)

    def choose_processor_s(self, file_bytes: int, max_audio_s: float) -> float:
        """The seconds of processor time for one file.

        A megabyte may be 20 minutes of speech, which take a few seconds; whatever its size, audio of the longest
        allowed length is decoded ten times as fast as it plays.
        """
        return self.processor_s + min(PROCESSOR_S_PER_MB * file_bytes / 1e6, max_audio_s / 10)


class DecoderPool:
    """At most `size` decoder processes, forked when needed and kept. On the event loop only."""

    def __init__(
        self, forkserver: ForkserverClient, stats: DecodingStats, *, size: int, limits: DecoderLimits | None = None
    ) -> None:
        self.size, self._forkserver, self._stats, self._limits = size, forkserver, stats, limits or DecoderLimits()
        self._free = asyncio.Semaphore(size)
        self._idle: list[Decoder] = []

    async def decode(self, file: BinaryIO, *, name: str, limits: AudioLimits, **options: Any) -> AudioClip:
        """`load_audio` of an open file with a descriptor, at its start, in a child process; the caller closes it.

        A cancelled task frees its decoder at once. Raises InputError, and DecoderUnavailable where no process can be
        started.
        """
        file_bytes = os.fstat(file.fileno()).st_size
        request = {
            "name": name,
            "limits": asdict(limits),
            "options": options,
            "memory_bytes": self._limits.choose_memory_bytes(file_bytes),
            "processor_s": self._limits.choose_processor_s(file_bytes, limits.max_seconds),
        }
        async with self._free:
            self._stats.busy += 1
            try:
                for _ in range(MAX_DEAD_DECODERS):
                    with suppress(DecoderGone):
                        return await self._run(await self._take_decoder(), request, file)
                raise DecoderUnavailable("decoders end before they begin")
            except AudioTooCostly as error:
                self._stats.refused[error.limit] += 1
                raise
            except AudioForged:
                self._stats.refused["forged"] += 1
                raise
            finally:
                self._stats.busy -= 1

    async def _run(self, decoder: Decoder, request: Mapping[str, Any], file: BinaryIO) -> AudioClip:
        name, is_reusable = str(request["name"]), False
        try:
            reply = await decoder.run(request, file.fileno(), stall_s=self._limits.stall_s)
            is_reusable = not reply.fields.get("retires") and reply.fields.keys() & {"clip", "error"} != set()
        except TimeoutError:
            reason = f"no sample was decoded in {self._limits.stall_s:g} seconds"
            raise AudioTooCostly(name, "progress", reason) from None
        except EOFError:
            status = await self._forkserver.reap(decoder.pid)
            error = _explain_end(name, status, request["processor_s"])
            if isinstance(error, AudioUnreadable):
                self._stats.refused["crash"] += 1
            raise error from None
        finally:  # of a cancelled task as well
            if is_reusable:
                self._keep(decoder)
            else:
                self._discard(decoder)
        return _read_reply(reply, name, request["memory_bytes"])

    async def _take_decoder(self) -> Decoder:
        while self._idle:
            decoder = self._idle.pop()
            if decoder.is_alive:
                return decoder
            self._discard(decoder)
        forked = asyncio.ensure_future(self._fork())
        try:
            return await asyncio.shield(forked)
        except asyncio.CancelledError:
            forked.add_done_callback(self._keep_forked)
            raise

    async def _fork(self) -> Decoder:
        try:
            return Decoder(*await self._forkserver.fork())
        except OSError as error:
            log.exception("no decoder process can be started")
            raise DecoderUnavailable(error.strerror or str(error)) from error

    def _keep_forked(self, forked: asyncio.Future[Decoder]) -> None:
        """Keep a decoder whose request was cancelled while it was started."""
        if not forked.cancelled() and forked.exception() is None:
            self._keep(forked.result())

    def _keep(self, decoder: Decoder) -> None:
        if len(self._idle) < self.size:
            self._idle.append(decoder)
        else:
            self._discard(decoder)

    def _discard(self, decoder: Decoder) -> None:
        decoder.kill()
        self._forkserver.forget(decoder.pid)
        self._stats.replaced += 1

    def kill_idle(self) -> None:
        """Kill the idle decoders; the next files get new ones."""
        while self._idle:
            self._discard(self._idle.pop())

    def close(self) -> None:
        """Close the idle decoders; those at work end with the forkserver."""
        for decoder in self._idle:
            decoder.close()
        self._idle.clear()


def _read_reply(reply: Message, name: str, memory_bytes: int) -> AudioClip:
    """The clip of a reply, or its error. Raises InputError, and RuntimeError for a fault in the decoder's own code."""
    try:
        match reply.fields:
            case {"clip": clip, "retires": _}:
                return AudioClip(samples=_map_samples(reply), **{key: _to_tuples(value) for key, value in clip.items()})
            case {"error": parts, "retires": _}:
                raise from_error_fields(parts)
            case {"exceeded": "memory", "retires": _}:
                raise AudioTooCostly(name, "memory", f"it takes more than {memory_bytes >> 20:,} MB of memory")
            case {"bug": trace, "retires": _}:
                raise RuntimeError(f"decoding failed in the decoder process:\n{trace}")
        raise RuntimeError(f"a decoder answered {sorted(reply.fields)}")
    finally:
        reply.close()


def _map_samples(reply: Message) -> NDArray[np.float32]:
    """The samples in the file that came with a reply, without a copy; the file ends with the last array of it."""
    (descriptor,) = reply.descriptors
    with os.fdopen(descriptor, "rb", closefd=False) as file:
        mapped = np.memmap(file, np.float32, mode="c")
    # long audio keeps the class by which `release_pages` knows it
    return mapped if len(mapped) > MAX_MEMORY_S * 16_000 else np.asarray(mapped)


def _to_tuples(value: Any) -> Any:
    """JSON's lists as the tuples that they were."""
    return tuple(map(_to_tuples, value)) if isinstance(value, list) else value


def _explain_end(name: str, status: int | None, processor_s: float) -> AudioTooCostly | AudioUnreadable:
    """The error of a file whose decoder died."""
    ending = signal.SIGKILL if status is None else os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
    if ending == signal.SIGKILL:
        return AudioTooCostly(name, "killed", "its decoder was killed, as the system does when memory runs out")
    if ending == signal.SIGXCPU:
        return AudioTooCostly(name, "processor", f"it takes more than {processor_s:.0f} seconds of processor time")
    return AudioUnreadable(name, f"its decoder crashed ({describe_wait_status(status or 0)}); it is damaged or forged")
