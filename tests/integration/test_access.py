"""Keys: who comes in, who does not, and that no key is ever said aloud."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from neuron_whisper.errors import InvalidOption
from neuron_whisper.server import ServerSettings, create_app
from neuron_whisper.server.http.api_keys import ApiKeyStore, create_key, read_keys, write_keys
from neuron_whisper.server.run import _is_loopback
from tests.support.servers import TRANSCRIPTIONS, RunningServer, make_transcriber, read_error, run_server, tone


class ServerWithKeys:
    """A running server with two keys."""

    def __init__(self, server: RunningServer, file: Path, user: str, admin: str) -> None:
        self.server, self.file, self.user, self.admin = server, file, user, admin

    def get(self, path: str, key: str | None = None, **headers: str) -> httpx.Response:
        given = {"authorization": f"Bearer {key}"} if key is not None else {}
        with self.server.client() as client:
            return client.get(path, headers={**given, **headers})


@contextmanager
def run_server_with_keys(tmp_path: Path, **more: Any) -> Iterator[ServerWithKeys]:
    file = tmp_path / "keys.json"
    user, stored_user = create_key("alice", ["user"], created="2026-01-01", max_requests=1)
    admin, stored_admin = create_key("root", ["user", "admin"], created="2026-01-01", max_requests=None)
    write_keys(file, [stored_user, stored_admin])
    with run_server(ServerSettings(vad_filter=False, keys_file=file, **more)) as server:
        yield ServerWithKeys(server, file, user, admin)


def test_a_key_is_asked_for_below_v1_and_nowhere_else(tmp_path: Path) -> None:
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


def test_the_official_client_sends_its_key_and_is_told_of_a_wrong_one(tmp_path: Path) -> None:
    with run_server_with_keys(tmp_path) as it:
        clip = ("tone.wav", tone())
        with openai.OpenAI(base_url=f"{it.server.url}/v1", api_key=it.user) as good:
            assert good.audio.transcriptions.create(model="whisper-1", file=clip).text
        with (
            openai.OpenAI(base_url=f"{it.server.url}/v1", api_key="nw-no") as bad,
            pytest.raises(openai.AuthenticationError),
        ):
            bad.audio.transcriptions.create(model="whisper-1", file=clip)


def test_what_is_for_admins_is_not_for_users(tmp_path: Path) -> None:
    with run_server_with_keys(tmp_path, metrics_need_key=True) as it:
        read_error(it.get("/metrics"), 401)
        assert read_error(it.get("/metrics", it.user), 403)["code"] == "insufficient_permissions"
        assert it.get("/metrics", it.admin).status_code == 200


def test_keys_are_changed_without_a_restart(tmp_path: Path) -> None:
    now = 0.0
    file = tmp_path / "keys.json"
    one, stored_one = create_key("one", ["user"], created="", max_requests=None)
    two, stored_two = create_key("two", ["user"], created="", max_requests=7)
    write_keys(file, [stored_one])
    ring = ApiKeyStore(file, clock=lambda: now)
    write_keys(file, [stored_two])
    assert ring.find_client(one) is not None  # the file is looked at once a second
    now = 1.0
    assert ring.find_client(one) is None
    found = ring.find_client(two)
    assert found is not None
    assert (found.id, found.max_requests) == ("two", 7)
    file.write_text("{")
    now = 2.0
    assert ring.find_client(two) is not None  # a broken file locks nobody out
    file.unlink()
    now = 3.0
    assert ring.find_client(two) is not None
    write_keys(file, [stored_one])
    ring.reload()
    assert ring.find_client(one) is not None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        '{"keys": [{"id": "a"}]}',
        '{"keys": [{"id": "a", "sha256": "00"}]}',
        '{"other": 1}',
        '{"keys": [{"id": "a b", "sha256": "' + "0" * 64 + '"}]}',
    ],
)
def test_a_server_does_not_start_with_keys_that_it_cannot_read(tmp_path: Path, text: str) -> None:
    file = tmp_path / "keys.json"
    file.write_text(text)
    with pytest.raises(InvalidOption, match=r"^keys_file: "):
        ApiKeyStore(file)
    with pytest.raises(InvalidOption, match=r"^keys_file: "):
        ApiKeyStore(tmp_path / "none.json")


def test_keys_that_anybody_can_write_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    write_keys(file, [])
    assert file.stat().st_mode & 0o777 == 0o600
    file.chmod(0o666)
    with pytest.raises(InvalidOption, match="others cannot write"):
        read_keys(file)


def test_the_log_tells_the_keys_id_and_never_the_key(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "neuron_whisper"), run_server_with_keys(tmp_path) as it:
        it.get("/v1/models", it.user)
        it.get("/v1/models", "nw-guessed")
    lines = [record.getMessage() for record in caplog.records]
    assert sum(" key=alice" in line for line in lines) == 1
    assert not any(it.user in line or "guessed" in line or it.admin in line for line in lines)
    assert it.user not in it.file.read_text()


def test_a_key_has_a_limit_of_its_own(tmp_path: Path) -> None:
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


def test_a_websocket_without_a_key_never_becomes_one(tmp_path: Path) -> None:
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


def test_pages_of_other_origins_may_ask_only_where_they_are_named(tmp_path: Path) -> None:
    ours, other = "https://app.example.com", "https://evil.example.com"
    with run_server_with_keys(tmp_path, cors_origins=(ours,)) as it, it.server.client() as client:
        asking = {"access-control-request-method": "POST", "access-control-request-headers": "authorization"}
        allowed = client.options(TRANSCRIPTIONS, headers={"origin": ours, **asking})
        assert allowed.status_code == 204
        assert allowed.headers["access-control-allow-origin"] == ours
        denied = client.options(TRANSCRIPTIONS, headers={"origin": other, **asking})
        assert "access-control-allow-origin" not in denied.headers
        refused = it.get("/v1/models", origin=ours)
        assert refused.status_code == 401
        assert refused.headers["access-control-allow-origin"] == ours  # so that the page can read why
    with run_server() as server, server.client() as client:
        plain = client.get("/v1/models", headers={"origin": ours})
        assert not [name for name in plain.headers if "control-allow" in name]


@pytest.mark.parametrize(
    ("host", "is_safe"),
    [
        ("127.0.0.1", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("10.0.0.1", False),
        ("example.com", False),
    ],
)
def test_an_address_that_others_reach_is_known(host: str, is_safe: bool) -> None:
    assert _is_loopback(host) == is_safe


def test_the_document_says_which_routes_want_a_key(tmp_path: Path) -> None:
    def wanting(document: dict[str, Any]) -> set[str]:
        operations = [(path, it) for path, item in document["paths"].items() for it in item.values()]
        return {path for path, it in operations if it.get("security")}

    with run_server_with_keys(tmp_path, model_admin=True, jobs_dir=tmp_path / "jobs") as it:
        document = it.get("/schema/openapi.json", it.user).json()
    paths = set(document["paths"])
    assert wanting(document) == {path for path in paths if path.startswith("/v1/")}
    assert {"/v1/models/load", "/v1/jobs", "/v1/audio/transcriptions"} < wanting(document) < paths
    assert document["components"]["securitySchemes"]["key"]["scheme"] == "bearer"
    with run_server() as open_to_all, open_to_all.client() as client:
        document = client.get("/schema/openapi.json").json()
    assert not wanting(document)
    assert "securitySchemes" not in document["components"]
