"""Limits on connections."""

from __future__ import annotations

import socket

import pytest

from neuron_whisper.server import ServerSettings
from tests.support.hostile_connections import read_until_closed
from tests.support.servers import run_server, tone


@pytest.mark.parametrize("sent", [b"", b"GET /health/live HT", b"GET /health/live HTTP/1.1\r\nHost: he"])
def test_a_connection_without_complete_headers_is_closed(sent: bytes) -> None:
    with (
        run_server(ServerSettings(header_timeout_s=0.2, vad_filter=False)) as server,
        socket.create_connection(server.address) as slow,
    ):
        slow.sendall(sent)
        assert read_until_closed(slow) == b""
        assert server.post().status_code == 200


def test_an_idle_connection_is_closed_after_its_response() -> None:
    with (
        run_server(ServerSettings(header_timeout_s=0.3, vad_filter=False)) as server,
        socket.create_connection(server.address) as slow,
    ):
        slow.sendall(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\nGET /health/li")
        found = read_until_closed(slow)
        assert found.count(b"HTTP/1.1 200") == 1


def test_connections_above_the_limit_are_closed() -> None:
    with run_server(ServerSettings(max_connections=3, vad_filter=False)) as server:
        held = [socket.create_connection(server.address) for _ in range(3)]
        with socket.create_connection(server.address) as one_more:
            answer = read_until_closed(one_more)
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b'"code":"too_many_connections"' in answer
        assert b"retry-after: 1\r\n" in answer
        for connection in held:
            connection.close()
        server.wait_for(requests=0)
        assert server.post(tone()).status_code == 200
