"""The page as a browser meets it: below a prefix, on a server with keys, by a foreign name; and its resources."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import httpx
import pytest

from neuron_whisper.server import ServerSettings
from tests.support.servers import read_error, run_server, tone
from tests.support.servers_with_keys import run_server_with_keys

LINK = re.compile(r'(?:src|href)="(static/[^"]+)"')


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("samples")
    (folder / "a tone.wav").write_bytes(tone())
    return folder


def read_config(page: httpx.Response) -> dict[str, Any]:
    (text,) = re.findall(r'<script type="application/json" id="config"[^>]*>(.*?)</script>', page.text)
    config = json.loads(text)
    assert isinstance(config, dict)
    return config


def check_resources(client: httpx.Client, page: httpx.Response) -> None:
    """Every module, style and sample that the page names is found from the page's own address."""
    assert page.status_code == 200
    links = [*LINK.findall(page.text), *(sample["url"] for sample in read_config(page)["samples"])]
    assert len(links) > 10
    for link in links:
        assert client.get(urljoin(str(page.url), link)).status_code == 200, link


@pytest.mark.parametrize("is_stripped", [True, False])
def test_below_a_prefix_all_is_found_whether_the_proxy_strips_it_or_not(samples: Path, *, is_stripped: bool) -> None:
    settings = ServerSettings(vad_filter=False, root_path="/speech", samples_dir=samples)
    with run_server(settings) as server, server.client() as client:
        page = client.get("/" if is_stripped else "/speech/")
        check_resources(client, page)
        assert client.get(urljoin(str(page.url), "v1/models")).status_code == 200


def test_the_prefix_without_its_slash_leads_to_the_page(samples: Path) -> None:
    settings = ServerSettings(vad_filter=False, root_path="/speech", samples_dir=samples)
    with run_server(settings) as server, server.client() as client:
        answer = client.get("/speech", follow_redirects=True)
        assert answer.url.path == "/speech/"
        check_resources(client, answer)


def test_a_server_with_keys_shows_the_page_and_says_that_it_has_some(tmp_path: Path, samples: Path) -> None:
    with run_server_with_keys(tmp_path, samples_dir=samples) as it, it.server.client() as client:
        page = client.get("/")
        check_resources(client, page)
        assert read_config(page)["hasKeys"] is True
        assert str(tmp_path) not in page.text
        read_error(client.get("/v1/models"), 401)


@pytest.mark.parametrize("path", ["/", "/{link}", "/samples/a%20tone.wav"])
def test_a_foreign_name_of_this_machine_is_refused(samples: Path, path: str) -> None:
    with run_server(ServerSettings(vad_filter=False, samples_dir=samples)) as server, server.client() as client:
        url = path.format(link=LINK.findall(client.get("/").text)[0])
        assert client.get(url).status_code == 200
        assert read_error(client.get(url, headers={"host": "evil.example"}), 403)["code"] == "host_not_allowed"


def test_its_configuration_is_the_servers(tmp_path: Path) -> None:
    settings = ServerSettings(
        vad_filter=False, jobs_dir=tmp_path / "jobs", max_upload_bytes=12_345, realtime_sessions=0
    )
    with run_server(settings) as server, server.client() as client:
        config = read_config(client.get("/"))
        assert {name: config[name] for name in ("model", "maxUploadBytes", "hasJobs", "hasRealtime", "samples")} == {
            "model": "turbo",
            "maxUploadBytes": 12_345,
            "hasJobs": True,
            "hasRealtime": False,
            "samples": [],
        }
        assert [language["code"] for language in config["languages"]] == sorted(
            server.transcriber.languages, key=lambda code: {it["code"]: it["name"] for it in config["languages"]}[code]
        )
        head = client.head("/")
        assert (head.status_code, head.content) == (200, b"")
