"""Kills a server with SIGKILL repeatedly while jobs are created and run, and checks that none is lost or wrong.

    python -m tests.chaos.jobs_chaos --kills 20 --jobs 12 [--artifact tiny.en --speech a.flac --speech b.flac]

Without an artifact the server runs a synthetic program, which is fast. Prints one line of JSON.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx

from tests.integration.test_jobs_end import check_consistent
from tests.support.job_clients import JOBS, NO_FALLBACK
from tests.support.paths import ROOT
from tests.support.servers import TRANSCRIPTIONS, tone

TIMEOUT_S = 600.0


def server_command(directory: Path, artifact: str | None) -> list[str]:
    if artifact is None:
        return [sys.executable, "-m", "tests.support.servers", "30", "0", str(directory / "jobs"), "100"]
    return [
        sys.executable,
        "-m",
        "neuron_whisper",
        "serve",
        "--artifact",
        artifact,
        "--port",
        "0",
        "--jobs-dir",
        str(directory / "jobs"),
        "--jobs-max-attempts",
        "100",
        "--quiet",  # its log is not read
    ]


@contextmanager
def run_server(directory: Path, artifact: str | None) -> Iterator[tuple[subprocess.Popen[str], httpx.Client]]:
    process = subprocess.Popen(
        server_command(directory, artifact),
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT if artifact else None,
        text=True,
    )
    try:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write("\n")  # opens the gate of the synthetic program
        process.stdin.flush()
        for line in process.stdout:
            if "http://" in line:
                break
        with closing(httpx.Client(base_url=line[line.index("http://") :].strip(), timeout=60.0)) as client:
            yield process, client
    finally:
        process.kill()
        process.communicate()


def post_job(client: httpx.Client, clip: bytes, key: str) -> str | None:
    """The job's id; None where the server was killed before it responded."""
    try:
        answer = client.post(JOBS, files={"file": clip}, data=NO_FALLBACK, headers={"idempotency-key": key})
    except httpx.TransportError:
        return None
    answer.raise_for_status()
    return str(answer.json()["id"])


def run_chaos(directory: Path, clips: list[bytes], *, kills: int, jobs: int, artifact: str | None) -> dict[str, Any]:
    """Create `jobs` jobs, a few with each server process, and wait for all of them with the last."""
    rng, created = random.Random(0), dict[str, str | None]()
    keys = [f"job-{number}" for number in range(jobs)]
    for _ in range(kills):
        with run_server(directory, artifact) as (process, client):
            for key in [key for key in keys if created.get(key) is None][: -(-jobs // kills) + 1]:
                created[key] = post_job(client, clips[keys.index(key) % len(clips)], key)
            time.sleep(rng.uniform(0.0, 4.0))
            process.kill()
            process.wait()
        check_consistent(directory)
    with run_server(directory, artifact) as (_, client):
        ids = {key: created.get(key) or post_job(client, clips[keys.index(key) % len(clips)], key) for key in keys}
        texts, attempts = {}, []
        for key, job_id in ids.items():
            deadline = time.monotonic() + TIMEOUT_S
            while (job := client.get(f"{JOBS}/{job_id}").json())["status"] in ("queued", "running"):
                assert time.monotonic() < deadline, job
                time.sleep(0.1)
            assert job["status"] == "succeeded", job
            assert (job["attempts"] > 1) == (job["restart_reason"] is not None), job
            attempts.append(job["attempts"])
            texts[key] = client.get(f"{JOBS}/{job_id}/result", params={"format": "verbose_json"}).json()
        stored = client.get(JOBS, params={"limit": 100}).json()["data"]
        form = {**NO_FALLBACK, "response_format": "verbose_json"}
        direct = [client.post(TRANSCRIPTIONS, files={"file": clip}, data=form).json() for clip in clips]
    check_consistent(directory)
    wrong = sum(text != direct[keys.index(key) % len(clips)] for key, text in texts.items())
    return {
        "artifact": artifact or "synthetic",
        "kills": kills,
        "jobs": jobs,
        "jobs_stored": len(stored),
        "lost": 0,
        "wrong": wrong,
        "attempts": attempts,
        "restarted": sum(n > 1 for n in attempts),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--jobs", type=int, default=12)
    parser.add_argument("--artifact")
    parser.add_argument("--speech", action="append", type=Path, default=[])
    given = parser.parse_args()
    clips = [path.read_bytes() for path in given.speech] or [tone(200.0 + 90 * n, 35.0, rate=8000) for n in range(3)]
    with tempfile.TemporaryDirectory() as directory:
        figures = run_chaos(Path(directory), clips, kills=given.kills, jobs=given.jobs, artifact=given.artifact)
    print(json.dumps(figures))  # noqa: T201
    if figures["wrong"] or figures["jobs_stored"] != figures["jobs"]:
        sys.exit(1)


if __name__ == "__main__":
    main()
