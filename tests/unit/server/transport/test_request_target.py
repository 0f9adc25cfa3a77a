"""GET http://host/path is GET /path at that host."""

from __future__ import annotations

import json
from collections.abc import Iterator

import h11
import pytest

from neuron_whisper.server import ServerSettings
from neuron_whisper.server.transport.request_target import to_origin_form
from tests.support.hostile_connections import exchange, make_upgrade
from tests.support.servers import RunningServer, run_server


def make_request(target: bytes, host: bytes = b"other.example") -> h11.Request:
    return h11.Request(method=b"GET", target=target, headers=[(b"Host", host), (b"X-Id", b"1")])


@pytest.mark.parametrize(
    ("target", "path", "host"),
    [
        (b"http://127.0.0.1:8000/health/live", b"/health/live", b"127.0.0.1:8000"),
        (b"HTTPS://Speech.Example.com/v1/models?a=http://b", b"/v1/models?a=http://b", b"Speech.Example.com"),
        (b"http://[::1]:80/a%2Fb", b"/a%2Fb", b"[::1]:80"),
        (b"http://localhost", b"/", b"localhost"),
        (b"http://localhost?verbose=1", b"/?verbose=1", b"localhost"),
    ],
)
def test_the_target_gives_path_and_host(target: bytes, path: bytes, host: bytes) -> None:
    found = to_origin_form(make_request(target))
    assert (found.target, dict(found.headers)) == (path, {b"host": host, b"x-id": b"1"})


@pytest.mark.parametrize("target", [b"/health/live", b"/http://host/path", b"*", b"localhost:443", b"ftp://host/path"])
def test_other_targets_are_left_as_they_are(target: bytes) -> None:
    request = make_request(target)
    assert to_origin_form(request) is request


@pytest.mark.parametrize(
    "target", [b"http:///path", b"http://user@host/", b"http://host/a#b", b"https://", b"http://?a"]
)
def test_a_target_without_a_host_or_with_more_than_that_is_refused(target: bytes) -> None:
    with pytest.raises(h11.RemoteProtocolError):
        to_origin_form(make_request(target))


# --- over the wire --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with run_server(ServerSettings(vad_filter=False)) as running:
        yield running


def ask(server: RunningServer, target: str, host: str = "127.0.0.1", version: str = "1.1") -> tuple[int, str]:
    """The status of the answer, and the code of its error."""
    headers = f"Host: {host}\r\n" if host else ""
    answer = exchange(server.address, f"GET {target} HTTP/{version}\r\n{headers}Connection: close\r\n\r\n".encode())
    head, _, body = answer.partition(b"\r\n\r\n")
    found = json.loads(body)
    return int(head.split()[1]), found["error"]["code"] if "error" in found else ""


def test_an_absolute_target_is_served_as_its_path(server: RunningServer) -> None:
    assert ask(server, f"{server.url}/health/live") == (200, "")
    assert ask(server, f"{server.url}/health/live", host="", version="1.0") == (200, "")
    assert ask(server, f"{server.url}/v1/models/turbo?x=1") == (200, "")
    assert ask(server, f"{server.url}/nowhere") == (404, "unknown_url")


def test_the_targets_host_is_the_one_that_must_be_allowed(server: RunningServer) -> None:
    assert ask(server, "http://evil.example/v1/models", host="127.0.0.1") == (403, "host_not_allowed")
    assert ask(server, "http://localhost/v1/models", host="evil.example") == (200, "")


def test_a_target_without_a_host_is_not_valid_http(server: RunningServer) -> None:
    assert ask(server, "http:///health/live") == (400, "invalid_http")
    assert ask(server, "http://me@127.0.0.1/health/live") == (400, "invalid_http")


def test_a_websocket_opens_by_an_absolute_target(server: RunningServer) -> None:
    request = make_upgrade("/v1/audio/stream").replace(b"GET /", f"GET {server.url}/".encode(), 1)
    close = b"\x88\x80\x00\x00\x00\x00"
    assert exchange(server.address, request, close).startswith(b"HTTP/1.1 101 ")
