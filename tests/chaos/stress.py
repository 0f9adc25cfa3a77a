"""`make stress`: a server under fuzzed uploads, bombs, forged tables, tiny chunks and frames, slow, half-closed and
disconnecting clients.

    python -m tests.chaos.stress [--artifact tiny.en] [--uploads 1000] [--disconnects 500] [--out FILE]

The server is a process of its own. Meanwhile a well-behaved client transcribes one clip over and over and must always
get the same text. Exits with 1 for a wrong response, when the server dies, or when memory, files or slots leak. Prints
the figures as JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any, TypeVar

import httpx

from benchmarks.process.usage import resident_memory_bytes
from neuron_whisper.bench.accuracy.metrics import percentile
from neuron_whisper.bench.process.server import ServerProcess
from tests.support.decoders import list_decoders, read_peak_mb
from tests.support.forged_files import generate_forgeries
from tests.support.hostile_clients import (
    SteadyClient,
    count_open_files,
    count_threads,
    disconnect,
    half_close,
    send_long_texts,
    send_uploads,
    slow_loris,
)
from tests.support.hostile_connections import (
    CONTINUATION,
    TEXT,
    exchange,
    make_chunked_upload,
    make_frame,
    make_upgrade,
    run_at_once,
)
from tests.support.hostile_files import generate_bombs, generate_uploads
from tests.support.servers import TRANSCRIPTIONS, tone, wait_for

T = TypeVar("T")
MAX_GROWTH_MB = 150  # of resident memory after hundreds of requests: arenas and caches of libraries, no more
MAX_DECODER_MB = 500  # its own code, and what a file of a few megabytes may take
SERVER_FLAGS = [
    "--header-timeout-s",
    "3",
    "--upload-idle-s",
    "3",
    "--max-audio-s",
    "600",
    "--max-decoded",
    "1GB",
    "--port",
    "0",
]


class StressedServer:
    """The server under stress, the figures of each load, and the problems found."""

    def __init__(self, url: str, pid: int, clip: bytes) -> None:
        self.url, self.pid, self.clip = url, pid, clip
        self.figures: dict[str, Any] = {}
        self.problems: list[str] = []

    def run_load(self, name: str, load: Coroutine[Any, Any, T]) -> T:
        """Run `load` next to a steady client; then wait until the server is idle and record its memory and files."""
        client, peak_bytes = SteadyClient(self.url, self.clip), 0

        async def watch_memory() -> None:
            nonlocal peak_bytes
            while True:
                peak_bytes = max(peak_bytes, self._resident_bytes())
                await asyncio.sleep(0.2)

        async def run() -> T:
            tasks = [asyncio.ensure_future(it) for it in (client.run(), watch_memory())]
            try:
                result = await load
                while not client.latencies_s:
                    await asyncio.sleep(0.2)
                return result
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

        started = time.monotonic()
        result = asyncio.run(run())
        took_s = time.monotonic() - started
        wait_for(self.url, requests=0, waiting=0, decoding=0)
        if client.failures or len(client.texts) != 1:
            self.problems.append(f"{name}: the steady client got {dict(client.failures)} and {len(client.texts)} texts")
        self.figures[name] = {
            "took_s": round(took_s, 1),
            "result": result,
            "steady_client_served": sum(client.texts.values()),
            "steady_client_p50_s": round(percentile(client.latencies_s, 50), 2),
            "steady_client_p99_s": round(percentile(client.latencies_s, 99), 2),
            "resident_mb": self._resident_bytes() >> 20,
            "peak_mb": peak_bytes >> 20,
            "files": count_open_files(self.pid),
            "threads": count_threads(self.pid),
        }
        sys.stderr.write(f"{name}: {json.dumps(self.figures[name])}\n")
        return result

    def _resident_bytes(self) -> int:
        return resident_memory_bytes(self.pid)

    def check_decoders(self) -> None:
        """Compare the most memory that a decoder process has had, and that the server has had, with what is allowed."""
        decoders = {pid: read_peak_mb(pid) for pid in list_decoders(self.pid)}
        figures = self.figures["forged tables"]
        figures["decoders_peak_mb"] = sorted(decoders.values())
        if max(decoders.values(), default=0) > MAX_DECODER_MB:
            self.problems.append(f"a decoder took {max(decoders.values())} MB")
        if figures["peak_mb"] - self.figures["bombs"]["resident_mb"] > MAX_GROWTH_MB:
            self.problems.append(f"forged tables took {figures['peak_mb']} MB of the server")

    def check_leaks(self) -> None:
        """Compare the end with the first half of the uploads, after which every graph and thread exists."""
        first, last = self.figures["uploads, first half"], list(self.figures.values())[-1]
        if last["resident_mb"] - first["resident_mb"] > MAX_GROWTH_MB:
            self.problems.append(f"memory grew from {first['resident_mb']} to {last['resident_mb']} MB")
        if last["files"] > first["files"] + 5:
            self.problems.append(f"open files grew from {first['files']} to {last['files']}")
        if last["threads"] > first["threads"] + 8:  # asyncio's pool grows to its size and stays
            self.problems.append(f"threads grew from {first['threads']} to {last['threads']}")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--artifact", default="tiny.en")
    parser.add_argument("--speech", type=Path, help="a recording: the clip of the steady client, also fuzzed")
    parser.add_argument("--uploads", type=int, default=1000)
    parser.add_argument("--disconnects", type=int, default=500)
    parser.add_argument("--slow", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="write the figures to this file, too")
    given = parser.parse_args(arguments)
    clip = given.speech.read_bytes() if given.speech else tone(seconds=2.0)
    command = [sys.executable, "-m", "neuron_whisper", "serve", "--artifact", given.artifact, *SERVER_FLAGS]
    with ServerProcess(command, ready_path="/health/ready") as server:
        stressed = StressedServer(server.url, server.pid, clip)
        _run_stress(stressed, given, clip)
        if (code := server.stop()) != 0:
            stressed.problems.append(f"the server exited with {code}")
        log = server.read_log().splitlines()
    errors = [line for line in log if " ERROR " in line or " CRITICAL " in line or line.startswith("Traceback")]
    stressed.problems += [f"log: {line.strip()}" for line in errors[:10]]
    document = {"figures": stressed.figures, "problems": stressed.problems}
    if given.out is not None:
        given.out.write_text(json.dumps(document, indent=1) + "\n")
    sys.stdout.write(json.dumps(document, indent=1) + "\n")
    return 1 if stressed.problems else 0


WARM_UP_FORMS: tuple[dict[str, str], ...] = (  # forms that together use every graph
    {},
    {"prompt": "a few words before " * 3},
    {"prompt": "many words before " * 60},
    {"beam_size": "5"},
    {"temperature": "0.5"},
    {"temperature": "0.5", "best_of": "5"},
    {"response_format": "verbose_json", "timestamp_granularities[]": "word"},
)


async def _warm_up(url: str, clip: bytes) -> int:
    """Use every graph once: compiled graphs stay in memory, which is no leak. Returns the number of requests."""
    async with httpx.AsyncClient(timeout=120) as client:
        for at_once in (1, 4):
            for form in WARM_UP_FORMS:
                posts = (client.post(url + TRANSCRIPTIONS, files={"file": clip}, data=form) for _ in range(at_once))
                for response in await asyncio.gather(*posts):
                    response.raise_for_status()
    return 5 * len(WARM_UP_FORMS)


def _attack_at_once(attack: Callable[[], object]) -> int:
    return len(run_at_once(30, attack))


def _list_connection_attacks(server: StressedServer) -> list[tuple[str, Callable[[], object]]]:
    """Attacks of one connection each, which ends when the server closes it."""
    host, _, port = server.url.removeprefix("http://").partition(":")
    address = (host, int(port))
    chunks = make_chunked_upload(bytes(200_000), 1)
    begun = make_frame(TEXT, b"{", is_final=False)
    fragments = begun + make_frame(CONTINUATION, is_final=False) * 200_000
    with_body = make_upgrade("/v1/realtime", "Content-Length: 5")
    return [
        ("chunks of a byte", lambda: exchange(address, chunks)),
        ("empty fragments", lambda: exchange(address, make_upgrade(), fragments)),
        ("half a handshake", lambda: exchange(address, with_body)),
    ]


def _run_stress(server: StressedServer, given: argparse.Namespace, clip: bytes) -> None:
    server.run_load("every graph once", _warm_up(server.url, clip))
    extra, half = [clip] if given.speech else [], given.uploads // 2
    for name, seed in (("uploads, first half", given.seed), ("uploads, second half", given.seed + 1)):
        _, problems = server.run_load(
            name, send_uploads(server.url, generate_uploads(half, seed=seed, extra_recordings=extra), at_once=8)
        )
        server.problems += problems
    statuses, problems = server.run_load("bombs", send_uploads(server.url, generate_bombs(hours=40, flac_s=100)))
    server.problems += problems
    if statuses["bomb: opus: 413"] != 1:  # the FLAC is short enough: 600 MB of samples in 47 KB, decoded in blocks
        server.problems.append(f"statuses of the bombs: {dict(statuses)}")
    _, problems = server.run_load("forged tables", send_uploads(server.url, generate_forgeries()))
    server.problems += problems
    server.check_decoders()
    closed = server.run_load("slow-loris", slow_loris(server.url, given.slow, for_s=60.0))
    if closed < given.slow:
        server.problems.append(f"{given.slow - closed} slow connections were left open")
    refused = server.run_load("texts of 15 MB", send_long_texts(server.url, 10))
    if refused < 20:
        server.problems.append(f"{20 - refused} long texts were not refused")
    for name, attack in _list_connection_attacks(server):
        server.run_load(name, asyncio.to_thread(_attack_at_once, attack))
    server.run_load("half-closed", half_close(server.url, 50))
    server.run_load("disconnects", disconnect(server.url, given.disconnects, given.seed))
    server.check_leaks()


if __name__ == "__main__":
    sys.exit(main())
