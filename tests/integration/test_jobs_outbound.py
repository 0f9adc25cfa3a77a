"""What a job's client makes the server ask for: fetched audio and webhooks, within what the server allows."""

from __future__ import annotations

import base64
import hashlib
import hmac
import ipaddress
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from neuron_whisper.errors import InvalidOption
from neuron_whisper.server import ServerSettings
from neuron_whisper.server.jobs.download import file_name_from_url
from neuron_whisper.server.jobs.outbound import AllowedOrigins, is_allowed_address, parse_private_networks
from neuron_whisper.server.jobs.webhooks import decode_secret, sign
from tests.support.job_clients import (
    JOBS,
    NO_FALLBACK,
    FakeRemoteServer,
    create_job,
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


# --- origins and addresses ------------------------------------------------------------------------

ALLOWED = AllowedOrigins("origins", ("files.example.org", "*.cdn.example.org", "http://10.0.0.5:9000"))


@pytest.mark.parametrize(
    "url",
    [
        "https://files.example.org/a.mp3?x=1",
        "https://FILES.example.org:443/a",
        "https://files.example.org./a",
        "https://a.b.cdn.example.org/",
        "http://10.0.0.5:9000/a",
    ],
)
def test_a_url_of_an_allowed_origin_is_taken(url: str) -> None:
    assert ALLOWED.check("url", url) == url


@pytest.mark.parametrize(
    "url",
    [
        "http://files.example.org/a",
        "https://files.example.org:8443/a",
        "https://cdn.example.org/",
        "https://evilcdn.example.org/",
        "https://files.example.org.evil.net/",
        "https://user@files.example.org/",
        "https://files.example.org@evil.net/",
        "https://files.example.org\\@evil.net/",
        "ftp://files.example.org/",
        "file:///etc/passwd",
        "//files.example.org/a",
        "files.example.org",
        "https://files.example.org:port/",
        "https://files.exa mple.org/",
        "https://files.example.org/\n",
        "https://ﬁles.example.org/",
        "",
        "https:///a",
        "https://files.example.org/" + "a" * 3000,
        "http://10.0.0.5/",
        "http://[::1]:9000/",
        "https://*.cdn.example.org/",
    ],
)
def test_any_other_url_is_refused(url: str) -> None:
    with pytest.raises(InvalidOption, match=r"^url: "):
        ALLOWED.check("url", url)


@pytest.mark.parametrize("entry", ["", "https://a.example.org/path", "ftp://a.example.org", "https://user@a", "a b"])
def test_an_origin_that_is_none_is_refused_at_start(entry: str) -> None:
    with pytest.raises(InvalidOption, match=r"^origins: "):
        AllowedOrigins("origins", (entry,))


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "0.0.0.0",
        "100.64.0.1",
        "224.0.0.1",
        "255.255.255.255",
        "::1",
        "fe80::1",
        "fd00::1",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "64:ff9b::a00:1",
        "2002:7f00:1::",
        "ff02::1",
        "::",
    ],
)
def test_addresses_that_are_not_public_are_not_reached(address: str) -> None:
    assert not is_allowed_address(ipaddress.ip_address(address), ())


def test_public_and_listed_addresses_are_reached() -> None:
    assert is_allowed_address(ipaddress.ip_address("93.184.215.14"), ())
    assert is_allowed_address(ipaddress.ip_address("2606:2800:21f:cb07::1"), ())
    listed = parse_private_networks(("10.1.0.0/16", "fd00::/8"))
    assert is_allowed_address(ipaddress.ip_address("10.1.2.3"), listed)
    assert is_allowed_address(ipaddress.ip_address("::ffff:10.1.2.3"), listed)
    assert not is_allowed_address(ipaddress.ip_address("10.2.0.1"), listed)
    with pytest.raises(InvalidOption, match=r"^private_networks: "):
        parse_private_networks(("10.1.2.3/16",))


def test_a_files_name_in_a_url_is_fit_to_be_shown() -> None:
    assert file_name_from_url("https://example.org/a/talk%201.mp3?key=secret") == "talk 1.mp3"
    assert file_name_from_url("https://example.org/%2e%2e%2fetc%2fpasswd%00") == "passwd"
    assert file_name_from_url("https://example.org") == "audio"


# --- audio from a URL -----------------------------------------------------------------------------


def test_a_job_of_a_url_says_what_a_job_of_the_file_says(tmp_path: Path) -> None:
    with run_remote_server() as other, run_jobs_server(tmp_path, other) as (server, client):
        other.files["/talk.wav"] = tone()
        job = create_job_from_url(client, f"{other.url}/talk.wav", response_format="text")
        assert (job["url"], job["file_name"]) == (f"{other.url}/talk.wav", "talk.wav")
        wait_for_job(client, job["id"], "succeeded")
        assert get_result(client, job["id"]).text == server.post(response_format="text", **NO_FALLBACK).text
        assert list((tmp_path / "jobs" / "uploads").iterdir()) == []


