"""Uploads that pause or are too slow."""

from __future__ import annotations

import asyncio
import socket

import pytest
from litestar.types.asgi_types import ReceiveMessage

from neuron_whisper.server import ServerSettings
from neuron_whisper.server.http.errors import UploadTooSlow
from neuron_whisper.server.http.upload_limits import limit_upload
from tests.support.hostile_connections import read_until_closed
from tests.support.servers import TRANSCRIPTIONS, run_server

HEAD = f"POST {TRANSCRIPTIONS} HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=edge\r\n"


def test_an_upload_that_pauses_gets_408() -> None:
    with (
        run_server(ServerSettings(upload_idle_s=0.2, vad_filter=False)) as server,
        socket.create_connection(server.address) as slow,
    ):
        slow.sendall(f"{HEAD}Content-Length: 99999\r\n\r\n--edge\r\n".encode())
        assert read_until_closed(slow).startswith(b"HTTP/1.1 408 ")
        server.wait_for(requests=0)


def test_a_slow_upload_is_aborted_after_the_grace_period(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("neuron_whisper.server.http.upload_limits.RATE_GRACE_S", 0.0)

    async def trickle() -> ReceiveMessage:
        await asyncio.sleep(0.01)
        return {"type": "http.request", "body": b"x", "more_body": True}

    async def rest() -> None:
        receive = limit_upload(trickle, {}, idle_s=5, min_bytes_per_s=10_000)
        while True:
            await receive()

    with pytest.raises(UploadTooSlow, match="slower than 10000 bytes/s"):
        asyncio.run(rest())
