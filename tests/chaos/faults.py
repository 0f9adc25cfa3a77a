"""`make faults`: what clients see, and what is left, after a killed server, a dead worker, a full disk, a bad artifact.

    python -m tests.chaos.faults --artifact tiny.en --speech a.flac

Every server is a process of its own with a real model. Prints a table; exits with 1 when something is lost, wrong or
left over, or an error is not reported properly.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from neuron_whisper.artifact.cache_directory import default_cache_directory
from neuron_whisper.artifact.store import ArtifactStore
from neuron_whisper.audio.load import load_audio
from neuron_whisper.bench.process.memory import walk_process_tree
from neuron_whisper.bench.process.server import ServerProcess
from tests.support.job_clients import JOBS
from tests.support.servers import TRANSCRIPTIONS, wav
from tests.support.small_disks import small_disk

TIMEOUT_S = 300.0
DISK_BYTES = 8 << 20
Row = tuple[str, str, str]


class CheckFailed(AssertionError):
    """A fault had another effect than it must have."""


def check(holds: bool, what: str) -> None:
    if not holds:
        raise CheckFailed(what)


def repeat_ten_times(clip: bytes) -> bytes:
    """A wav of the recording ten times: long enough that its stream is still open when the server is killed."""
    return wav(np.clip(np.tile(load_audio(clip).samples, 10), -1, 1))


class FaultScenarios:
    """Each public method is one fault: returns what the client saw and what was left. Raises CheckFailed."""

    def __init__(self, artifact: str, clip: bytes, scratch: Path) -> None:
        self._artifact, self._clip, self._scratch = artifact, clip, scratch
        self._long = repeat_ten_times(clip)
        with self.run_server() as server:
            self._text = self._transcribe(server.url)

    @contextmanager
    def run_server(self, *flags: str) -> Iterator[ServerProcess]:
        command = [
            sys.executable,
            "-m",
            "neuron_whisper",
            "serve",
            "--artifact",
            self._artifact,
            "--port",
            "0",
            *flags,
        ]
        environment = {**os.environ, "TMPDIR": str(self._scratch)}
        with ServerProcess(command, environment, ready_path="/health/ready") as server:
            yield server

    def _transcribe(self, url: str) -> str:
        response = httpx.post(url + TRANSCRIPTIONS, files={"file": self._clip}, timeout=TIMEOUT_S)
        check(response.status_code == 200, f"a valid request got {response.status_code}: {response.text[:200]}")
        return str(response.json()["text"])

    def _check_serving(self, url: str) -> None:
        check(self._transcribe(url) == self._text, "the text differs afterwards")

    def server_killed_during_a_stream(self) -> tuple[str, str]:
        lines: list[str] = []
        with self.run_server() as server:
            with (
                suppress(httpx.TransportError),
                httpx.stream(
                    "POST",
                    server.url + TRANSCRIPTIONS,
                    files={"file": self._long},
                    data={"stream": "true"},
                    timeout=TIMEOUT_S,
                ) as response,
            ):
                os.kill(server.pid, signal.SIGKILL)
                lines += response.iter_lines()
            check(
                not any("transcript.text.done" in line for line in lines), "a killed server ended the stream properly"
            )
        with self.run_server() as server:
            self._check_serving(server.url)
        left = [path.name for path in self._scratch.iterdir()]
        return "the connection breaks, without transcript.text.done", f"{len(left)} files; the next server works"

    def server_killed_during_jobs(self) -> tuple[str, str]:
        directory = self._scratch / "jobs"
        ids = []
        with self.run_server("--jobs-dir", str(directory), "--jobs-max-attempts", "5") as server:
            for _ in range(4):
                response = httpx.post(server.url + JOBS, files={"file": self._clip}, timeout=TIMEOUT_S)
                check(response.status_code == 201, f"a job got {response.status_code}")
                ids.append(response.json()["id"])
            os.kill(server.pid, signal.SIGKILL)
        with self.run_server("--jobs-dir", str(directory), "--jobs-max-attempts", "5") as server:
            jobs = [self._wait_until_ended(server.url, job) for job in ids]
            texts = {
                httpx.get(f"{server.url}{JOBS}/{job}/result", params={"format": "text"}, timeout=60).text.strip()
                for job in ids
            }
        check(all(job["status"] == "succeeded" for job in jobs), f"jobs ended as {[job['status'] for job in jobs]}")
        check(texts == {self._text.strip()}, "the text of a job differs")
        restarted = sum(job["attempts"] > 1 for job in jobs)
        shutil.rmtree(directory)
        return "nothing: each client has the id of its job", f"{len(ids)} jobs succeeded, {restarted} of them restarted"

    def _wait_until_ended(self, url: str, job: str) -> dict[str, Any]:
        deadline = time.monotonic() + TIMEOUT_S
        while (response := httpx.get(f"{url}{JOBS}/{job}", timeout=60).json())["status"] in ("queued", "running"):
            check(time.monotonic() < deadline, f"job {job} does not end")
            time.sleep(0.1)
        return dict(response)

    def worker_killed_during_requests(self) -> tuple[str, str]:
        texts: list[str] = []
        with self.run_server("--replicas", "2") as server:
            _, *workers = walk_process_tree(server.pid)
            clients = [threading.Thread(target=lambda: texts.append(self._transcribe(server.url))) for _ in range(4)]
            for thread in clients:
                thread.start()
            time.sleep(0.3)
            os.kill(workers[-1], signal.SIGKILL)
            for thread in clients:
                thread.join()
            check(texts == [self._text] * 4, f"4 requests got {len(texts)} texts, {len(set(texts))} different")
            deadline = time.monotonic() + TIMEOUT_S
            while (
                len([*walk_process_tree(server.pid)]) <= len(workers)
                or httpx.get(server.url + "/health/ready").is_error
            ):
                check(time.monotonic() < deadline, "the worker is not replaced")
                time.sleep(0.2)
            self._check_serving(server.url)
        return "its text: another worker decodes the windows again", "the worker is replaced"

    def disk_full(self) -> tuple[str, str]:
        disk = self._scratch / "disk"
        disk.mkdir()
        with small_disk(disk, DISK_BYTES) as is_mounted:
            if not is_mounted:
                return "not tested: no file system can be mounted here", ""
            with self.run_server("--jobs-dir", str(disk / "jobs")) as server:
                (disk / "filler").write_bytes(bytes(DISK_BYTES - 300_000))
                response = httpx.post(server.url + JOBS, files={"file": self._clip}, timeout=60)
                check(response.status_code == 507, f"a job got {response.status_code}: {response.text[:200]}")
                check(response.json()["error"]["code"] == "storage_full", "the error code is not storage_full")
                check("retry-after" in response.headers, "there is no Retry-After")
                check(not [*(disk / "jobs" / "uploads").iterdir()], "a part of the upload is left")
                self._check_serving(server.url)
                (disk / "filler").unlink()
                response = httpx.post(server.url + JOBS, files={"file": self._clip}, timeout=60)
                check(response.is_success, f"with space again a job got {response.status_code}: {response.text[:200]}")
                check(
                    self._wait_until_ended(server.url, response.json()["id"])["status"] == "succeeded",
                    "the next job fails",
                )
        return "507 storage_full with Retry-After; requests succeed", "no part of the upload; jobs continue with space"

    def artifact_broken(self) -> tuple[str, str]:
        source = ArtifactStore(default_cache_directory()).resolve(self._artifact)
        cache = self._scratch / "cache"
        copied = cache / "artifacts" / source.path.name
        cache.mkdir(mode=0o700)
        shutil.copytree(source.path, copied)
        for folder in (cache / "artifacts", copied):
            folder.chmod(0o700)
        file = max((path for path in copied.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)
        file.chmod(0o600)
        with file.open("r+b") as weights:
            weights.truncate(file.stat().st_size - 1000)
        result = subprocess.run(
            [sys.executable, "-m", "neuron_whisper", "serve", "--artifact", copied.name, "--port", "0"],
            env={**os.environ, "NEURON_WHISPER_CACHE": str(cache)},
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
        check(result.returncode not in (0, -signal.SIGSEGV), f"it exited with {result.returncode}")
        check("Traceback" not in result.stderr, "it exited with a traceback")
        check(file.name in result.stderr, f"the broken file is not named: {result.stderr[-300:]}")
        check(copied.exists(), "the artifact is gone")
        shutil.rmtree(cache)
        return f"no port is opened: exit code {result.returncode}, the file named", "the artifact, as it was found"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--artifact", default="tiny.en")
    parser.add_argument("--speech", type=Path, required=True)
    given = parser.parse_args()
    rows: list[Row] = []
    failures = 0
    with tempfile.TemporaryDirectory() as scratch:
        scenarios = FaultScenarios(given.artifact, given.speech.read_bytes(), Path(scratch))
        faults: tuple[Callable[[], tuple[str, str]], ...] = (
            scenarios.server_killed_during_a_stream,
            scenarios.server_killed_during_jobs,
            scenarios.worker_killed_during_requests,
            scenarios.disk_full,
            scenarios.artifact_broken,
        )
        for fault in faults:
            name = fault.__name__.replace("_", " ")
            try:
                rows.append((name, *fault()))
            except CheckFailed as error:
                failures += 1
                rows.append((name, f"WRONG: {error}", ""))
            sys.stderr.write(f"{rows[-1]}\n")
    for row in (("fault", "the client sees", "what is left"), ("---",) * 3, *rows):
        sys.stdout.write(f"| {' | '.join(row)} |\n")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
