"""The handshake of a realtime socket: what is rejected, and how."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from msgspec.structs import replace

from tests.support.realtime_clients import (
    SETTINGS,
    open_client,
    open_refused,
)
from tests.support.servers import RunningServer, run_server


@pytest.mark.parametrize(
    ("query", "status", "param"),
    [
        ("?intent=conversation", 400, "intent"),
        ("?intent=transcription&model=gpt-9", 404, "model"),
        ("?call_id=1", 400, "call_id"),
    ],
)
def test_a_handshake_with_invalid_parameters_is_rejected(
    server: RunningServer, query: str, status: int, param: str
) -> None:
    found, error = asyncio.run(open_refused(server, f"/v1/realtime{query}"))
    assert (found, error["param"]) == (status, param)


@pytest.mark.parametrize("path", ["/v1/realtime?model=&intent=", "/v1/audio/stream?language=%20&model=%20turbo&vad=0"])
def test_a_blank_parameter_is_absent(server: RunningServer, path: str) -> None:
    async def greet() -> str:
        async with open_client(server, path) as client:
            return str((await client.receive())["type"])

    assert asyncio.run(greet()) in ("session.created", "ready")


def test_a_page_of_another_origin_is_rejected(server: RunningServer) -> None:
    status, _ = asyncio.run(open_refused(server, "/v1/realtime", origin="https://elsewhere.example"))
    assert status == 403


def test_a_page_of_a_listed_origin_may_connect() -> None:
    listed = ("https://app.example.com", "app://obsidian.md", "file://")
    with run_server(replace(SETTINGS, cors_origins=listed)) as server:

        async def greet(origin: str) -> str:
            async with open_client(server, origin=origin) as client:
                return str((await client.receive())["type"])

        for origin in listed:
            assert asyncio.run(greet(origin)) == "session.created"
        for origin in ("app://other", "null", "http://app.example.com"):
            status, error = asyncio.run(open_refused(server, "/v1/realtime", origin=origin))
            assert (status, error["code"]) == (403, "origin_not_allowed")


def test_a_session_over_the_limit_is_503_until_another_ends(server: RunningServer) -> None:
    async def talk() -> tuple[int, dict[str, Any]]:
        async with open_client(server), open_client(server):
            async with open_client(server) as third:
                await third.receive()
                answer = await open_refused(server, "/v1/realtime")
                await third.send({"type": "session.close"})
                assert await third.wait_closed() == 1000
            async with open_client(server) as again:
                assert (await again.receive())["type"] == "session.created"
        return answer

    status, error = asyncio.run(talk())
    assert (status, error["code"]) == (503, "no_capacity")
    assert "3 realtime sessions" in error["message"]
