"""Responses of a connection itself, to what never becomes a request: JSON as any other error has."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from http import HTTPStatus

import h11
import msgspec

from neuron_whisper.server.http.errors import make_error_response

TOO_MANY_CONNECTIONS = "too_many_connections"
INVALID_HANDSHAKE = "invalid_handshake"


def build_refusal(
    status: int, message: str, *, code: str, headers: Mapping[str, str] | None = None
) -> tuple[dict[str, str], bytes]:
    """The headers and the body of the response, after which the connection has to be closed."""
    body = msgspec.json.encode(make_error_response(status, message, code=code).content)
    fields = {
        "content-type": "application/json",
        "content-length": str(len(body)),
        "connection": "close",
        "x-request-id": f"req_{secrets.token_hex(12)}",
    }
    return {**fields, **(headers or {})}, body


def send_refusal(
    connection: h11.Connection, status: int, message: str, *, code: str, headers: Mapping[str, str] | None = None
) -> bytes:
    """The bytes of the response."""
    fields, body = build_refusal(status, message, code=code, headers=headers)
    start = h11.Response(
        status_code=status,
        headers=[(name.encode(), value.encode()) for name, value in fields.items()],
        reason=HTTPStatus(status).phrase.encode(),
    )
    events: tuple[h11.Response | h11.Data | h11.EndOfMessage, ...] = (start, h11.Data(data=body), h11.EndOfMessage())
    return b"".join(connection.send(event) or b"" for event in events)
