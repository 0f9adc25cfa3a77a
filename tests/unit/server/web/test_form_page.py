"""The page of one file, which is at / while the modules of the other are not complete."""

from __future__ import annotations

import base64
import hashlib
import re

import pytest

from neuron_whisper.server.web.page import MAIN_MODULE
from neuron_whisper.server.web.static_files import STATIC_DIRECTORY
from tests.support.servers import RunningServer

pytestmark = pytest.mark.skipif((STATIC_DIRECTORY / MAIN_MODULE).exists(), reason="the page of modules is at /")


def test_the_pages_links_are_relative(server: RunningServer) -> None:
    with server.client() as client:
        html = client.get("/").text
    assert not re.findall(r"""(?:href=|fetch\()["']/""", html)
    assert 'fetch("v1/models"' in html


def test_the_policy_allows_the_pages_own_script_and_no_other_host(server: RunningServer) -> None:
    with server.client() as client:
        response = client.get("/")
    policy = response.headers["content-security-policy"]
    (script,) = re.findall(r"<script>(.*?)</script>", response.text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'")
    assert "http" not in policy


def test_the_page_offers_the_models_languages(server: RunningServer) -> None:
    with server.client() as client:
        html = client.get("/").text
    _, _, select = html.partition('<select id="language">')
    codes = re.findall(r'<option value="([a-z]{2,3})">', select.partition("</select>")[0])
    assert sorted(codes) == sorted(server.transcriber.languages)
    assert "{{" not in html


def test_the_page_has_no_inline_handlers_and_no_placeholders(server: RunningServer) -> None:
    with server.client() as client:
        page = client.get("/")
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert len(re.findall(r"'sha256-[A-Za-z0-9+/=]{44}'", policy)) == 2
    assert not re.search(r"""(src|href)=["'](https?:)?//|style=|\son\w+=|{{""", page.text)
    assert '<option value="de">German</option>' in page.text
