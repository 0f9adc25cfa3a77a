"""Decoder processes for tests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

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
