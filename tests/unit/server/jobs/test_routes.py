"""The job routes over a real socket: status codes, and what they refuse."""

from __future__ import annotations

import httpx
import pytest

from tests.support.job_clients import JOBS, NO_FALLBACK, create_job, wait_for_job
from tests.support.servers import read_error, tone


def test_a_job_that_ended_cannot_be_cancelled(client: httpx.Client) -> None:
    job = create_job(client, **NO_FALLBACK)
    wait_for_job(client, job["id"], "succeeded")
    error = read_error(client.post(f"{JOBS}/{job['id']}/cancel"), 409)
    assert error["code"] == "invalid_job_state"


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", ""), ("DELETE", ""), ("GET", "/result"), ("GET", "/segments"), ("GET", "/peaks"), ("POST", "/cancel")],
)
def test_an_unknown_job_is_404(client: httpx.Client, method: str, path: str) -> None:
    assert read_error(client.request(method, f"{JOBS}/job_nowhere{path}"), 404)["code"] == "job_not_found"


def test_two_requests_with_one_idempotency_key_create_one_job(client: httpx.Client) -> None:
    files, key = {"file": ("tone.wav", tone())}, {"idempotency-key": "mine-1"}
    first = client.post(JOBS, files=files, headers=key)
    second = client.post(JOBS, files=files, headers=key)
    assert (first.status_code, second.status_code) == (201, 200)
    assert first.json()["id"] == second.json()["id"]
    read_error(client.post(JOBS, files=files, headers={"idempotency-key": "k" * 200}), 400)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"stream": "true"}, "stream"),
        ({"include[]": "logprobs"}, "include"),
        ({"bean_size": "5"}, "bean_size"),
        ({"task": "summarise"}, "task"),
        ({"url": "https://example.org/a.wav"}, "url"),
        ({"webhook_url": "https://example.org/hook"}, "webhook_url"),
        ({"response_format": "tsv"}, "response_format"),
        ({"temperature": "7"}, "temperature"),
    ],
)
def test_an_unsupported_field_is_refused_by_name(client: httpx.Client, fields: dict[str, str], param: str) -> None:
    answer = client.post(JOBS, files={"file": ("a.wav", tone())}, data=fields)
    assert read_error(answer, 400)["param"] == param


def test_without_allowed_origins_no_url_is_fetched(client: httpx.Client) -> None:
    error = read_error(client.post(JOBS, files={"url": (None, "http://127.0.0.1:9/a.wav")}), 400)
    assert error["param"] == "url"
    assert "among those this server allows" in error["message"]


def test_a_job_needs_audio_and_a_model_that_is_served(client: httpx.Client) -> None:
    assert read_error(client.post(JOBS, files={"model": (None, "turbo")}), 400)["param"] == "file"
    assert read_error(client.post(JOBS, files={"file": tone()}, data={"model": "unknown"}), 404)["param"] == "model"


@pytest.mark.parametrize(
    "query", [{"limit": 0}, {"limit": 1000}, {"status": "lost"}], ids=["limit 0", "limit 1000", "unknown status"]
)
def test_an_invalid_page_is_refused(client: httpx.Client, query: dict[str, str]) -> None:
    read_error(client.get(JOBS, params=query), 400)


def test_a_page_after_an_unknown_job_is_404(client: httpx.Client) -> None:
    read_error(client.get(JOBS, params={"after": "job_nowhere"}), 404)


@pytest.mark.parametrize(
    ("path", "methods"), [(JOBS, "GET, HEAD, OPTIONS, POST"), (f"{JOBS}/job_1", "DELETE, GET, HEAD, OPTIONS")]
)
def test_options_name_every_method(client: httpx.Client, path: str, methods: str) -> None:
    assert client.options(path).headers["allow"] == methods


def test_the_segments_after_those_that_are_known_are_listed(client: httpx.Client) -> None:
    job = create_job(client, **NO_FALLBACK)
    wait_for_job(client, job["id"], "succeeded")
    every = client.get(f"{JOBS}/{job['id']}/segments").json()
    assert every["status"] == "succeeded"
    rest = client.get(f"{JOBS}/{job['id']}/segments", params={"after": 1}).json()
    assert rest["data"] == every["data"][1:]


def test_a_deleted_job_is_gone(client: httpx.Client) -> None:
    job = create_job(client, **NO_FALLBACK)
    wait_for_job(client, job["id"], "succeeded")
    deleted = client.delete(f"{JOBS}/{job['id']}")
    assert deleted.json() == {"id": job["id"], "object": "job.deleted", "deleted": True}
    read_error(client.get(f"{JOBS}/{job['id']}"), 404)
