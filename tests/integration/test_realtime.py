"""Realtime sockets over the wire, on the real server with a small program: OpenAI's events and raw audio."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import wave
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from neuron_whisper.server import ServerSettings
from neuron_whisper.server.http.api_keys import create_key, write_keys
from tests.support.live_speech import pcm16, rising_tone
from tests.support.servers import TIMEOUT_S, RunningServer, run_server, wait_for

SETTINGS = ServerSettings(vad_filter=False, realtime_sessions=3, realtime_idle_s=20.0)
NO_TURN_DETECTION = {
    "type": "session.update",
    "session": {
        "type": "transcription",
        "audio": {
            "input": {
                "format": {"type": "audio/pcm", "rate": 16_000},
                "turn_detection": None,
            }
        },
    },
}
REALTIME = "/v1/realtime?intent=transcription"
SECOND = pcm16(rising_tone(1.0))


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with run_server(SETTINGS) as made:
        yield made


def append_event(data: bytes, **more: str) -> str:
    audio = base64.b64encode(data).decode()
    return json.dumps({"type": "input_audio_buffer.append", "audio": audio, **more})


def strip_replacement_characters(text: str) -> str:
    """Without bytes that are no characters: the test program's tokens are random bytes."""
    return text.replace("\ufffd", "")


class RealtimeClient:
    """A socket whose messages are JSON."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket

    async def send(self, *messages: dict[str, Any] | str | bytes) -> None:
        for message in messages:
            await self.socket.send(json.dumps(message) if isinstance(message, dict) else message)

    async def receive(self) -> dict[str, Any]:
        async with asyncio.timeout(3 * TIMEOUT_S):
            event = json.loads(await self.socket.recv())
        assert isinstance(event, dict)
        return event

    async def receive_until(self, kind: str) -> list[dict[str, Any]]:
        """All events up to the first of this type."""
        events = [await self.receive()]
        while events[-1]["type"] != kind:
            events.append(await self.receive())
        return events

    async def wait_closed(self) -> int:
        """The server's close code, after the events it still sends."""
        async with asyncio.timeout(3 * TIMEOUT_S):
            with suppress(ConnectionClosed):
                while True:
                    await self.receive()
        code = self.socket.close_code
        assert code is not None
        return code


@asynccontextmanager
async def open_client(server: RunningServer, path: str = REALTIME, **more: Any) -> AsyncIterator[RealtimeClient]:
    async with connect(f"ws://127.0.0.1:{server.address[1]}{path}", open_timeout=TIMEOUT_S, **more) as socket:
        yield RealtimeClient(socket)


async def open_refused(server: RunningServer, path: str, **more: Any) -> tuple[int, dict[str, Any]]:
    """Status and error of a handshake that is rejected."""
    with pytest.raises(InvalidStatus) as caught:
        async with open_client(server, path, **more):
            raise AssertionError("the handshake was accepted")
    response = caught.value.response
    error = json.loads(response.body)["error"]
    assert error.keys() == {"message", "type", "param", "code"}
    return response.status_code, error


# --- OpenAI's events ------------------------------------------------------------------------------


async def commit_a_second(client: RealtimeClient) -> list[dict[str, Any]]:
    await client.send(NO_TURN_DETECTION)
    await client.receive_until("session.updated")
    await client.send(append_event(SECOND), {"type": "input_audio_buffer.commit"})
    return await client.receive_until("conversation.item.input_audio_transcription.completed")


def test_a_commit_yields_its_item_and_then_its_text(server: RunningServer) -> None:
    async def talk() -> list[dict[str, Any]]:
        async with open_client(server) as client:
            created = await client.receive()
            assert created["type"] == "session.created"
            assert created["session"]["audio"]["input"]["transcription"]["model"] == "turbo"
            return await commit_a_second(client)

    events = asyncio.run(talk())
    kinds = [event["type"] for event in events if not event["type"].endswith(".delta")]
    assert kinds == [
        "input_audio_buffer.committed",
        "conversation.item.added",
        "conversation.item.done",
        "conversation.item.input_audio_transcription.completed",
    ]
    assert len({event["item_id"] for event in events if "item_id" in event}) == 1
    done = events[-1]
    assert done["transcript"]
    assert done["usage"] == {"type": "duration", "seconds": 1.0}
    assert len({event["event_id"] for event in events}) == len(events)


