"""Requests that a job makes the server send, over the wire: downloads and webhooks, to allowed origins only."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from standardwebhooks import Webhook

from neuron_whisper.errors import InvalidOption
from neuron_whisper.server import ServerSettings
from tests.support.job_clients import (
    JOBS,
    NO_FALLBACK,
    FakeRemoteServer,
    create_job,
    get_job,
    get_result,
    run_remote_server,
    wait_for_job,
)
from tests.support.servers import RunningServer, read_error, run_server, tone

SECRET = b"thirty-two bytes, more or less.."
LOOPBACK = ("127.0.0.0/8",)


@contextmanager
def run_jobs_server(
    directory: Path, other: FakeRemoteServer, **settings: Any
) -> Iterator[tuple[RunningServer, httpx.Client]]:
    chosen: dict[str, Any] = {
        "jobs_url_origins": (other.url,),
        "webhook_origins": (other.url,),
        "private_networks": LOOPBACK,
        "webhook_secret": f"whsec_{base64.b64encode(SECRET).decode()}",
        "webhook_retry_s": 0.01,
    }
    made = ServerSettings(vad_filter=False, jobs_dir=directory / "jobs", **(chosen | settings))
    with run_server(made) as server, server.client() as client:
        yield server, client


def create_job_from_url(client: httpx.Client, url: str, **fields: str) -> dict[str, Any]:
    answer = client.post(
        JOBS, files={name: (None, value) for name, value in {"url": url, **NO_FALLBACK, **fields}.items()}
    )
    assert answer.status_code == 201, answer.text
    job = answer.json()
    assert isinstance(job, dict)
    return job


# --- audio from a URL -----------------------------------------------------------------------------


def test_a_job_of_a_url_has_the_result_of_a_job_of_the_file(tmp_path: Path) -> None:
    with run_remote_server() as other, run_jobs_server(tmp_path, other) as (server, client):
        other.files["/talk.wav"] = tone()
        job = create_job_from_url(client, f"{other.url}/talk.wav", response_format="text")
        assert (job["url"], job["file_name"]) == (f"{other.url}/talk.wav", "talk.wav")
        wait_for_job(client, job["id"], "succeeded")
        assert get_result(client, job["id"]).text == server.post(response_format="text", **NO_FALLBACK).text
        assert list((tmp_path / "jobs" / "uploads").iterdir()) == []


def test_a_slow_host_holds_neither_the_job_slot_nor_the_downloads(tmp_path: Path) -> None:
    with run_remote_server() as slow, run_remote_server() as other:
        origins = (slow.url, other.url)
        with run_jobs_server(tmp_path, other, jobs_url_origins=origins, jobs_at_once=1) as (_, client):
            slow.files["/slow.wav"] = other.files["/talk.wav"] = tone()
            slow.held_paths = {"/slow.wav"}
            # another name of the address, as a slow host has its own
            waiting = [create_job_from_url(client, f"{slow.url}/slow.wav") for _ in range(5)]
            wait_for_job(client, waiting[1]["id"], lambda job: (job["progress"] or {}).get("stage") == "downloading")
            uploaded = create_job(client)
            wait_for_job(client, uploaded["id"], "succeeded")
            assert get_job(client, waiting[0]["id"])["progress"]["stage"] == "downloading"
            assert get_job(client, waiting[2]["id"])["status"] == "queued"
            slow.release.set()
            for job in waiting:
                assert wait_for_job(client, job["id"], "succeeded")["attempts"] == 1


@pytest.mark.parametrize("announces_length", [True, False])
def test_a_download_over_the_limit_is_refused(tmp_path: Path, announces_length: bool) -> None:
    with run_remote_server() as other, run_jobs_server(tmp_path, other, jobs_max_upload_bytes=100_000) as (_, client):
        other.files["/long.wav"], other.sends_content_length = bytes(5_000_000), announces_length
        failed = wait_for_job(client, create_job_from_url(client, f"{other.url}/long.wav")["id"], "failed")
        assert failed["error"]["code"] == "audio_too_large"
        assert failed["error"]["message"] == "long.wav: the file at the URL is larger than the limit of 100,000 bytes"
        assert list((tmp_path / "jobs" / "uploads").iterdir()) == []


def test_a_redirect_is_not_followed(tmp_path: Path) -> None:
    with run_remote_server() as other, run_jobs_server(tmp_path, other) as (_, client):
        other.files["/talk.wav"], other.redirects["/moved.wav"] = tone(), f"{other.url}/talk.wav"
        failed = wait_for_job(client, create_job_from_url(client, f"{other.url}/moved.wav")["id"], "failed")
        assert failed["error"] == {
            "message": "127.0.0.1: HTTP status 302; redirects are not followed",
            "code": "url_failed",
            "param": "url",
        }
        missing = wait_for_job(client, create_job_from_url(client, f"{other.url}/missing.wav")["id"], "failed")
        assert missing["error"]["message"] == "127.0.0.1: HTTP status 404"
        assert other.requested_paths == ["/moved.wav", "/missing.wav"]


def test_an_allowed_origin_at_a_private_address_needs_its_network_allowed_too(tmp_path: Path) -> None:
    with run_remote_server() as other, run_jobs_server(tmp_path, other, private_networks=()) as (_, client):
        other.files["/talk.wav"] = tone()
        failed = wait_for_job(client, create_job_from_url(client, f"{other.url}/talk.wav")["id"], "failed")
        assert (
            failed["error"]["message"] == "127.0.0.1: the host has no allowed address; see the setting private_networks"
        )
        assert other.requested_paths == []
        # a name that means this machine is no better
        unlisted = client.post(JOBS, files={"url": (None, other.url.replace("127.0.0.1", "localhost"))})
        assert read_error(unlisted, 400)["param"] == "url"


# --- webhooks -------------------------------------------------------------------------------------


def test_a_webhook_is_signed_and_retried_until_the_response_is_2xx(tmp_path: Path) -> None:
    with run_remote_server() as other, run_jobs_server(tmp_path, other) as (_, client):
        other.statuses = [500, 302]
        job = create_job(client, **NO_FALLBACK, webhook_url=f"{other.url}/hook")
        assert job["webhook"] == {"url": f"{other.url}/hook", "status": None, "attempts": 0, "last_error": None}
        done = wait_for_job(client, job["id"], lambda it: it["webhook"]["status"] == "delivered")
        assert (done["webhook"]["attempts"], done["webhook"]["last_error"]) == (3, None)
        assert len(other.posts) == 3
        assert len({headers["webhook-id"] for headers, _ in other.posts}) == 1
        for headers, body in other.posts:
            Webhook(SECRET).verify(body, headers)  # the signature, and a timestamp of the last five minutes
        event = json.loads(other.posts[-1][1])
        assert (event["type"], event["data"]["id"]) == ("job.succeeded", job["id"])
        assert event["data"]["status"] == "succeeded"
        assert "text" not in event["data"]


def test_webhooks_are_sent_for_failed_and_cancelled_jobs(tmp_path: Path) -> None:
    with run_remote_server() as other, run_jobs_server(tmp_path, other) as (server, client):
        failed = create_job(client, b"no sound", webhook_url=f"{other.url}/hook")
        wait_for_job(client, failed["id"], lambda it: it["webhook"]["status"] == "delivered")
        server.session.gate.clear()
        held = create_job(client, **NO_FALLBACK, webhook_url=f"{other.url}/hook")
        client.post(f"{JOBS}/{held['id']}/cancel")
        wait_for_job(client, held["id"], lambda it: it["webhook"]["status"] == "delivered")
        assert [json.loads(body)["type"] for _, body in other.posts] == ["job.failed", "job.cancelled"]


def test_a_webhook_whose_receiver_responds_410_is_not_retried(tmp_path: Path) -> None:
    with run_remote_server() as other, run_jobs_server(tmp_path, other) as (_, client):
        other.statuses = [410]
        job = create_job(client, **NO_FALLBACK, webhook_url=f"{other.url}/hook")
        failed = wait_for_job(client, job["id"], lambda it: it["webhook"]["status"] == "failed")
        assert (failed["webhook"]["attempts"], failed["webhook"]["last_error"]) == (1, "HTTP status 410")


def test_a_pending_webhook_is_sent_by_the_next_server(tmp_path: Path) -> None:
    with run_remote_server() as other:
        with run_jobs_server(tmp_path, other, webhook_retry_s=1.0) as (_, client):
            other.statuses = [503]
            job = create_job(client, **NO_FALLBACK, webhook_url=f"{other.url}/hook")
            wait_for_job(client, job["id"], lambda it: it["webhook"]["attempts"] == 1)
        with run_jobs_server(tmp_path, other) as (_, client):
            done = wait_for_job(client, job["id"], lambda it: it["webhook"]["status"] == "delivered")
            assert done["webhook"]["attempts"] == 2
            first, second = (headers["webhook-id"] for headers, _ in other.posts)
            assert first == second


def test_webhook_origins_need_a_valid_secret(tmp_path: Path) -> None:
    with run_remote_server() as other:
        for secret in (None, "whsec_short", "not base64 at all!"):
            with (
                pytest.raises(InvalidOption, match=r"^webhook_secret: ") as refused,
                run_jobs_server(tmp_path, other, webhook_secret=secret),
            ):
                pass
            assert secret is None or secret not in str(refused.value)
