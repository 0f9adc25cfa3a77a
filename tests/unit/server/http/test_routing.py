"""HEAD, and paths below the prefix of a reverse proxy."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from neuron_whisper.server import ServerSettings
from tests.support.job_clients import NO_FALLBACK, wait_for_job
from tests.support.realtime_clients import open_client
from tests.support.servers import TRANSCRIPTIONS, RunningServer, read_error, run_server, tone

ROOT_PATH = "/speech/v2"


@pytest.fixture(scope="module")
def behind_proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    jobs_dir = tmp_path_factory.mktemp("jobs") / "jobs"
    with run_server(ServerSettings(vad_filter=False, root_path=ROOT_PATH, jobs_dir=jobs_dir)) as running:
        yield running


# --- HEAD -----------------------------------------------------------------------------------------


def test_head_is_answered_as_get_without_a_body(behind_proxy: RunningServer) -> None:
    with behind_proxy.client() as client:
        for path in ("/", "/v1/models", "/v1/models/turbo", "/v1/jobs", "/metrics", "/health/live", "/schema",
                     "/schema/openapi.json", "/schema/assets/swagger-ui.css", "/v1/models/none", "/none"):  # fmt: skip
            head, get = client.head(path), client.get(path)
            assert head.status_code == get.status_code, path
            assert head.headers["content-type"] == get.headers["content-type"]
            assert head.content == b""
            if path not in ("/metrics", "/health/live"):  # those change
                assert head.headers["content-length"] == get.headers["content-length"], path
                assert head.headers.get("content-encoding") == get.headers.get("content-encoding"), path


def test_head_needs_a_route_that_can_be_got(server: RunningServer) -> None:
    with server.client() as client:
        head = client.head(TRANSCRIPTIONS)
        assert (head.status_code, head.content) == (405, b"")
        assert client.post("/v1/models").headers["allow"].split(", ")[-1] == "HEAD"
        assert client.get("/v1/models").status_code == 200  # on the same connection


def test_head_needs_a_key_where_get_does(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    file.write_text('{"keys": []}')
    file.chmod(0o600)
    with run_server(ServerSettings(vad_filter=False, keys_file=file)) as guarded, guarded.client() as client:
        assert client.head("/v1/models").status_code == 401
        assert client.head("/health/live").status_code == 200


# --- a path prefix --------------------------------------------------------------------------------


@pytest.mark.parametrize("prefix", ["", ROOT_PATH])
def test_a_proxy_may_strip_the_prefix_or_pass_it_on(behind_proxy: RunningServer, prefix: str) -> None:
    text = behind_proxy.post(**NO_FALLBACK).json()["text"]
    assert behind_proxy.post(path=f"{prefix}{TRANSCRIPTIONS}", **NO_FALLBACK).json()["text"] == text
    with behind_proxy.client() as client:
        assert client.get(f"{prefix}/v1/models/openai%2Fwhisper-large-v3-turbo").json()["id"] == "turbo"
        assert "neuron-whisper" in client.get(f"{prefix}/").text

    async def greet() -> str:
        async with open_client(behind_proxy, f"{prefix}/v1/realtime") as client:
            return str((await client.receive())["type"])

    assert asyncio.run(greet()) == "session.created"


def test_links_lead_below_the_prefix(behind_proxy: RunningServer) -> None:
    with behind_proxy.client() as client:
        moved = client.get(ROOT_PATH)
        assert (moved.status_code, moved.headers["location"]) == (308, f"{ROOT_PATH}/")
        document = client.get(f"{ROOT_PATH}/schema/openapi.json").json()
        assert document["servers"] == [{"url": ROOT_PATH}]
        assert f'"{ROOT_PATH}/schema/assets/swagger-ui-bundle.js"' in client.get("/schema").text
        created = client.post("/v1/jobs", files={"file": tone()}, data=NO_FALLBACK)
        assert created.headers["location"] == f"{ROOT_PATH}/v1/jobs/{created.json()['id']}"
        assert client.get(created.headers["location"]).status_code == 200
        wait_for_job(client, created.json()["id"], "succeeded")


@pytest.mark.parametrize("path", ["/speech/v2x/v1/models", "/speech/v1/models", "/speech/v2/speech/v2/v1/models"])
def test_another_prefix_is_unknown(behind_proxy: RunningServer, path: str) -> None:
    with behind_proxy.client() as client:
        assert read_error(client.get(path), 404)["code"] == "unknown_url"


def test_without_a_prefix_the_document_names_the_root(server: RunningServer) -> None:
    with server.client() as client:
        assert client.get("/schema/openapi.json").json()["servers"] == [{"url": "/"}]
