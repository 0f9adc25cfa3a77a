"""`make stress`: a served model under fuzzed uploads, bombs, slow, half-closed and vanishing clients, with figures.

    python -m tests.chaos.stress [--artifact tiny.en] [--uploads 1000] [--disconnects 500] [--out FILE]

The server is a process of its own. A client that wants to be served asks all the while for one clip and must get one
text. Ends with 1 when anything is answered wrongly, the server dies, or something is left over: memory, files, slots.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any, TypeVar

import httpx

from benchmarks.process.usage import resident_memory_bytes
from neuron_whisper.bench.accuracy.metrics import percentile
from tests.support.hostile_clients import (
    SteadyClient,
    count_open_files,
    count_threads,
    disconnect,
    half_close,
    send_uploads,
    slow_loris,
)
from tests.support.hostile_files import generate_bombs, generate_uploads
from tests.support.servers import TRANSCRIPTIONS, tone, wait_for

T = TypeVar("T")
START_TIMEOUT_S = 120.0
MAX_GROWTH_MB = 150  # of resident memory after hundreds of requests: arenas and caches of libraries, no more
SERVER_FLAGS = (
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
)


class StressedServer:
    """The server under stress, and the figures of what was done to it."""

    def __init__(self, url: str, pid: int, clip: bytes) -> None:
        self.url, self.pid, self.clip = url, pid, clip
        self.figures: dict[str, Any] = {}
        self.problems: list[str] = []

    def run_beside_neighbour(self, name: str, work: Coroutine[Any, Any, T]) -> T:
        """What `work` gives, while a neighbour asks; then what the process holds when it is idle again."""
        neighbour, most = SteadyClient(self.url, self.clip), 0

        async def look() -> None:
            nonlocal most
            while True:
                most = max(most, self._resident_bytes())
                await asyncio.sleep(0.2)

        async def both() -> T:
            beside = [asyncio.ensure_future(it) for it in (neighbour.run(), look())]
            try:
                found = await work
                while not neighbour.latencies_s:
                    await asyncio.sleep(0.2)
                return found
            finally:
                for task in beside:
                    task.cancel()
                await asyncio.gather(*beside, return_exceptions=True)

        began = time.monotonic()
        found = asyncio.run(both())
        took_s = time.monotonic() - began
        wait_for(self.url, requests=0, waiting=0, decoding=0)
        if neighbour.failures or len(neighbour.texts) != 1:
            self.problems.append(
                f"{name}: the neighbour got {dict(neighbour.failures)} and {len(neighbour.texts)} texts"
            )
        self.figures[name] = {
            "took_s": round(took_s, 1),
            "result": found,
            "neighbour_served": sum(neighbour.texts.values()),
            "neighbour_p50_s": round(percentile(neighbour.latencies_s, 50), 2),
            "neighbour_p99_s": round(percentile(neighbour.latencies_s, 99), 2),
            "resident_mb": self._resident_bytes() >> 20,
            "most_mb": most >> 20,
            "files": count_open_files(self.pid),
            "threads": count_threads(self.pid),
        }
        sys.stderr.write(f"{name}: {json.dumps(self.figures[name])}\n")
        return found

    def _resident_bytes(self) -> int:
        return resident_memory_bytes(self.pid)

    def check_leaks(self) -> None:
        """Nothing is left over, compared with the first half: by then every program and every thread is there."""
        first, last = self.figures["uploads, first half"], list(self.figures.values())[-1]
        if last["resident_mb"] - first["resident_mb"] > MAX_GROWTH_MB:
            self.problems.append(f"memory grew from {first['resident_mb']} to {last['resident_mb']} MB")
        if last["files"] > first["files"] + 5:
            self.problems.append(f"open files grew from {first['files']} to {last['files']}")
        if last["threads"] > first["threads"] + 8:  # of asyncio's pool, which grows to its size and stays
            self.problems.append(f"threads grew from {first['threads']} to {last['threads']}")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--artifact", default="tiny.en")
    parser.add_argument("--speech", type=Path, help="a recording: the neighbour's clip, which is mutated as well")
    parser.add_argument("--uploads", type=int, default=1000)
    parser.add_argument("--disconnects", type=int, default=500)
    parser.add_argument("--slow", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="the figures, as JSON")
    given = parser.parse_args(arguments)
    clip = given.speech.read_bytes() if given.speech else tone(seconds=2.0)
    with tempfile.TemporaryFile("w+") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "neuron_whisper", "serve", "--artifact", given.artifact, *SERVER_FLAGS],
            stderr=log,
            stdout=subprocess.DEVNULL,
        )
        try:
            url = _wait_for_address(server, log)
            it = StressedServer(url, server.pid, clip)
            _run_stress(it, given, clip)
            server.terminate()
            if (code := server.wait(60)) != 0:
                it.problems.append(f"the server ended with {code}")
        finally:
            server.kill()
            server.wait()
        log.seek(0)
        said = [line for line in log if " ERROR " in line or " CRITICAL " in line or line.startswith("Traceback")]
    it.problems += [f"the log says: {line.strip()}" for line in said[:10]]
    document = {"figures": it.figures, "wrong": it.problems}
    if given.out is not None:
        given.out.write_text(json.dumps(document, indent=1) + "\n")
    sys.stdout.write(json.dumps(document, indent=1) + "\n")
    return 1 if it.problems else 0


WARM_UP_FORMS: tuple[dict[str, str], ...] = (  # forms that between them ask for every graph
    {},
    {"prompt": "a few words before " * 3},
    {"prompt": "many words before " * 60},
    {"beam_size": "5"},
    {"temperature": "0.5"},
    {"temperature": "0.5", "best_of": "5"},
    {"response_format": "verbose_json", "timestamp_granularities[]": "word"},
)


async def _warm_up(url: str, clip: bytes) -> int:
    """Every program is compiled when it is first asked for, and stays: that is no leak. Returns the requests made."""
    async with httpx.AsyncClient(timeout=120) as client:
        for at_once in (1, 4):
            for form in WARM_UP_FORMS:
                sent = (client.post(url + TRANSCRIPTIONS, files={"file": clip}, data=form) for _ in range(at_once))
                for answer in await asyncio.gather(*sent):
                    answer.raise_for_status()
    return 5 * len(WARM_UP_FORMS)


def _run_stress(it: StressedServer, given: argparse.Namespace, clip: bytes) -> None:
    it.run_beside_neighbour("every program once", _warm_up(it.url, clip))
    more, half = [clip] if given.speech else [], given.uploads // 2
    for name, seed in (("uploads, first half", given.seed), ("uploads, second half", given.seed + 1)):
        _, wrong = it.run_beside_neighbour(
            name, send_uploads(it.url, generate_uploads(half, seed=seed, extra_recordings=more), at_once=8)
        )
        it.problems += wrong
    answers, wrong = it.run_beside_neighbour("bombs", send_uploads(it.url, generate_bombs(hours=40, flac_s=100)))
    it.problems += wrong
    if answers["bomb: opus: 413"] != 1:  # the FLAC is short: 600 MB of samples in 47 KB, which must not be held at once
        it.problems.append(f"bombs were answered {dict(answers)}")
    closed = it.run_beside_neighbour("slow-loris", slow_loris(it.url, given.slow, for_s=60.0))
    if closed < given.slow:
        it.problems.append(f"{given.slow - closed} slow connections were left open")
    it.run_beside_neighbour("half-closed", half_close(it.url, 50))
    it.run_beside_neighbour("disconnects", disconnect(it.url, given.disconnects, given.seed))
    it.check_leaks()


def _wait_for_address(server: subprocess.Popen[bytes], log: Any) -> str:
    ends = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < ends and server.poll() is None:
        log.seek(0)
        for line in log:
            if line.startswith("listening on ") and line.endswith("\n"):
                return str(line).removeprefix("listening on ").strip()
        time.sleep(0.2)
    log.seek(0)
    raise SystemExit(f"the server does not listen: {log.read()[-1000:]}")


if __name__ == "__main__":
    sys.exit(main())
