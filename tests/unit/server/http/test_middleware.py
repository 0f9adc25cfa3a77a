"""API keys, request ids and log lines of requests."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from neuron_whisper.server import ServerSettings, create_app
from neuron_whisper.server.http.api_keys import create_key, write_keys
from tests.support.servers import TRANSCRIPTIONS, RunningServer, make_transcriber, read_error, tone
from tests.support.servers_with_keys import run_server_with_keys


def collect_handshake_messages(
    settings: ServerSettings, headers: list[tuple[bytes, bytes]]
) -> list[MutableMapping[str, Any]]:
    """What a WebSocket's handshake at a path below /v1 is answered."""
    served, _ = make_transcriber()
    sent: list[MutableMapping[str, Any]] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    scope = {
        "type": "websocket",
        "path": "/v1/none",
        "raw_path": b"/v1/none",
        "headers": headers,
        "query_string": b"",
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 2),
        "scheme": "ws",
        "root_path": "",
        "subprotocols": [],
        "extensions": {"websocket.http.response": {}},
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
    }
    try:
        asyncio.run(create_app(served, settings)(scope, receive, send))  # type: ignore[arg-type]  # enough of a scope
    finally:
        served.close()
    return sent


def test_a_key_is_required_below_v1_only(tmp_path: Path) -> None:
    with run_server_with_keys(tmp_path) as it:
        for path in ("/health/live", "/health/ready", "/metrics", "/", "/schema/openapi.json"):
            assert it.get(path).status_code == 200, path
        missing = it.get("/v1/models")
        assert read_error(missing, 401)["code"] is None
        assert missing.headers["www-authenticate"] == "Bearer"
        assert read_error(it.get("/v1/models", "nw-wrong"), 401)["code"] == "invalid_api_key"
        assert it.get("/v1/models", it.user).status_code == 200
        assert read_error(it.server.post(), 401)
        for odd in ("Basic abc", "Bearer", it.user, f"Token {it.user}", "bearer \xff\xfe"):
            with it.server.client() as client:
                answer = client.get("/v1/models", headers={b"authorization": odd.encode("latin-1")})
            read_error(answer, 401)


def test_admin_routes_reject_users(tmp_path: Path) -> None:
    with run_server_with_keys(tmp_path, metrics_need_key=True) as it:
        read_error(it.get("/metrics"), 401)
        assert read_error(it.get("/metrics", it.user), 403)["code"] == "insufficient_permissions"
        assert it.get("/metrics", it.admin).status_code == 200


def test_the_log_has_the_keys_id_and_not_the_key(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "neuron_whisper"), run_server_with_keys(tmp_path) as it:
        it.get("/v1/models", it.user)
        it.get("/v1/models", "nw-guessed")
    lines = [record.getMessage() for record in caplog.records]
    assert sum(" key=alice" in line for line in lines) == 1
    assert not any(it.user in line or "guessed" in line or it.admin in line for line in lines)
    assert it.user not in it.file.read_text()


def test_a_key_may_have_its_own_limit(tmp_path: Path) -> None:
    with run_server_with_keys(tmp_path) as it:
        it.server.session.gate.clear()
        held = {"authorization": f"Bearer {it.user}"}
        with it.server.client() as client:
            request = client.build_request("POST", TRANSCRIPTIONS, files={"file": tone()}, headers=held)

            async def both() -> httpx.Response:
                async with httpx.AsyncClient(base_url=it.server.url, timeout=20, verify=False) as clients:
                    first = asyncio.ensure_future(clients.post(TRANSCRIPTIONS, files={"file": tone()}, headers=held))
                    await asyncio.to_thread(it.server.wait_for, decoding=1)
                    second = await clients.post(TRANSCRIPTIONS, files={"file": tone()}, headers=held)
                    it.server.session.gate.set()
                    assert (await first).status_code == 200
                    return second

            refused = asyncio.run(both())
            assert read_error(refused, 429)["code"] == "rate_limit_exceeded"
            assert int(refused.headers["retry-after"]) >= 1
            assert client.send(request).status_code == 200


def test_a_websocket_without_a_key_is_rejected_in_the_handshake(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    text, stored = create_key("alice", ["user"], created="", max_requests=None)
    write_keys(file, [stored])
    settings = ServerSettings(keys_file=file)
    for headers in ([], [(b"sec-websocket-protocol", b"realtime, openai-insecure-api-key.nw-no")]):
        start, body = collect_handshake_messages(settings, headers)
        assert (start["type"], start["status"]) == ("websocket.http.response.start", 401)
        assert b'"error"' in body["body"]
    for name, value in (
        (b"authorization", f"Bearer {text}"),
        (b"sec-websocket-protocol", f"realtime, openai-insecure-api-key.{text}, openai-beta.realtime-v1"),
    ):
        (closed,) = collect_handshake_messages(settings, [(name, value.encode())])
        assert closed["type"] == "websocket.close"  # there is no such route, and that it says to those with a key


def test_every_request_has_one_log_line_without_text(server: RunningServer, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "neuron_whisper.server"), server.client() as client:
        answer = client.post(
            TRANSCRIPTIONS,
            headers={"x-request-id": "mine-1"},
            files={"file": ("secret.wav", tone())},
            data={"prompt": "Nakamura"},
        )
        client.get("/health/live")
    assert answer.headers["x-request-id"] == "mine-1"
    first, second = (record.getMessage() for record in caplog.records)
    assert re.fullmatch(
        r"request id=mine-1 method=POST path=/v1/audio/transcriptions status=200 took_ms=[\d.]+ "
        r"upload_bytes=32044 format=json audio_s=1.00 language=\w+",
        first,
    )
    assert re.fullmatch(r"request id=req_\w{24} method=GET path=/health/live status=200 took_ms=[\d.]+", second)
