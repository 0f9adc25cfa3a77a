"""Decoder processes for tests."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from neuron_whisper.server.decoding.forkserver import ForkserverClient
from neuron_whisper.server.decoding.pool import DecoderLimits, DecoderPool, DecodingStats


@contextmanager
def run_decoders(
    size: int = 1, *, limits: DecoderLimits | None = None, stats: DecodingStats | None = None
) -> Iterator[DecoderPool]:
    """A pool and its forkserver, ended with everything they hold."""
    forkserver = ForkserverClient()
    pool = DecoderPool(forkserver, stats or DecodingStats(), size=size, limits=limits)
    try:
        yield pool
    finally:
        pool.close()
        forkserver.close()


def list_descendants(pid: int) -> list[int]:
    """The children of a process and theirs."""
    children = [int(it) for it in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    for task in Path(f"/proc/{pid}/task").iterdir():
        children += [int(it) for it in (task / "children").read_text().split() if int(it) not in children]
    return [*children, *(it for child in children for it in list_descendants(child))]


def list_decoders(pid: int | None = None) -> list[int]:
    """The decoders of a process, by default of this one: those below a forkserver that have none below them."""
    found = [it for it in list_descendants(pid or os.getpid()) if b"audio.process.forkserver" in read_command(it)]
    return [it for it in found if not list_descendants(it)]


def read_command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def read_peak_mb(pid: int) -> int:
    """The most resident memory that a process has had."""
    return int(re.findall(r"VmHWM:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[0]) >> 10
