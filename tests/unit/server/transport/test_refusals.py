"""Responses of a connection itself."""

from __future__ import annotations

import json

import h11

from neuron_whisper.server.transport.refusals import send_refusal


def read_events(sent: bytes) -> tuple[h11.Response, bytes]:
    client = h11.Connection(h11.CLIENT)
    client.send(h11.Request(method="GET", target="/", headers=[("host", "localhost")]))
    client.send(h11.EndOfMessage())
    client.receive_data(sent)
    response, body = client.next_event(), client.next_event()
    assert isinstance(response, h11.Response)
    assert isinstance(body, h11.Data)
    assert isinstance(client.next_event(), h11.EndOfMessage)
    return response, bytes(body.data)


def test_a_refusal_is_an_error_as_every_other_and_ends_its_connection() -> None:
    connection = h11.Connection(h11.SERVER)
    response, body = read_events(send_refusal(connection, 400, "that is not HTTP", code="invalid_http"))
    assert response.status_code == 400
    assert dict(response.headers)[b"content-type"] == b"application/json"
    assert json.loads(body)["error"] == {
        "message": "that is not HTTP",
        "type": "invalid_request_error",
        "param": None,
        "code": "invalid_http",
    }
    assert connection.our_state is h11.MUST_CLOSE


def test_a_refusal_may_say_when_to_try_again() -> None:
    connection = h11.Connection(h11.SERVER)
    sent = send_refusal(connection, 503, "full", code="too_many_connections", headers={"retry-after": "1"})
    response, body = read_events(sent)
    assert dict(response.headers)[b"retry-after"] == b"1"
    assert json.loads(body)["error"]["type"] == "server_error"
