"""The page at /: its policy, its configuration and its links."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest
from litestar import Litestar
from litestar.testing import TestClient

from neuron_whisper.server import ServerSettings
from neuron_whisper.server.web.config import create_page_config
from neuron_whisper.server.web.page import create_page_route
from neuron_whisper.server.web.static_files import StaticFiles
from tests.support.servers import RunningServer

MODEL = 'turbo</script>"&'


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> StaticFiles:
    folder = tmp_path_factory.mktemp("static")
    (folder / "styles.css").write_text("a{}")
    return StaticFiles.load(folder)


@pytest.fixture(scope="module")
def client(files: StaticFiles) -> Iterator[TestClient[Litestar]]:
    config = create_page_config(ServerSettings(), MODEL, ["en", "de"])
    with TestClient(Litestar([create_page_route(config, files)], openapi_config=None)) as client:
        yield client


def read_policy(client: TestClient[Litestar]) -> tuple[str, dict[str, list[str]]]:
    """The page and its policy by directive."""
    answer = client.get("/")
    parts = answer.headers["content-security-policy"].split("; ")
    return answer.text, {name: values for name, *values in (part.split() for part in parts)}


def test_the_policy_allows_this_server_and_what_has_the_nonce(client: TestClient[Litestar]) -> None:
    html, policy = read_policy(client)
    (nonce,) = set(re.findall(r'nonce="([^"]*)"', html))
    assert len(nonce) >= 22
    assert policy == {
        "default-src": ["'none'"],
        "script-src": [f"'nonce-{nonce}'", "'self'"],
        "style-src": [f"'nonce-{nonce}'", "'self'"],
        "connect-src": ["'self'"],
        "img-src": ["'self'", "data:", "blob:"],
        "media-src": ["'self'", "blob:"],
        "worker-src": ["'self'"],
        "font-src": ["'self'"],
        "base-uri": ["'none'"],
        "form-action": ["'none'"],
        "frame-ancestors": ["'none'"],
    }


def test_every_response_has_a_nonce_of_its_own_and_is_asked_for_again(client: TestClient[Litestar]) -> None:
    nonces = {read_policy(client)[1]["script-src"][0] for _ in range(5)}
    assert len(nonces) == 5
    headers = client.get("/").headers
    assert headers["cache-control"] == "no-cache"
    assert headers["content-type"] == "text/html; charset=utf-8"
    assert headers["x-content-type-options"] == "nosniff"


def test_the_configuration_is_json_with_the_nonce(client: TestClient[Litestar]) -> None:
    html, policy = read_policy(client)
    (text,) = re.findall(r'<script type="application/json" id="config" nonce="[^"]+">(.*?)</script>', html)
    config = json.loads(text)
    assert config["model"] == MODEL
    assert config["languages"] == [{"code": "en", "name": "English"}, {"code": "de", "name": "German"}]
    assert f"'nonce-{config['nonce']}'" in policy["style-src"]


def test_every_link_is_relative_and_the_styles_have_the_digest(
    client: TestClient[Litestar], files: StaticFiles
) -> None:
    html = client.get("/").text
    links = re.findall(r"""(?:src|href)=["']([^"']*)["']""", html)
    assert f"static/{files.digest}/styles.css" in links
    assert f"static/{files.digest}/app/main.js" in links
    assert not [link for link in links if re.match(r"/|[a-z]+:(?!,)", link)]
    assert "{{" not in html


def test_nothing_is_inline_but_the_configuration(client: TestClient[Litestar]) -> None:
    html = client.get("/").text
    assert len(re.findall(r"<script", html)) == 2
    assert not re.search(r"<style|\sstyle=|\son\w+=", html)


def test_the_first_load_is_small(server: RunningServer) -> None:
    with server.client() as browser:
        html = browser.get("/").text
        links = re.findall(r'(?:href|src)="(static/[^"]+)"', html)
        answers = [browser.get(link) for link in ["/", "schema/openapi.json", "v1/models", *links]]
    assert sum(int(answer.headers["content-length"]) for answer in answers) < 200_000