@pytest.mark.parametrize("announces_length", [True, False])
def test_a_file_that_is_too_large_is_not_fetched(tmp_path: Path, announces_length: bool) -> None:
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
            "message": "127.0.0.1: it answered 302; redirects are not followed",
            "code": "url_failed",
            "param": "url",
        }
        missing = wait_for_job(client, create_job_from_url(client, f"{other.url}/missing.wav")["id"], "failed")
        assert missing["error"]["message"] == "127.0.0.1: it answered 404"
        assert other.requested_paths == ["/moved.wav", "/missing.wav"]


def test_a_listed_origin_at_a_private_address_is_not_reached_unless_that_is_listed_too(tmp_path: Path) -> None:
    with run_remote_server() as other, run_jobs_server(tmp_path, other, private_networks=()) as (_, client):
        other.files["/talk.wav"] = tone()
        failed = wait_for_job(client, create_job_from_url(client, f"{other.url}/talk.wav")["id"], "failed")
        assert failed["error"]["message"] == "127.0.0.1: it has no address that may be reached from here"
        assert other.requested_paths == []
        # a name that means this machine is no better
        unlisted = client.post(JOBS, files={"url": (None, other.url.replace("127.0.0.1", "localhost"))})
        assert read_error(unlisted, 400)["param"] == "url"


# --- webhooks -------------------------------------------------------------------------------------


def test_the_end_of_a_job_is_told_signed_and_again_until_it_is_taken(tmp_path: Path) -> None:
    with run_remote_server() as other, run_jobs_server(tmp_path, other) as (_, client):
        other.statuses = [500, 302]
        job = create_job(client, **NO_FALLBACK, webhook_url=f"{other.url}/hook")
        assert job["webhook"] == {"url": f"{other.url}/hook", "status": None, "attempts": 0, "last_error": None}
        told = wait_for_job(client, job["id"], lambda it: it["webhook"]["status"] == "delivered")
        assert (told["webhook"]["attempts"], told["webhook"]["last_error"]) == (3, None)
        assert len(other.posts) == 3
        assert len({headers["webhook-id"] for headers, _ in other.posts}) == 1
        for headers, body in other.posts:
            signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
            digest = base64.b64encode(hmac.new(SECRET, signed, hashlib.sha256).digest()).decode()
            assert headers["webhook-signature"] == f"v1,{digest}"
            assert abs(int(headers["webhook-timestamp"]) - time.time()) < 60
        event = json.loads(other.posts[-1][1])
        assert (event["type"], event["data"]["id"]) == ("job.succeeded", job["id"])
        assert event["data"]["status"] == "succeeded"
        assert "text" not in event["data"]


def test_failures_and_cancellations_are_told_too(tmp_path: Path) -> None:
    with run_remote_server() as other, run_jobs_server(tmp_path, other) as (server, client):
        failed = create_job(client, b"no sound", webhook_url=f"{other.url}/hook")
        wait_for_job(client, failed["id"], lambda it: it["webhook"]["status"] == "delivered")
        server.session.gate.clear()
        held = create_job(client, **NO_FALLBACK, webhook_url=f"{other.url}/hook")
        client.post(f"{JOBS}/{held['id']}/cancel")
        wait_for_job(client, held["id"], lambda it: it["webhook"]["status"] == "delivered")
        assert [json.loads(body)["type"] for _, body in other.posts] == ["job.failed", "job.cancelled"]


def test_a_receiver_that_is_gone_for_good_is_given_up(tmp_path: Path) -> None:
    with run_remote_server() as other, run_jobs_server(tmp_path, other) as (_, client):
        other.statuses = [410]
        job = create_job(client, **NO_FALLBACK, webhook_url=f"{other.url}/hook")
        given_up = wait_for_job(client, job["id"], lambda it: it["webhook"]["status"] == "given_up")
        assert (given_up["webhook"]["attempts"], given_up["webhook"]["last_error"]) == (1, "it answered 410")


def test_a_webhook_that_did_not_arrive_is_sent_by_the_next_server(tmp_path: Path) -> None:
    with run_remote_server() as other:
        with run_jobs_server(tmp_path, other, webhook_retry_s=1.0) as (_, client):
            other.statuses = [503]
            job = create_job(client, **NO_FALLBACK, webhook_url=f"{other.url}/hook")
            wait_for_job(client, job["id"], lambda it: it["webhook"]["attempts"] == 1)
        with run_jobs_server(tmp_path, other) as (_, client):
            told = wait_for_job(client, job["id"], lambda it: it["webhook"]["status"] == "delivered")
            assert told["webhook"]["attempts"] == 2
            first, second = (headers["webhook-id"] for headers, _ in other.posts)
            assert first == second


def test_a_signature_is_that_of_the_published_example() -> None:
    secret = decode_secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    payload = b'{"test": 2432232314}'
    made = sign(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, payload)
    assert made == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_webhooks_need_a_secret_that_is_one(tmp_path: Path) -> None:
    with run_remote_server() as other:
        for secret in (None, "whsec_short", "not base64 at all!"):
            with (
                pytest.raises(InvalidOption, match=r"^webhook_secret: ") as refused,
                run_jobs_server(tmp_path, other, webhook_secret=secret),
            ):
                pass
            assert secret is None or secret not in str(refused.value)
