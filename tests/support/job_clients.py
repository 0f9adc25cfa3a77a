"""Helpers for tests of jobs: a client's calls, a gate that counts steps, and a server for files and webhooks."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx

from neuron_whisper.server import ServerSettings
from tests.support.servers import TIMEOUT_S, tone

JOBS = "/v1/jobs"
POLL_INTERVAL_S = 0.005
# a FakeSession's text fails every fallback threshold, and would be decoded at every temperature
NO_FALLBACK: dict[str, Any] = {"logprob_threshold": "none", "compression_ratio_threshold": "none"}


class StepGate:
    """A gate of a FakeSession that lets `steps` decode steps pass and blocks the next until it is set."""

    def __init__(self, steps: int) -> None:
        self._steps_left, self._open = steps, threading.Event()

    def wait(self) -> None:
        if self._steps_left:
            self._steps_left -= 1
        else:
            self._open.wait()

    def set(self) -> None:
        self._open.set()


def jobs_settings(directory: Path, **settings: Any) -> ServerSettings:
    """Settings of a server with jobs below a directory."""
    return ServerSettings(vad_filter=False, jobs_dir=directory / "jobs", **settings)


def create_job(client: httpx.Client, audio: bytes | None = None, **fields: Any) -> dict[str, Any]:
    """Create a job; the request must succeed."""
    answer = client.post(JOBS, files={"file": ("tone.wav", audio or tone())}, data=fields)
    assert answer.status_code == 201, answer.text
    job = answer.json()
    assert answer.headers["location"] == f"{JOBS}/{job['id']}"
    assert isinstance(job, dict)
    return job


def get_job(client: httpx.Client, job_id: str) -> dict[str, Any]:
    answer = client.get(f"{JOBS}/{job_id}")
    assert answer.status_code == 200, answer.text
    job = answer.json()
    assert isinstance(job, dict)
    return job


def wait_for_job(client: httpx.Client, job_id: str, when: str | Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    """Poll the job until it has this status, or `when` is true of it."""
    deadline = time.monotonic() + TIMEOUT_S
    while time.monotonic() < deadline:
        job = get_job(client, job_id)
        if job["status"] == when if isinstance(when, str) else when(job):
            return job
        time.sleep(POLL_INTERVAL_S)
    raise AssertionError(f"the job never reached {when}: {job}")


def get_result(client: httpx.Client, job_id: str, fmt: str = "") -> httpx.Response:
    return client.get(f"{JOBS}/{job_id}/result", params={"format": fmt} if fmt else {})


class FakeRemoteServer:
    """Another server: GET serves `files`, POST records requests in `posts`; both use up `statuses` if there are any."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.redirects: dict[str, str] = {}
        self.sends_content_length = True
        self.statuses: list[int] = []
        self.held_paths: set[str] = set()  # answered when `release` is set
        self.release = threading.Event()
        self.posts: list[tuple[dict[str, str], bytes]] = []
        self.posted_paths: list[str] = []
        self.requested_paths: list[str] = []
        self.url = ""


class _Handler(BaseHTTPRequestHandler):
    remote: FakeRemoteServer

    def do_GET(self) -> None:
        self.remote.requested_paths.append(self.path)
        if self.path in self.remote.held_paths:
            self.remote.release.wait(TIMEOUT_S)
        if self.path in self.remote.redirects:
            self.send_response(302)
            self.send_header("location", self.remote.redirects[self.path])
            self.send_header("content-length", "0")
            self.end_headers()
            return
        content = self.remote.files.get(self.path)
        status = 200 if content is not None else 404
        self.send_response(self.remote.statuses.pop(0) if self.remote.statuses else status)
        if self.remote.sends_content_length:
            self.send_header("content-length", str(len(content or b"")))
        self.send_header("connection", "close")
        self.end_headers()
        self.wfile.write(content or b"")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.remote.posted_paths.append(self.path)
        self.remote.posts.append(({name.lower(): value for name, value in self.headers.items()}, body))
        self.send_response(self.remote.statuses.pop(0) if self.remote.statuses else 204)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def run_remote_server() -> Iterator[FakeRemoteServer]:
    """A server on the loopback address, which is not public."""
    here = FakeRemoteServer()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"remote": here}))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    here.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield here
    finally:
        here.release.set()
        server.shutdown()
        thread.join()
        server.server_close()
