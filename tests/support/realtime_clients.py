"""Clients of the realtime WebSockets, for tests."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from neuron_whisper.server import ServerSettings
from tests.support.live_speech import pcm16, rising_tone
from tests.support.servers import TIMEOUT_S, RunningServer

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


async def commit_a_second(client: RealtimeClient) -> list[dict[str, Any]]:
    await client.send(NO_TURN_DETECTION)
    await client.receive_until("session.updated")
    await client.send(append_event(SECOND), {"type": "input_audio_buffer.commit"})
    return await client.receive_until("conversation.item.input_audio_transcription.completed")
