"""Handshakes and frames; tests/integration/test_hostile_connections.py has them on sockets."""

from __future__ import annotations

import h11
import pytest
from websockets.http11 import Response

from neuron_whisper.server.transport.websocket_connections import MAX_FRAGMENTS, MeteredFrames, find_handshake_problem
from tests.support.hostile_connections import CONTINUATION, TEXT, make_frame


def parse_request(*lines: str) -> h11.Request:
    connection = h11.Connection(h11.SERVER)
    connection.receive_data("\r\n".join((*lines, "Host: localhost", "", "")).encode())
    request = connection.next_event()
    assert isinstance(request, h11.Request)
    return request


@pytest.mark.parametrize(
    ("lines", "is_refused"),
    [
        (("GET / HTTP/1.1",), False),
        (("GET / HTTP/1.1", "Content-Length: 0"), False),
        (("GET / HTTP/1.1", "Content-Length: 10"), True),
        (("GET / HTTP/1.1", "Transfer-Encoding: chunked"), True),
        (("GET / HTTP/1.0",), True),
        (("PUT / HTTP/1.1",), True),
    ],
)
def test_a_handshake_is_a_get_without_a_body(lines: tuple[str, ...], is_refused: bool) -> None:
    assert (find_handshake_problem(parse_request(*lines)) is not None) == is_refused


def open_frames() -> MeteredFrames:
    """The protocol after its handshake."""
    frames = MeteredFrames(max_size=None)
    frames.send_response(Response(101, "Switching Protocols", frames.reject(400, "").headers))
    return frames


def test_more_fragments_than_the_limit_end_a_message() -> None:
    frames = open_frames()
    frames.receive_data(make_frame(TEXT, b"x" * 100, is_final=False))
    piece = make_frame(CONTINUATION, b"x" * 100, is_final=False)
    frames.receive_data(piece * MAX_FRAGMENTS)
    assert frames.parser_exc is None
    frames.receive_data(piece)
    assert frames.limit_exceeded
    assert frames.close_sent is not None
    assert frames.close_sent.code == 1008


def test_another_fault_keeps_its_code() -> None:
    frames = open_frames()
    frames.receive_data(make_frame(CONTINUATION, b"x"))
    assert not frames.limit_exceeded
    assert frames.close_sent is not None
    assert frames.close_sent.code == 1002
