"""The static files of the page: what is served, how it is cached, and what is not found."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from neuron_whisper.server.web.static_files import STATIC_DIRECTORY, StaticFiles, accepts_gzip
from tests.support.servers import RunningServer, read_error
from tests.support.servers_with_keys import run_server_with_keys


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in {
        "app/a.js": "export const a = 1;\n" * 20,
        "b.css": "a{}",
        ".hidden": "x",
        "c.LICENSE": "MIT",
    }.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return tmp_path


def test_every_file_but_hidden_ones_is_held_with_its_type(folder: Path) -> None:
    files = StaticFiles.load(folder).by_path
    assert {path: file.media_type for path, file in files.items()} == {
        "app/a.js": "text/javascript",
        "b.css": "text/css",
        "c.LICENSE": "text/plain",
    }


def test_a_file_is_compressed_where_that_gains(folder: Path) -> None:
    files = StaticFiles.load(folder).by_path
    compressed = files["app/a.js"].gzipped
    assert compressed is not None
    assert gzip.decompress(compressed) == files["app/a.js"].body
    assert files["b.css"].gzipped is None


def test_the_digest_follows_names_and_contents_alone(folder: Path) -> None:
    digest = StaticFiles.load(folder).digest
    assert StaticFiles.load(folder).digest == digest
    (folder / "b.css").write_text("b{}")
    changed = StaticFiles.load(folder).digest
    (folder / "b.css").rename(folder / "d.css")
    assert len({digest, changed, StaticFiles.load(folder).digest}) == 3


@pytest.mark.parametrize(
    ("header", "accepted"),
    [
        ("gzip, deflate, br", True),
        ("deflate, GZIP", True),
        ("gzip;q=0.5", True),
        ("*", True),
        ("br;q=1, *;q=0.1", True),
        ("", False),
        ("identity", False),
        ("gzip;q=0", False),
        ("gzip; q=0.000", False),
        ("*, gzip;q=0", False),
        ("xgzip", False),
    ],
)
def test_accept_encoding_says_whether_gzip_is_sent(header: str, *, accepted: bool) -> None:
    assert accepts_gzip(header) is accepted


@pytest.mark.parametrize(("coding", "encoding"), [("gzip", "gzip"), ("identity", None), ("gzip;q=0", None)])
def test_a_vendored_module_arrives_as_it_is_and_is_kept_for_good(
    server: RunningServer, coding: str, encoding: str | None
) -> None:
    url = f"/{StaticFiles.load().url}/vendor/htm-preact.js"
    with server.client() as client:
        answer = client.get(url, headers={"accept-encoding": coding})
        head = client.head(url, headers={"accept-encoding": coding})
    assert answer.status_code == head.status_code == 200
    assert answer.content == (STATIC_DIRECTORY / "vendor/htm-preact.js").read_bytes()
    assert head.content == b""
    for response in (answer, head):
        assert response.headers["content-type"] == "text/javascript; charset=utf-8"
        assert response.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert response.headers["vary"] == "accept-encoding"
        assert response.headers["x-content-type-options"] == "nosniff"
        assert response.headers.get("content-encoding") == encoding
    assert head.headers["content-length"] == answer.headers["content-length"]


@pytest.mark.parametrize(
    "path",
    [
        "{digest}/vendor/none.js",
        "{digest}/",
        "{digest}",
        "",
        "0123456789abcdef/vendor/htm-preact.js",
        "{digest}/../page.html",
        "{digest}/%2e%2e/%2e%2e/page.html",
        "{digest}/vendor/..%2f..%2f..%2fpage.html",
        "{digest}//etc/passwd",
        "{digest}/vendor",
        "{digest}/%00",
        "{digest}/VENDOR/htm-preact.js",
    ],
)
def test_another_digest_and_another_path_are_unknown(server: RunningServer, path: str) -> None:
    with server.client() as client:
        answer = client.get(f"/static/{path}".format(digest=StaticFiles.load().digest))
    assert read_error(answer, 404)["code"] == "unknown_url"


def test_they_need_no_key(tmp_path: Path) -> None:
    with run_server_with_keys(tmp_path) as it, it.server.client() as client:
        assert client.get(f"/{StaticFiles.load().url}/vendor/vendor.json").json()["htm-preact.js"]["package"] == "htm"


def test_only_reading_is_allowed(server: RunningServer) -> None:
    with server.client() as client:
        answer = client.post(f"/{StaticFiles.load().url}/vendor/vendor.json")
    assert read_error(answer, 405)["code"] == "method_not_allowed"