def test_a_live_text_is_the_text_of_the_file(server: RunningServer) -> None:
    held = io.BytesIO()
    with wave.open(held, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(SECOND)
    text = server.post(held.getvalue()).json()["text"]

    async def talk() -> list[dict[str, Any]]:
        async with open_client(server) as client:
            return await commit_a_second(client)

    assert asyncio.run(talk())[-1]["transcript"] == text


def test_deltas_are_the_beginning_of_the_text_or_all_of_it(server: RunningServer) -> None:
    update = json.loads(json.dumps(NO_TURN_DETECTION))
    update["session"]["include"] = ["item.input_audio_transcription.logprobs"]

    async def talk() -> list[dict[str, Any]]:
        async with open_client(server) as client:
            await client.send(update, append_event(SECOND), {"type": "input_audio_buffer.commit"})
            return await client.receive_until("conversation.item.input_audio_transcription.completed")

    events = asyncio.run(talk())
    deltas = [event for event in events if event["type"].endswith(".delta")]
    assert strip_replacement_characters("".join(event["delta"] for event in deltas)) == strip_replacement_characters(
        events[-1]["transcript"]
    )
    for event in (*deltas, events[-1]):
        assert event["logprobs"]
        assert all(
            it["logprob"] <= 0 and bytes(it["bytes"]).decode("utf-8", "replace") == it["token"]
            for it in event["logprobs"]
        )


def test_a_client_that_asks_for_the_beta_gets_its_event_names(server: RunningServer) -> None:
    async def talk() -> tuple[dict[str, Any], list[dict[str, Any]]]:
        async with open_client(server, additional_headers={"OpenAI-Beta": "realtime=v1"}) as client:
            created = await client.receive()
            await client.send(
                {
                    "type": "transcription_session.update",
                    "session": {
                        "input_audio_format": "pcm16",
                        "turn_detection": None,
                        "input_audio_transcription": {"model": "whisper-1", "language": "en", "prompt": "Names."},
                    },
                }
            )
            await client.send(append_event(SECOND), {"type": "input_audio_buffer.commit"})
            return created, await client.receive_until("conversation.item.input_audio_transcription.completed")

    created, events = asyncio.run(talk())
    assert created["type"] == "transcription_session.created"
    assert events[0]["type"] == "transcription_session.updated"
    assert events[0]["session"]["input_audio_transcription"] == {
        "model": "whisper-1",
        "language": "en",
        "prompt": "Names.",
    }
    assert "conversation.item.created" in [event["type"] for event in events]
    assert events[-1]["usage"]["seconds"] == pytest.approx(2 / 3, abs=0.01)  # sent as 24 kHz


@pytest.mark.parametrize(
    ("update", "param"),
    [
        ({"type": "realtime"}, "session.type"),
        ({"audio": {"output": {}}}, "session.audio.output"),
        ({"audio": {"input": {"format": {"type": "audio/opus"}}}}, "session.audio.input.format.type"),
        ({"audio": {"input": {"format": {"type": "audio/pcm", "rate": 7}}}}, "session.audio.input.format.rate"),
        ({"audio": {"input": {"noise_reduction": {"type": "near_field"}}}}, "session.audio.input.noise_reduction"),
        ({"audio": {"input": {"turn_detection": {"type": "semantic_vad"}}}}, "session.audio.input.turn_detection.type"),
        (
            {"audio": {"input": {"turn_detection": {"type": "server_vad", "threshold": 2}}}},
            "session.audio.input.turn_detection.threshold",
        ),
        ({"audio": {"input": {"transcription": {"delay": "low"}}}}, "session.audio.input.transcription.delay"),
        ({"audio": {"input": {"transcription": {"model": "gpt-9"}}}}, "model"),
        ({"audio": {"input": {"transcription": {"language": "tlh"}}}}, "session.audio.input.transcription.language"),
        ({"audio": {"input": {"transcription": None}}}, "session.audio.input.transcription"),
        ({"include": ["everything"]}, "session.include[0]"),
        ({"instructions": "be brief"}, "session.instructions"),
    ],
)
def test_an_unsupported_setting_is_refused_by_name(server: RunningServer, update: dict[str, Any], param: str) -> None:
    async def talk() -> dict[str, Any]:
        async with open_client(server) as client:
            await client.receive_until("session.created")
            await client.send({"type": "session.update", "event_id": "mine", "session": update})
            return await client.receive()

    event = asyncio.run(talk())
    assert event["type"] == "error"
    assert (event["error"]["param"], event["error"]["event_id"]) == (param, "mine")
    assert event["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("{", "invalid_json"),
        ("[" * 100_000, "invalid_json"),
        ("[]", "invalid_event"),
        (b"\x00\x01", "invalid_event"),
        ('{"type": "response.create"}', "invalid_event_type"),
        ('{"type": 7}', "invalid_event_type"),
        ('{"type": "input_audio_buffer.append", "audio": "!!"}', "invalid_value"),
        ('{"type": "input_audio_buffer.append"}', "invalid_value"),
        ('{"type": "input_audio_buffer.commit"}', "input_audio_buffer_commit_empty"),
        ('{"type": "session.update"}', "invalid_value"),
    ],
)
def test_an_invalid_message_is_an_error_event_and_the_session_continues(
    server: RunningServer, message: str | bytes, code: str
) -> None:
    async def talk() -> dict[str, Any]:
        async with open_client(server) as client:
            await client.receive_until("session.created")
            await client.send(message)
            event = await client.receive()
            await commit_a_second(client)
            return event

    event = asyncio.run(talk())
    assert (event["type"], event["error"]["code"]) == ("error", code)


def test_session_close_sends_the_pending_text_first(server: RunningServer) -> None:
    async def talk() -> tuple[list[dict[str, Any]], int]:
        async with open_client(server) as client:
            await client.send(NO_TURN_DETECTION, append_event(SECOND), {"type": "session.close"})
            return await client.receive_until("session.closed"), await client.wait_closed()

    events, code = asyncio.run(talk())
    assert events[-2]["type"] == "conversation.item.input_audio_transcription.completed"
    assert code == 1000


def test_a_buffer_that_is_cleared_has_nothing_to_commit(server: RunningServer) -> None:
    async def talk() -> list[dict[str, Any]]:
        async with open_client(server) as client:
            await client.send(NO_TURN_DETECTION, append_event(SECOND), {"type": "input_audio_buffer.clear"})
            await client.receive_until("input_audio_buffer.cleared")
            await client.send({"type": "input_audio_buffer.commit"})
            return await client.receive_until("error")

    assert asyncio.run(talk())[-1]["error"]["code"] == "input_audio_buffer_commit_empty"


# --- the handshake --------------------------------------------------------------------------------


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


def test_a_page_of_another_origin_is_rejected(server: RunningServer) -> None:
    status, _ = asyncio.run(open_refused(server, "/v1/realtime", origin="https://elsewhere.example"))
    assert status == 403


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


def test_raw_audio_yields_text_and_close_waits_for_it(server: RunningServer) -> None:
    async def talk() -> tuple[list[dict[str, Any]], int]:
        async with open_client(server, "/v1/audio/stream?sample_rate=16000&language=en&vad=false") as client:
            await client.send(SECOND, {"type": "flush"}, SECOND[:16_000], {"type": "close"})
            return await client.receive_until("closed"), await client.wait_closed()

    events, code = asyncio.run(talk())
    assert events[0]["type"] == "ready"
    finals = [event for event in events if event["type"] == "final"]
    assert [(final["start"], final["end"]) for final in finals] == [(0, 1), (1, 1.5)]
    assert all(final["text"] for final in finals)
    assert code == 1000


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("sample_rate=16001", "sample_rate"),
        ("encoding=mp3", "encoding"),
        ("threshold=x", "threshold"),
        ("vad=perhaps", "vad"),
        ("speed=2", "speed"),
        ("language=tlh", "language"),
    ],
)
def test_an_invalid_parameter_is_rejected_in_the_handshake(server: RunningServer, query: str, param: str) -> None:
    status, error = asyncio.run(open_refused(server, f"/v1/audio/stream?{query}"))
    assert (status, error["param"]) == (400, param)


def test_audio_may_be_cut_anywhere(server: RunningServer) -> None:
    async def talk(lengths: list[int]) -> str:
        async with open_client(server, "/v1/audio/stream?vad=false") as client:
            at = 0
            for length in lengths:
                await client.send(SECOND[at : at + length])
                at += length
            await client.send(SECOND[at:], {"type": "close"})
            return str((await client.receive_until("final"))[-1]["text"])

    whole = asyncio.run(talk([]))
    assert whole
    assert asyncio.run(talk([1, 1, 3001, 7, 12_345])) == whole


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
