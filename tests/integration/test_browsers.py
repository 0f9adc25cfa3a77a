"""What pages of other origins and names may do to a server without keys, and what clients send that goes on working."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from neuron_whisper.server import ServerSettings
from tests.support.hostile_connections import make_upgrade, read_response
from tests.support.servers import TRANSCRIPTIONS, RunningServer, read_error, run_server, tone
from tests.support.servers_with_keys import run_server_with_keys

EVIL = "https://evil.example"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    settings = ServerSettings(vad_filter=False, model_admin=True, jobs_dir=tmp_path_factory.mktemp("jobs"))
    with run_server(settings) as running:
        yield running


def send(server: RunningServer, method: str, path: str, **headers: str) -> httpx.Response:
    files = {"file": ("tone.wav", tone())} if method == "POST" else None
    with server.client() as client:
        return client.request(method, path, files=files, headers=headers)


def count_rejected(server: RunningServer, reason: str) -> float:
    with server.client() as client:
        for line in client.get("/metrics").text.splitlines():
            if line.startswith(f'neuron_whisper_requests_rejected_total{{reason="{reason}"}}'):
                return float(line.split()[1])
    return 0.0


def test_a_name_that_was_made_to_resolve_to_this_machine_is_refused_everywhere(server: RunningServer) -> None:
    before = count_rejected(server, "host_not_allowed")
    for method, path in (("GET", "/"), ("GET", "/v1/models"), ("GET", "/metrics"), ("POST", TRANSCRIPTIONS)):
        error = read_error(send(server, method, path, host="evil.example:8000"), 403)
        assert error["code"] == "host_not_allowed"
        assert "--allowed-hosts" in error["message"]
    assert count_rejected(server, "host_not_allowed") == before + 4


@pytest.mark.parametrize("path", ["/v1/realtime?intent=transcription", "/v1/audio/stream"])
def test_its_websockets_are_refused_in_the_handshake(server: RunningServer, path: str) -> None:
    request = make_upgrade(path).replace(b"Host: localhost", b"Host: evil.example")
    answer = read_response(server.address, request)
    assert answer.startswith(b"HTTP/1.1 403")
    assert b"host_not_allowed" in answer
    assert read_response(server.address, make_upgrade(path)).startswith(b"HTTP/1.1 101")


@pytest.mark.parametrize("host", ["localhost", "localhost:9", "127.0.0.1", "[::1]:8000", "a.localhost", "LOCALHOST"])
def test_names_of_this_machine_are_served(server: RunningServer, host: str) -> None:
    assert send(server, "GET", "/health/ready", host=host).status_code == 200


def test_listed_hosts_are_served_and_others_are_not() -> None:
    settings = ServerSettings(vad_filter=False, allowed_hosts=("speech.example.com", "*.internal.example"))
    with run_server(settings) as server:
        for host, status in (
            ("speech.example.com", 200),
            ("a.internal.example:443", 200),
            ("localhost", 200),
            ("evil.example", 403),
        ):
            assert send(server, "GET", "/v1/models", host=host).status_code == status


def test_a_server_with_keys_is_called_by_any_name(tmp_path: Path) -> None:
    with run_server_with_keys(tmp_path) as it:
        assert it.get("/v1/models", it.user, host="speech.example.com").status_code == 200
        with it.server.client() as client:
            answer = client.post(
                TRANSCRIPTIONS,
                files={"file": tone()},
                headers={"authorization": f"Bearer {it.user}", "origin": EVIL, "host": "speech.example.com"},
            )
        assert answer.status_code == 200


def test_a_page_of_another_origin_neither_transcribes_nor_deletes(server: RunningServer) -> None:
    before = count_rejected(server, "origin_not_allowed")
    for method, path in (
        ("POST", TRANSCRIPTIONS),
        ("POST", "/v1/jobs"),
        ("POST", "/v1/models/unload"),
        ("DELETE", "/v1/jobs/job_1"),
        ("POST", "/v1/nothing"),
    ):
        error = read_error(send(server, method, path, origin=EVIL), 403)
        assert error["code"] == "origin_not_allowed"
        assert "--cors-origins" in error["message"]
    assert count_rejected(server, "origin_not_allowed") == before + 5
    assert send(server, "GET", "/v1/models", origin=EVIL).status_code == 200  # the page cannot read it


def test_the_own_page_a_listed_one_and_clients_without_an_origin_transcribe(server: RunningServer) -> None:
    own = server.url
    assert send(server, "POST", TRANSCRIPTIONS).status_code == 200
    assert send(server, "POST", TRANSCRIPTIONS, origin=own).status_code == 200
    proxied = {"origin": "https://speech.example.com", "sec-fetch-site": "same-origin"}
    assert send(server, "POST", TRANSCRIPTIONS, **proxied).status_code == 200
    with run_server(ServerSettings(vad_filter=False, cors_origins=(EVIL,))) as listing:
        answer = send(listing, "POST", TRANSCRIPTIONS, origin=EVIL)
        assert answer.status_code == 200
        assert answer.headers["access-control-allow-origin"] == EVIL
        with listing.client() as client:
            preflight = client.options(
                TRANSCRIPTIONS, headers={"origin": EVIL, "access-control-request-method": "POST"}
            )
        assert preflight.headers["access-control-allow-origin"] == EVIL


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
def test_json_is_read_as_json_only(server: RunningServer, kind: str) -> None:
    with server.client() as client:
        answer = client.post("/v1/models/unload", content=b'{"model": "turbo"}', headers={"content-type": kind})
        assert read_error(answer, 415)["code"] == "unsupported_media_type"
        assert client.get("/v1/models/turbo").json()["state"] == "loaded"
        kind = "Application/JSON; charset=utf-8"
        answer = client.post("/v1/models/load", content=b'{"model": "turbo"}', headers={"content-type": kind})
        assert answer.status_code == 200
