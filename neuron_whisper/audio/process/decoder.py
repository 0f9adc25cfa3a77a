"""The decoder process: decodes one file after another, under limits on its memory and processor time."""

from __future__ import annotations

import ctypes
import math
import os
import resource
import signal
import socket
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import fields
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from neuron_whisper.audio.clip import AudioClip
from neuron_whisper.audio.limits import AudioLimits
from neuron_whisper.audio.load import load_audio
from neuron_whisper.audio.process.messages import Message, MessageSocket, to_error_fields
from neuron_whisper.audio.sample_buffer import SpillableBuffer
from neuron_whisper.errors import InputError

PROGRESS_INTERVAL_S = 1.0
RETIRING_BYTES = 128 << 20  # a process whose heap has grown by this much is replaced
PR_SET_PDEATHSIG, PR_SET_NO_NEW_PRIVS = 1, 38  # linux/prctl.h
PAGE_BYTES = resource.getpagesize()


def run_decoder(connection: socket.socket, parent: int) -> None:
    """Decode the files that come in until the other end is closed, or `parent`, which forked this process, ends."""
    _confine_process(parent)
    messages = MessageSocket(connection)
    initial_bytes = read_data_bytes()
    while True:
        try:
            request = messages.receive()
        except EOFError:
            return
        messages.send({"accepted": True})  # what happens from here on is this file's doing
        reply, file = _answer(request, messages)
        reply["retires"] = read_data_bytes() - initial_bytes > RETIRING_BYTES
        messages.send(reply, *([file.fileno()] if file is not None else ()))
        if file is not None:
            file.close()


def _confine_process(parent: int) -> None:
    """End with the parent; be the first that the system kills when memory runs out; leave no core file."""
    if sys.platform == "linux":
        prctl = ctypes.CDLL(None).prctl
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        with suppress(OSError):
            Path("/proc/self/oom_score_adj").write_text("1000")
    if os.getppid() != parent:  # it ended before the lines above
        os._exit(0)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _answer(request: Message, messages: MessageSocket) -> tuple[dict[str, Any], BinaryIO | None]:
    """The reply to a request, and a file of the samples."""
    wanted, (descriptor,) = request.fields, request.descriptors
    buffer = TransferBuffer(_create_reporter(messages))
    try:
        _limit_resources(wanted["memory_bytes"], wanted["processor_s"])
        with os.fdopen(descriptor, "rb") as file:
            clip = load_audio(
                file, name=wanted["name"], limits=AudioLimits(**wanted["limits"]), buffer=buffer, **wanted["options"]
            )
            return _describe_clip(clip), buffer.to_file(clip.samples)
    except InputError as error:
        return {"error": to_error_fields(error)}, None
    except (MemoryError, ImportError, SystemError):  # the last two are of C code that does not look at what it got
        return {"exceeded": "memory"}, None
    except Exception:
        _lift_memory_limit()
        return {"bug": traceback.format_exc()}, None
    finally:
        _lift_memory_limit()
        buffer.release()


def _describe_clip(clip: AudioClip) -> dict[str, Any]:
    """Everything of a clip but its samples."""
    return {"clip": {field.name: getattr(clip, field.name) for field in fields(clip) if field.name != "samples"}}


def _create_reporter(messages: MessageSocket) -> Callable[[], None]:
    """A function that says at most once a second that the decoder goes on."""
    reported_at = time.monotonic()

    def report() -> None:
        nonlocal reported_at
        if time.monotonic() - reported_at > PROGRESS_INTERVAL_S:
            reported_at = time.monotonic()
            messages.send({"progress": True})

    return report


class TransferBuffer(SpillableBuffer):
    """Keeps a second descriptor of the file of its samples. `on_append` is called with every piece."""

    def __init__(self, on_append: Callable[[], None]) -> None:
        super().__init__()
        self._on_append = on_append
        self._descriptor: int | None = None
        self._samples: NDArray[np.float32] | None = None

    def append(self, piece: NDArray[np.float32]) -> None:
        super().append(piece)
        self._on_append()

    def _map_file(self) -> NDArray[np.float32]:
        self._descriptor = os.dup(self._file.fileno())
        self._samples = super()._map_file()
        return self._samples

    def to_file(self, samples: NDArray[np.float32]) -> BinaryIO:
        """A file of these samples alone: the one in which this buffer collected them, or one in memory."""
        if self._descriptor is not None and samples is self._samples:
            return os.fdopen(os.dup(self._descriptor), "rb")
        file = create_memory_file()
        file.write(np.ascontiguousarray(samples).data)
        file.flush()
        return file

    def release(self) -> None:
        """Close the descriptor."""
        if self._descriptor is not None:
            os.close(self._descriptor)


def create_memory_file() -> BinaryIO:
    """An unnamed file in memory, or in the directory of temporary files where the system has none in memory."""
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("neuron-whisper"), "w+b")
    return tempfile.TemporaryFile(prefix="neuron-whisper-")


# --- limits ------------------------------------------------------------------------------------


def _limit_resources(memory_bytes: int, processor_s: float) -> None:
    """From here on, let the process use so much memory and processor time in addition to what it has used."""
    if sys.platform == "linux":  # elsewhere the limit does not count mapped memory
        _set_soft_limit(resource.RLIMIT_DATA, read_data_bytes() + memory_bytes)
    used = resource.getrusage(resource.RUSAGE_SELF)
    _set_soft_limit(resource.RLIMIT_CPU, math.ceil(used.ru_utime + used.ru_stime + processor_s))


def _lift_memory_limit() -> None:
    _set_soft_limit(resource.RLIMIT_DATA, resource.RLIM_INFINITY)


def _set_soft_limit(kind: int, value: int) -> None:
    _, hard = resource.getrlimit(kind)
    if hard != resource.RLIM_INFINITY:
        value = hard if value == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(kind, (value, hard))


def read_data_bytes() -> int:
    """What RLIMIT_DATA counts: private memory that can be written, used or not; 0 where it cannot be read."""
    try:
        return int(Path("/proc/self/statm").read_bytes().split()[5]) * PAGE_BYTES
    except (OSError, ValueError, IndexError):
        return 0
