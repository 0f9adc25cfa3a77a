"""What decoding in a child process costs a clip, beside decoding it in this process.

    python -m benchmarks.profiling.decoding [--seconds 1] [--runs 300] [FILE ...]

Milliseconds, median and 95th percentile, for a WAV file of so many seconds and for each FILE; and the time from the
loss of a decoder to the next clip.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import sys
import time
import wave
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import numpy as np

from neuron_whisper.audio.limits import AudioLimits
from neuron_whisper.audio.load import load_audio
from neuron_whisper.audio.process.decoder import create_memory_file
from neuron_whisper.bench.accuracy.metrics import percentile
from neuron_whisper.server.decoding.forkserver import ForkserverClient
from neuron_whisper.server.decoding.pool import DecoderPool, DecodingStats


def make_wav(seconds: float) -> bytes:
    """A tone at 16 kHz, 16 bit."""
    samples = 0.3 * np.sin(2 * np.pi * 440 * np.arange(int(16_000 * seconds)) / 16_000)
    file = io.BytesIO()
    with wave.open(file, "wb") as output:
        output.setnchannels(1)
        output.setsampwidth(2)
        output.setframerate(16_000)
        output.writeframes((32_767 * samples).astype("<i2").tobytes())
    return file.getvalue()


async def measure_ms(call: Callable[[], Awaitable[None]], runs: int) -> list[float]:
    took_ms = []
    for _ in range(runs):
        started = time.perf_counter()
        await call()
        took_ms.append((time.perf_counter() - started) * 1e3)
    return took_ms


async def compare(pool: DecoderPool, name: str, content: bytes, runs: int) -> None:
    """Print both figures of one file."""

    async def decode_here() -> None:
        await asyncio.to_thread(load_audio, content)

    async def decode_in_child() -> None:
        with create_memory_file() as file:
            file.write(content)
            file.seek(0)
            await pool.decode(file, name=name, limits=AudioLimits())

    async def decode_after_kill() -> None:
        pool.kill_idle()
        await decode_in_child()

    for kind, call, n in (
        ("in this process", decode_here, runs),
        ("in a child process", decode_in_child, runs),
        ("in a new child process", decode_after_kill, max(1, runs // 10)),
    ):
        await call()
        took = await measure_ms(call, n)
        sys.stdout.write(f"{name}: {kind}: {percentile(took, 50):.2f} ms, p95 {percentile(took, 95):.2f} ms\n")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--runs", type=int, default=300)
    parser.add_argument("files", type=Path, nargs="*")
    given = parser.parse_args(arguments)
    clips = {f"{given.seconds:g} s WAV": make_wav(given.seconds), **{it.name: it.read_bytes() for it in given.files}}

    async def run() -> None:
        forkserver = ForkserverClient()
        pool = DecoderPool(forkserver, DecodingStats(), size=1)
        try:
            for name, content in clips.items():
                await compare(pool, name, content, given.runs)
        finally:
            pool.close()
            forkserver.close()

    asyncio.run(run())
    return 0


if __name__ == "__main__":
    sys.exit(main())
