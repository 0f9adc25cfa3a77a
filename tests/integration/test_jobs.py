"""Jobs over the wire: results, progress, cancellation, listing, limits and refusals."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from neuron_whisper.server.http.api_keys import create_key, write_keys
from tests.support.job_clients import JOBS, NO_FALLBACK, StepGate, create_job, get_result, jobs_settings, wait_for_job
from tests.support.servers import TIMEOUT_S, RunningServer, read_error, run_server, tone

LONG = tone(330.0, 40.0, rate=8000)  # windows one after another


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with run_server(jobs_settings(tmp_path_factory.mktemp("jobs"))) as made:
        yield made


@pytest.fixture
def client(server: RunningServer) -> Iterator[httpx.Client]:
    with server.client() as made:
        yield made


# --- results and progress -------------------------------------------------------------------------


@pytest.mark.parametrize("fmt", ["json", "text", "srt", "verbose_json", "vtt"])
def test_the_result_of_a_job_is_the_response_of_a_request_in_every_format(
    server: RunningServer, client: httpx.Client, fmt: str
) -> None:
    job = create_job(client, LONG, response_format=fmt, language="en", **NO_FALLBACK)
    assert (job["object"], job["status"], job["attempts"], job["model"]) == ("job", "queued", 0, "turbo")
    done = wait_for_job(client, job["id"], "succeeded")
    assert (done["attempts"], done["restart_reason"], done["progress"]) == (1, None, None)
    assert done["usage"] == {"type": "duration", "seconds": 40}
    assert done["expires_at"] - done["ended_at"] == 86_400
    answer, direct = get_result(client, job["id"]), server.post(LONG, response_format=fmt, language="en", **NO_FALLBACK)
    assert (answer.content, answer.headers["content-type"]) == (direct.content, direct.headers["content-type"])


def test_a_result_is_available_in_any_format_afterwards(server: RunningServer, client: httpx.Client) -> None:
    job = create_job(client, LONG, **NO_FALLBACK)
    wait_for_job(client, job["id"], "succeeded")
    for fmt in ("srt", "verbose_json"):
        assert (
            get_result(client, job["id"], fmt).content == server.post(LONG, response_format=fmt, **NO_FALLBACK).content
        )
    table = get_result(client, job["id"], "tsv")
    assert table.headers["content-type"].startswith("text/tab-separated-values")
    assert table.text.startswith("start\tend\ttext\n")
    assert read_error(get_result(client, job["id"], "docx"), 400)["param"] == "format"


def test_jobs_support_words_and_translation(server: RunningServer, client: httpx.Client) -> None:
    words = {"response_format": "verbose_json", "timestamp_granularities[]": "word"}
    job = create_job(client, None, **words, task="translate")
    wait_for_job(client, job["id"], "succeeded")
    direct = server.post(None, "/v1/audio/translations", **words)
    assert get_result(client, job["id"]).content == direct.content
    assert direct.json()["task"] == "translate"
    assert direct.json()["words"]


def test_unreadable_audio_fails_with_the_error_of_a_request(server: RunningServer, client: httpx.Client) -> None:
    job = create_job(client, b"no sound at all")
    failed = wait_for_job(client, job["id"], "failed")
    direct = read_error(server.post(b"no sound at all"), 400)
    assert failed["error"] == {name: direct[name] for name in ("message", "code", "param")}
    assert read_error(get_result(client, job["id"]), 409)["code"] == "invalid_job_state"


def test_a_running_job_has_progress_and_segments(tmp_path: Path) -> None:
    with run_server(jobs_settings(tmp_path)) as server, server.client() as client:
        server.session.gate = StepGate(14)  # type: ignore[assignment]  # one window and a part of the next
        job = create_job(client, LONG, **NO_FALLBACK)
        running_job = wait_for_job(client, job["id"], lambda it: it["progress"] and it["progress"]["segments"])
        progress = running_job["progress"]
        assert (progress["stage"], progress["total_s"]) == ("transcribing", 40.0)
        assert 0 < progress["done_s"] <= 30
        said = client.get(f"{JOBS}/{job['id']}/segments").json()
        assert (said["status"], len(said["data"])) == ("running", progress["segments"])
        server.session.gate.set()
        wait_for_job(client, job["id"], "succeeded")
        known = progress["segments"]
        rest = client.get(f"{JOBS}/{job['id']}/segments", params={"after": known}).json()["data"]
        whole = get_result(client, job["id"], "verbose_json").json()["segments"]
        assert [it["text"] for it in (*said["data"], *rest)] == [it["text"] for it in whole]


@pytest.mark.parametrize("jump_s", [7 * 86_400.0, -7 * 86_400.0], ids=["ahead", "back"])
def test_a_clock_change_disturbs_no_running_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, jump_s: float
) -> None:
    """Neither a streamed request, nor a running or a queued job; stored jobs keep their times."""
    real = time.time
    with run_server(jobs_settings(tmp_path), slots=2) as server, server.client() as client:
        before = create_job(client, LONG, **NO_FALLBACK)
        wait_for_job(client, before["id"], "succeeded")
        server.session.gate = StepGate(14)  # type: ignore[assignment]
        runs, waits = (create_job(client, LONG, **NO_FALLBACK) for _ in range(2))
        wait_for_job(client, runs["id"], "running")
        with ThreadPoolExecutor(1) as other:
            streamed = other.submit(server.post, LONG, stream="true")
            server.wait_for(requests=1)
            monkeypatch.setattr(time, "time", lambda: real() + jump_s)
            server.session.gate.set()
            assert '"type":"transcript.text.done"' in streamed.result().text
        for job in (runs, waits):
            done = wait_for_job(client, job["id"], "succeeded")
            assert get_result(client, job["id"]).status_code == 200
            assert done["attempts"] == 1
        assert client.get("/health/live").status_code == client.get("/health/ready").status_code == 200
        late = wait_for_job(client, create_job(client, None, **NO_FALLBACK)["id"], "succeeded")
        assert abs(late["ended_at"] - real() - jump_s) < TIMEOUT_S


def test_requests_are_answered_while_a_job_runs(tmp_path: Path) -> None:
    with run_server(jobs_settings(tmp_path), slots=2) as server, server.client() as client:
        job = create_job(client, tone(330.0, 120.0, rate=8000), **NO_FALLBACK)
        wait_for_job(client, job["id"], "running")
        assert server.post(tone(500.0)).status_code == 200
        assert wait_for_job(client, job["id"], "succeeded")["usage"]["seconds"] == 120


# --- cancel, delete, list -------------------------------------------------------------------------


def test_a_cancelled_running_job_frees_its_slot(tmp_path: Path) -> None:
    with run_server(jobs_settings(tmp_path), slots=1) as server, server.client() as client:
        server.session.gate.clear()
        first, second = create_job(client, LONG, **NO_FALLBACK), create_job(client, LONG, **NO_FALLBACK)
        wait_for_job(client, first["id"], lambda job: job["progress"] and job["progress"]["stage"] == "transcribing")
        server.wait_for(decoding=1)
        waiting = client.post(f"{JOBS}/{second['id']}/cancel").json()
        assert (waiting["status"], waiting["attempts"]) == ("cancelled", 0)
        assert client.post(f"{JOBS}/{first['id']}/cancel").json()["status"] == "cancelled"
        assert (
            client.post(f"{JOBS}/{first['id']}/cancel").json()["status"] == "cancelled"
        )  # cancelling twice is no error
        server.session.gate.set()
        assert server.post().status_code == 200
        assert read_error(get_result(client, first["id"]), 409)
        assert list((tmp_path / "jobs" / "uploads").iterdir()) == []


def test_a_deleted_job_leaves_nothing(tmp_path: Path) -> None:
    with run_server(jobs_settings(tmp_path)) as server, server.client() as client:
        done = create_job(client, **NO_FALLBACK)
        wait_for_job(client, done["id"], "succeeded")
        server.session.gate.clear()
        held = create_job(client, **NO_FALLBACK)
        wait_for_job(client, held["id"], "running")
        for job in (done, held):
            assert client.delete(f"{JOBS}/{job['id']}").json() == {
                "id": job["id"],
                "object": "job.deleted",
                "deleted": True,
            }
            assert read_error(client.get(f"{JOBS}/{job['id']}"), 404)["code"] == "job_not_found"
        server.session.gate.set()
        assert client.get(JOBS).json()["data"] == []
        for folder in ("uploads", "results"):
            assert list((tmp_path / "jobs" / folder).iterdir()) == []


def test_jobs_are_listed_newest_first_in_pages(tmp_path: Path) -> None:
    with run_server(jobs_settings(tmp_path)) as server, server.client() as client:
        made = [create_job(client, tone(200.0 + n), **NO_FALLBACK)["id"] for n in range(5)]
        for job_id in made:
            wait_for_job(client, job_id, "succeeded")
        first = client.get(JOBS, params={"limit": 3}).json()
        assert [job["id"] for job in first["data"]] == made[:1:-1]
        assert (first["object"], first["has_more"], first["last_id"]) == ("list", True, made[2])
        second = client.get(JOBS, params={"limit": 3, "after": first["last_id"]}).json()
        assert ([job["id"] for job in second["data"]], second["has_more"]) == (made[1::-1], False)
        assert client.get(JOBS, params={"status": "failed"}).json()["data"] == []


def test_an_api_key_has_no_access_to_the_jobs_of_another(tmp_path: Path) -> None:
    made = [create_key(name, ["user"], created="2026-11-25", max_requests=None) for name in ("ann", "bob")]
    write_keys(tmp_path / "keys.json", [stored for _, stored in made])
    ann, bob = ({"authorization": f"Bearer {text}"} for text, _ in made)
    with run_server(jobs_settings(tmp_path, keys_file=tmp_path / "keys.json")) as server, server.client() as client:
        job_id = client.post(JOBS, files={"file": tone()}, data=NO_FALLBACK, headers=ann).json()["id"]
        assert read_error(client.get(JOBS), 401)
        assert client.get(JOBS, headers=bob).json()["data"] == []
        for asked in ("GET ", "GET /result", "GET /segments", "GET /peaks", "POST /cancel", "DELETE "):
            method, path = asked.split(" ")
            error = read_error(client.request(method, f"{JOBS}/{job_id}{path}", headers=bob), 404)
            assert error["message"] == f"no job '{job_id}'"
        assert client.get(f"{JOBS}/{job_id}", headers=ann).status_code == 200


def test_one_key_cannot_take_all_room(tmp_path: Path) -> None:
    made = [create_key(name, ["user"], created="2026-11-25", max_requests=None) for name in ("ann", "bob")]
    write_keys(tmp_path / "keys.json", [stored for _, stored in made])
    ann, bob = ({"authorization": f"Bearer {text}"} for text, _ in made)
    settings = jobs_settings(tmp_path, keys_file=tmp_path / "keys.json", jobs_max_bytes=100_000, jobs_max=4)
    with run_server(settings) as server, server.client() as client:
        server.session.gate.clear()
        clip = {"file": tone(seconds=1.5)}  # 48 kB
        assert client.post(JOBS, files=clip, headers=ann).status_code == 201
        refused = read_error(client.post(JOBS, files=clip, headers=ann), 503)
        assert refused["code"] == "jobs_full"
        assert "of your API key" in refused["message"]
        assert client.post(JOBS, files=clip, headers=bob).status_code == 201
        server.session.gate.set()


# --- what is refused ------------------------------------------------------------------------------


def test_uploads_that_send_nothing_take_no_room(tmp_path: Path) -> None:
    settings = jobs_settings(tmp_path, jobs_max_bytes=100_000, jobs_max_upload_bytes=100_000)
    head = f"POST {JOBS} HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=edge\r\n"
    with run_server(settings) as server, server.client() as client:
        held = [socket.create_connection(server.address) for _ in range(4)]
        for number, connection in enumerate(held):
            length = "Transfer-Encoding: chunked" if number % 2 else "Content-Length: 90000"
            connection.sendall(f"{head}{length}\r\n\r\n".encode())
        server.wait_for(requests=4)
        create_job(client)
        for connection in held:
            connection.close()


def test_jobs_and_bytes_over_the_limits_are_refused(tmp_path: Path) -> None:
    settings = jobs_settings(tmp_path, jobs_max=2, jobs_max_bytes=100_000, jobs_max_upload_bytes=70_000)
    with run_server(settings) as server, server.client() as client:
        server.session.gate.clear()
        read_error(client.post(JOBS, files={"file": tone(seconds=3.0)}), 413)
        first = create_job(client, tone(seconds=2.0), **NO_FALLBACK)  # 64 kB
        answer = client.post(JOBS, files={"file": tone(seconds=2.0)})
        assert read_error(answer, 503)["code"] == "jobs_full"
        assert int(answer.headers["retry-after"]) >= 1
        create_job(client, tone(seconds=0.5))
        assert read_error(client.post(JOBS, files={"file": tone(seconds=0.1)}), 503)["code"] == "jobs_full"
        assert len(list((tmp_path / "jobs" / "uploads").iterdir())) == 2
        server.session.gate.set()
        wait_for_job(client, first["id"], "succeeded")
        client.delete(f"{JOBS}/{first['id']}")
        create_job(client, **NO_FALLBACK)


# --- storage --------------------------------------------------------------------------------------


def test_a_job_is_deleted_when_it_expires(tmp_path: Path) -> None:
    with run_server(jobs_settings(tmp_path, jobs_retention_s=1.0)) as server, server.client() as client:
        job = create_job(client, **NO_FALLBACK)
        wait_for_job(client, job["id"], "succeeded")
        for _ in range(500):
            if client.get(f"{JOBS}/{job['id']}").status_code == 404:
                break
            time.sleep(0.02)
        assert read_error(client.get(f"{JOBS}/{job['id']}"), 404)
        assert list((tmp_path / "jobs" / "results").iterdir()) == []


def test_metrics_count_the_jobs_by_status(client: httpx.Client) -> None:
    wait_for_job(client, create_job(client, **NO_FALLBACK)["id"], "succeeded")
    metrics = client.get("/metrics").text
    assert re.search(r'^neuron_whisper_jobs\{status="succeeded"\} [1-9]', metrics, re.MULTILINE)
    assert 'neuron_whisper_jobs{status="running"} 0.0' in metrics
    assert "neuron_whisper_jobs_stored_bytes" in metrics


def test_without_jobs_dir_there_are_no_job_routes() -> None:
    with run_server() as server, server.client() as client:
        assert read_error(client.get(JOBS), 404)["code"] == "unknown_url"


def test_a_deferred_job_has_its_reason_and_counts_no_attempt(tmp_path: Path) -> None:
    with (
        run_server(jobs_settings(tmp_path), slots=1, queue_limit=1) as server,
        server.client() as client,
        ThreadPoolExecutor() as clients,
    ):
        server.session.gate.clear()
        answers = [clients.submit(server.post)]
        server.wait_for(decoding=1)
        answers.append(clients.submit(server.post))
        server.wait_for(waiting=1)
        waiting = wait_for_job(client, create_job(client, **NO_FALLBACK)["id"], lambda job: job["waiting_reason"])
        assert waiting["waiting_reason"] == "the queue is full: 1 windows are waiting"
        server.session.gate.set()
        assert [it.result().status_code for it in answers] == [200, 200]
        done = wait_for_job(client, waiting["id"], "succeeded")
        assert (done["attempts"], done["waiting_reason"]) == (1, None)
