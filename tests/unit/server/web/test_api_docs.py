"""The page at /schema."""

from __future__ import annotations

import re

import pytest

from tests.support.servers import RunningServer

LINK = re.compile(r"(?:src|href)=[\"']([^\"']+)[\"']")


def test_the_page_loads_nothing_from_another_host(server: RunningServer) -> None:
    with server.client() as client:
        page = client.get("/schema").text
        links = LINK.findall(page)
        assert len(links) == 4
        for link in links:
            assert link.startswith("/schema/assets/")
            asset = client.get(link)
            assert asset.status_code == 200
            if link.endswith(".css"):
                assert not re.search(r"url\(\s*[\"']?(https?:)?//", asset.text)
                assert "@import" not in asset.text


def test_the_page_states_the_version_that_swagger_ui_reads(server: RunningServer) -> None:
    with server.client() as client:
        page, document = client.get("/schema").text, client.get("/schema/openapi.json").json()
    assert '"openapi":"3.0.3"' in page
    assert document["openapi"] == "3.1.0"


@pytest.mark.parametrize("path", ["../page.html", "%2e%2e/page.html", "nothing.js"])
def test_no_other_file_is_served(server: RunningServer, path: str) -> None:
    with server.client() as client:
        assert client.get(f"/schema/assets/{path}").status_code == 404


def test_the_document_is_compressed_for_who_takes_it_and_the_same(server: RunningServer) -> None:
    with server.client() as client:
        plain = client.get("/schema/openapi.json", headers={"accept-encoding": "identity"})
        packed = client.get("/schema/openapi.json", headers={"accept-encoding": "gzip"})
    assert "content-encoding" not in plain.headers
    assert packed.headers["content-encoding"] == "gzip"
    assert packed.headers["vary"] == "accept-encoding"
    assert int(packed.headers["content-length"]) < len(plain.content) / 5
    assert packed.json() == plain.json()


def test_an_unknown_document_is_told_as_ever(server: RunningServer) -> None:
    with server.client() as client:
        response = client.get("/schema/other.json", headers={"accept-encoding": "gzip"})
    assert response.status_code == 404
    assert "content-encoding" not in response.headers
