"""Jobs outlive their server: after a kill, a drain or a device failure the next process continues them."""

from __future__ import annotations

import signal
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from neuron_whisper.server import ServerSettings
from neuron_whisper.server.jobs.runner import SERVER_STOPPED
from neuron_whisper.server.jobs.store import SERVER_CRASHED
from tests.integration.test_server_end import ServerProcess
from tests.support.job_clients import JOBS, NO_FALLBACK, create_job, get_result, wait_for_job
from tests.support.servers import TIMEOUT_S, run_server, tone, wait_for

LONG = tone(330.0, 40.0, rate=8000)


@contextmanager
def run_server_process(directory: Path, fault_at: str = "0") -> Iterator[tuple[ServerProcess, httpx.Client]]:
    with (
        ServerProcess("30", fault_at, str(directory / "jobs")) as process,
        httpx.Client(base_url=process.url, timeout=TIMEOUT_S, verify=False) as client,
    ):
        yield process, client


def check_consistent(directory: Path) -> None:
    """The database is intact, and every file belongs to a job."""
    with closing(sqlite3.connect(directory / "jobs" / "jobs.sqlite3")) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        jobs: dict[str, str] = dict(db.execute("SELECT id, status FROM jobs"))
    for path in (directory / "jobs" / "results").iterdir():
        assert jobs[path.stem] == "succeeded"
    assert {path.name for path in (directory / "jobs" / "peaks").iterdir()} <= jobs.keys()
    for job_id, status in jobs.items():
        assert (directory / "jobs" / "results" / f"{job_id}.json").exists() == (status == "succeeded")


@contextmanager
def run_next_server(directory: Path, **program: Any) -> Iterator[httpx.Client]:
    """A client of the next server on the same directory, in this process."""
    settings = ServerSettings(vad_filter=False, jobs_dir=directory / "jobs")
    with run_server(settings, **program) as server, server.client() as client:
        yield client


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The result of a job that was not interrupted."""
    with run_next_server(tmp_path_factory.mktemp("uninterrupted")) as client:
        job = create_job(client, LONG, **NO_FALLBACK)
        wait_for_job(client, job["id"], "succeeded")
        return get_result(client, job["id"], "verbose_json").content


def test_a_server_killed_during_jobs_and_an_upload_loses_no_job_and_leaves_no_partial_file(
    tmp_path: Path, uninterrupted: bytes
) -> None:
    with run_server_process(tmp_path) as (process, client):
        held, waiting = create_job(client, LONG, **NO_FALLBACK), create_job(client, tone(), **NO_FALLBACK)
        wait_for(process.url, decoding=1)
        address = httpx.URL(process.url)
        with socket.create_connection((address.host, address.port or 0)) as half:
            half.sendall(
                b"POST /v1/jobs HTTP/1.1\r\nhost: localhost\r\ncontent-length: 9000000\r\n"
                b"content-type: multipart/form-data; boundary=edge\r\n\r\n--edge\r\n"
                b'content-disposition: form-data; name="file"; filename="a.wav"\r\n\r\n' + bytes(3_000_000)
            )
            wait_for(process.url, requests=1)
            process.process.send_signal(signal.SIGKILL)
            process.process.wait(TIMEOUT_S)
    check_consistent(tmp_path)
    assert {path.name for path in (tmp_path / "jobs" / "uploads").iterdir()} == {held["id"], waiting["id"]}

    with run_next_server(tmp_path) as client:
        done = wait_for_job(client, held["id"], "succeeded")
        assert (done["attempts"], done["restart_reason"]) == (2, SERVER_CRASHED)
        assert get_result(client, held["id"], "verbose_json").content == uninterrupted
        other = wait_for_job(client, waiting["id"], "succeeded")
        assert (other["attempts"], other["restart_reason"]) == (1, None)
        assert len(client.get(JOBS).json()["data"]) == 2
    check_consistent(tmp_path)

    with run_next_server(tmp_path) as client:  # an ended job is not run again
        again = client.get(f"{JOBS}/{held['id']}").json()
        assert (again["status"], again["attempts"]) == ("succeeded", 2)
        assert get_result(client, held["id"], "verbose_json").content == uninterrupted


def test_a_terminated_server_leaves_its_jobs_to_the_next(tmp_path: Path, uninterrupted: bytes) -> None:
    with run_server_process(tmp_path) as (process, client):
        job = create_job(client, LONG, **NO_FALLBACK)
        wait_for(process.url, decoding=1)
        process.process.terminate()
        process.open_gate()
        assert process.process.wait(TIMEOUT_S) == 0
    with run_next_server(tmp_path) as client:
        done = wait_for_job(client, job["id"], "succeeded")
        assert (done["attempts"], done["restart_reason"]) == (2, SERVER_STOPPED)
        assert get_result(client, job["id"], "verbose_json").content == uninterrupted


def test_a_job_during_which_the_device_fails_each_time_fails(tmp_path: Path) -> None:
    with run_server_process(tmp_path, "1") as (process, client):
        job = create_job(client, tone(), **NO_FALLBACK)
        process.open_gate()
        assert process.process.wait(TIMEOUT_S) not in (0, None)
    for _ in range(2):
        with run_next_server(tmp_path, fault_at=1) as client, pytest.raises(httpx.TransportError):  # it ends by itself
            wait_for_job(client, job["id"], "succeeded")
    with run_next_server(tmp_path) as client:
        failed = client.get(f"{JOBS}/{job['id']}").json()
        assert (failed["status"], failed["attempts"]) == ("failed", 3)
        assert failed["error"] == {
            "message": "the device failed while the job ran, 3 times",
            "code": "too_many_attempts",
            "param": None,
        }
