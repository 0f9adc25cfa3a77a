"""Realtime sockets on servers of their own: keys, limits, drain, slow clients, and the official client."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from neuron_whisper.server import ServerSettings
from neuron_whisper.server.http.api_keys import create_key, write_keys
from tests.support.live_speech import pcm16, rising_tone
from tests.support.realtime_clients import (
    NO_TURN_DETECTION,
    SECOND,
    SETTINGS,
    append_event,
    open_client,
    open_refused,
    strip_replacement_characters,
)
from tests.support.servers import RunningServer, run_server, wait_for


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with run_server(SETTINGS) as made:
        yield made


# --- keys, limits and the end ---------------------------------------------------------------------


def test_a_socket_needs_an_api_key_and_browsers_may_send_theirs_as_subprotocol(tmp_path: Path) -> None:
    text, stored = create_key("one", ("user",), created="2026-01-01", max_requests=None)
    write_keys(tmp_path / "keys.json", [stored])
    offered: Any = ["realtime", f"openai-insecure-api-key.{text}", "openai-beta.realtime-v1"]
    with run_server(ServerSettings(vad_filter=False, keys_file=tmp_path / "keys.json")) as guarded:

        async def talk() -> tuple[int, str, str, str | None]:
            status, _ = await open_refused(guarded, "/v1/audio/stream")
            async with open_client(guarded, additional_headers={"Authorization": f"Bearer {text}"}) as client:
                first = await client.receive()
            async with open_client(guarded, subprotocols=offered) as client:
                return status, first["type"], (await client.receive())["type"], client.socket.subprotocol

        found = asyncio.run(talk())
    assert found == (401, "session.created", "transcription_session.created", "realtime")


def test_a_revoked_key_closes_its_open_sockets_and_no_others(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    ann, stored_ann = create_key("ann", ("user",), created="", max_requests=None)
    bob, stored_bob = create_key("bob", ("user",), created="", max_requests=None)
    _, renewed_ann = create_key("ann", ("user",), created="", max_requests=None)
    write_keys(file, [stored_ann, stored_bob])

    def send_key(text: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {text}"}

    with run_server(ServerSettings(vad_filter=False, keys_file=file)) as guarded:

        async def talk() -> tuple[int, str]:
            async with (
                open_client(guarded, additional_headers=send_key(ann)) as revoked,
                open_client(guarded, additional_headers=send_key(bob)) as other,
            ):
                await revoked.receive()
                await other.receive()
                write_keys(file, [renewed_ann, stored_bob])
                error = (await revoked.receive())["error"]
                code = await revoked.wait_closed()
                assert error["code"] == "invalid_api_key"
                await other.send({"type": "input_audio_buffer.clear"})
                return code, (await other.receive())["type"]

        assert asyncio.run(talk()) == (1008, "input_audio_buffer.cleared")


def test_a_key_cannot_hold_every_session(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    ann, stored_ann = create_key("ann", ("user",), created="", max_requests=None)
    bob, stored_bob = create_key("bob", ("user",), created="", max_requests=None)
    write_keys(file, [stored_ann, stored_bob])
    with run_server(ServerSettings(vad_filter=False, keys_file=file, realtime_sessions=2)) as guarded:

        async def talk() -> tuple[int, dict[str, Any], str]:
            first, second = ({"Authorization": f"Bearer {text}"} for text in (ann, bob))
            async with open_client(guarded, additional_headers=first) as held:
                await held.receive()
                status, error = await open_refused(guarded, "/v1/realtime", additional_headers=first)
                async with open_client(guarded, additional_headers=second) as other:
                    return status, error, (await other.receive())["type"]

        status, error, event = asyncio.run(talk())
    assert (status, error["code"], event) == (429, "rate_limit_exceeded", "session.created")


def test_an_idle_client_gets_its_pending_text_and_is_closed() -> None:
    # the header timeout does not apply to an open socket
    settings = ServerSettings(vad_filter=False, realtime_idle_s=1.0, header_timeout_s=0.5)
    with run_server(settings) as impatient:

        async def talk() -> tuple[list[dict[str, Any]], int]:
            async with open_client(impatient, "/v1/audio/stream?vad=false") as client:
                await client.send(SECOND)
                return await client.receive_until("final"), await client.wait_closed()

        events, code = asyncio.run(talk())
    assert events[-1]["text"]
    assert "error" in [event["type"] for event in events]
    assert code == 1008


def test_a_message_that_is_too_large_closes_the_socket() -> None:
    with run_server(ServerSettings(vad_filter=False, realtime_message_bytes=4096)) as small:

        async def talk() -> int:
            async with open_client(small, "/v1/audio/stream?vad=false") as client:
                await client.send(bytes(5000))
                return await client.wait_closed()

        assert asyncio.run(talk()) == 1009


def test_a_client_that_disconnects_frees_its_slot(server: RunningServer) -> None:
    async def talk() -> None:
        async with open_client(server) as client:
            server.session.gate.clear()
            await client.send(NO_TURN_DETECTION, append_event(SECOND), {"type": "input_audio_buffer.commit"})
            await client.receive_until("conversation.item.done")
            await asyncio.to_thread(server.wait_for, decoding=1)
            client.socket.transport.abort()

    try:
        asyncio.run(talk())
        server.session.gate.set()
        server.wait_for(decoding=0, waiting=0, requests=0)
    finally:
        server.session.gate.set()
    assert server.post().status_code == 200


def test_a_draining_server_sends_the_pending_text_and_closes() -> None:
    with run_server(SETTINGS) as ending:

        async def talk() -> tuple[list[dict[str, Any]], int]:
            async with open_client(ending) as client:
                await client.send(NO_TURN_DETECTION, append_event(SECOND))
                await client.receive_until("session.updated")
                ending.server._loop.call_soon_threadsafe(ending.server.begin_drain)  # type: ignore[union-attr]
                events = await client.receive_until("conversation.item.input_audio_transcription.completed")
                return events, await client.wait_closed()

        events, code = asyncio.run(talk())
    assert events[-1]["transcript"]
    assert code == 1001


# --- raw audio ------------------------------------------------------------------------------------


def test_a_full_buffer_slows_the_sender_and_loses_nothing(server: RunningServer) -> None:
    async def talk() -> list[dict[str, Any]]:
        async with open_client(server, "/v1/audio/stream?vad=false&partials=false") as client:
            sender = asyncio.create_task(client.send(*[pcm16(rising_tone(5.0))] * 25, {"type": "close"}))
            events = await client.receive_until("closed")
            await sender
            return events

    events = asyncio.run(talk())
    (final,) = (event for event in events if event["type"] == "final")
    assert final["end"] == 125
    assert final["segments"][-1]["start"] > 90


# --- the official client --------------------------------------------------------------------------


def test_the_official_client_transcribes_in_realtime(server: RunningServer) -> None:
    async def talk() -> tuple[str, str]:
        client = openai.AsyncOpenAI(
            base_url=f"{server.url}/v1", api_key="none", http_client=openai.DefaultAsyncHttpxClient(verify=False)
        )
        async with client, client.realtime.connect(extra_query={"intent": "transcription"}) as connection:
            await connection.session.update(
                session={
                    "type": "transcription",
                    "audio": {
                        "input": {
                            "format": {"type": "audio/pcm", "rate": 24_000},
                            "turn_detection": None,
                            "transcription": {"model": "whisper-1", "language": "en"},
                        }
                    },
                }
            )
            await connection.input_audio_buffer.append(audio=base64.b64encode(SECOND).decode())
            await connection.input_audio_buffer.commit()
            deltas = ""
            async for event in connection:
                if event.type == "conversation.item.input_audio_transcription.delta":
                    deltas += event.delta or ""
                if event.type == "conversation.item.input_audio_transcription.completed":
                    return deltas, event.transcript
        raise AssertionError("the connection ended")

    deltas, text = asyncio.run(talk())
    assert text
    assert strip_replacement_characters(deltas) == strip_replacement_characters(text)


def test_the_health_counts_no_socket_after_its_end(server: RunningServer) -> None:
    wait_for(server.url, requests=0)
    assert httpx.get(f"{server.url}/health/ready").status_code == 200
