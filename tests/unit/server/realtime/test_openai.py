"""OpenAI's realtime protocol over a real socket, on a small program."""

from __future__ import annotations

import asyncio
import io
import json
import wave
from typing import Any

import pytest

from tests.support.realtime_clients import (
    NO_TURN_DETECTION,
    SECOND,
    append_event,
    commit_a_second,
    open_client,
    strip_replacement_characters,
)
from tests.support.servers import RunningServer


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


def test_a_long_prompt_is_refused_before_it_is_encoded_and_counted(server: RunningServer) -> None:
    def build_update(**transcription: object) -> dict[str, Any]:
        session = {"type": "transcription", "audio": {"input": {"transcription": transcription}}}
        return {"type": "session.update", "session": session}

    async def talk() -> list[dict[str, Any]]:
        async with open_client(server) as client:
            await client.receive()
            await client.send(
                build_update(prompt="x" * 16_385),
                build_update(keywords=["word"] * 4_000),
                build_update(prompt="x" * 2_000_000),
            )
            return [await client.receive() for _ in range(3)]

    def read_count() -> float:
        with server.client() as client:
            text = client.get("/metrics").text
        lines = [line for line in text.splitlines() if "requests_rejected_total" in line and "text_too_long" in line]
        return float(lines[0].split()[-1]) if lines else 0.0

    before = read_count()
    errors = [event["error"] for event in asyncio.run(talk())]
    path = "session.audio.input.transcription"
    assert [error["param"] for error in errors] == [f"{path}.prompt", f"{path}.keywords", "message"]
    assert {error["code"] for error in errors} == {"text_too_long"}
    assert read_count() == before + 3


def test_an_odd_byte_ends_with_its_buffer(server: RunningServer) -> None:
    async def talk(end: str) -> str:
        async with open_client(server) as client:
            await client.send(NO_TURN_DETECTION, append_event(b"\x01" * 6_401), {"type": end})
            await client.send(append_event(SECOND), {"type": "input_audio_buffer.commit"})
            wanted = 2 if end.endswith("commit") else 1
            for _ in range(wanted):
                events = await client.receive_until("conversation.item.input_audio_transcription.completed")
            return str(events[-1]["transcript"])

    async def talk_once() -> str:
        async with open_client(server) as client:
            return str((await commit_a_second(client))[-1]["transcript"])

    expected = asyncio.run(talk_once())
    assert asyncio.run(talk("input_audio_buffer.clear")) == expected
    assert asyncio.run(talk("input_audio_buffer.commit")) == expected


def test_noise_reduction_is_acknowledged_as_null(server: RunningServer) -> None:
    async def talk() -> list[dict[str, Any]]:
        async with open_client(server) as client:
            await client.receive()
            wanted = {"noise_reduction": {"type": "near_field"}}
            await client.send({"type": "session.update", "session": {"audio": {"input": wanted}}})
            first = await client.receive()
            wanted = {"input_audio_noise_reduction": {"type": "far_field"}}
            await client.send({"type": "transcription_session.update", "session": wanted})
            return [first, await client.receive()]

    current, beta = asyncio.run(talk())
    assert current["session"]["audio"]["input"]["noise_reduction"] is None
    assert beta["session"]["input_audio_noise_reduction"] is None


def test_another_name_of_the_model_is_no_other_model(server: RunningServer) -> None:
    async def talk() -> dict[str, Any]:
        async with open_client(server) as client:
            await commit_a_second(client)
            renamed = {"audio": {"input": {"transcription": {"model": "whisper-1"}}}}
            await client.send({"type": "session.update", "session": renamed})
            return await client.receive()

    updated = asyncio.run(talk())
    assert updated["type"] == "session.updated"
    assert updated["session"]["audio"]["input"]["transcription"]["model"] == "whisper-1"


def test_a_prompt_that_does_not_fit_is_warned_of_with_the_text(server: RunningServer) -> None:
    async def talk() -> dict[str, Any]:
        async with open_client(server) as client:
            transcription = {"prompt": "first " + "x" * 999}
            session = {"type": "transcription", "audio": {"input": {"transcription": transcription}}}
            await client.send({"type": "session.update", "session": session})
            return (await commit_a_second(client))[-1]

    (warning,) = asyncio.run(talk())["warnings"]
    assert "'first xxx" in warning
