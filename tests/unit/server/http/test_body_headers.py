"""Bodies whose headers are refused."""

from __future__ import annotations

import socket

import pytest

from tests.support.servers import TRANSCRIPTIONS, RunningServer, read_error, tone


def exchange(server: RunningServer, request: str) -> str:
    """The head of the response to a raw request, after which the server must close the connection."""
    with socket.create_connection(server.address, timeout=20) as connection:
        connection.sendall(request.encode())
        answer = b""
        while piece := connection.recv(65536):
            answer += piece
    return answer.decode("latin-1")


@pytest.mark.parametrize("path", [TRANSCRIPTIONS, "/v1/models", "/health/live", "/"])
@pytest.mark.parametrize("order", [0, 1])
def test_a_length_beside_chunks_is_refused_on_every_route(server: RunningServer, path: str, order: int) -> None:
    lengths = ["Content-Length: 4", "Transfer-Encoding: chunked"][:: 1 if order else -1]
    method = "POST" if path == TRANSCRIPTIONS else "GET"
    head = "\r\n".join([f"{method} {path} HTTP/1.1", "Host: localhost", *lengths])
    answer = exchange(server, f"{head}\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert answer.startswith("HTTP/1.1 400 ")
    assert "ambiguous_length" in answer
    assert answer.count("HTTP/1.1") == 1  # what follows is no second request


@pytest.mark.parametrize("encoding", ["gzip", "br", "identity, deflate", "nonsense"])
def test_an_encoded_body_is_415(server: RunningServer, encoding: str) -> None:
    with server.client() as client:
        answer = client.post(TRANSCRIPTIONS, files={"file": tone()}, headers={"content-encoding": encoding})
    assert read_error(answer, 415)["code"] == "unsupported_encoding"
    assert answer.headers["accept-encoding"] == "identity"


@pytest.mark.parametrize("encoding", ["identity", "", "Identity"])
def test_the_identity_is_no_encoding(server: RunningServer, encoding: str) -> None:
    with server.client() as client:
        answer = client.post(TRANSCRIPTIONS, files={"file": tone()}, headers={"content-encoding": encoding})
    assert answer.status_code == 200
