"""Streams over HTTP."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import Any

import httpx

from tests.support.servers import TIMEOUT_S, TRANSCRIPTIONS, read_error, run_server, tone

STREAM_FIELDS = {
    "stream": "true",
    "long_form": "sequential",
    "compression_ratio_threshold": "none",
    "logprob_threshold": "none",
    "no_speech_threshold": "none",
}


STEPS = 13  # of a window, at most


class HoldAfter(threading.Event):
    """A gate that lets so many steps through before it holds."""

    def __init__(self, steps: int) -> None:
        super().__init__()
        self._steps = steps

    def wait(self, timeout: float | None = None) -> bool:
        self._steps -= 1
        return self._steps >= 0 or super().wait(timeout)


def parse_events(body: str) -> list[dict[str, Any]]:
    blocks = [block for block in body.split("\n\n") if block]
    assert all(block.startswith("data: ") and "\n" not in block for block in blocks)
    return [json.loads(block.removeprefix("data: ")) for block in blocks]


def test_a_stream_is_not_buffered_by_proxies() -> None:
    with run_server() as server:
        answer = server.post(tone(seconds=0.4), **STREAM_FIELDS)
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert (answer.headers["cache-control"], answer.headers["x-accel-buffering"]) == ("no-cache", "no")
    assert answer.headers["x-request-id"]
    events = parse_events(answer.text)
    assert [event["type"] for event in events] == ["transcript.text.delta"] * (len(events) - 1) + [
        "transcript.text.done"
    ]


def test_a_delta_is_sent_before_the_next_window_and_a_disconnect_frees_the_slot() -> None:
    with run_server(slots=1) as server:
        gate = server.session.gate = HoldAfter(STEPS)
        with (
            server.client() as client,
            client.stream("POST", TRANSCRIPTIONS, files={"file": tone(seconds=95)}, data=STREAM_FIELDS) as answer,
        ):
            lines = answer.iter_lines()  # held: letting go of it closes the connection
            assert json.loads(next(lines).removeprefix("data: "))["type"] == "transcript.text.delta"
            server.wait_for(decoding=1, requests=1)
        server.wait_for(requests=0)
        gate.set()
        server.wait_for(decoding=0, waiting=0)
        assert server.transcriber.status.completed < 4
        assert server.post(tone(seconds=0.4)).status_code == 200


def test_an_error_during_a_stream_is_its_last_event() -> None:
    with run_server(fault_at=STEPS + 5) as server:
        events = parse_events(server.post(tone(seconds=95), **STREAM_FIELDS).text)
    assert events[0]["type"] == "transcript.text.delta"
    assert events[-1].keys() == {"error"}
    assert events[-1]["error"]["code"] == "device_fault"
    assert events[-1]["error"]["type"] == "server_error"


def test_an_error_before_the_first_event_has_its_status() -> None:
    with run_server(fault_at=1) as server:
        assert read_error(server.post(tone(seconds=0.4), **STREAM_FIELDS), 503)["code"] == "device_fault"
    with run_server() as server:
        assert read_error(server.post(b"no sound", **STREAM_FIELDS), 400)["code"] == "audio_unreadable"
        assert read_error(server.post(tone(seconds=0.2), beam_size="4", **STREAM_FIELDS), 400)["param"] == "beam_size"


def test_a_silent_clip_is_a_stream_of_one_event() -> None:
    with run_server() as server:
        events = parse_events(server.post(tone(seconds=0.4), vad_filter="true", **STREAM_FIELDS).text)
    assert [(event["type"], event["text"]) for event in events] == [("transcript.text.done", "")]


def test_a_translation_streams_too() -> None:
    with run_server() as server:
        events = parse_events(server.post(tone(seconds=0.4), "/v1/audio/translations", **STREAM_FIELDS).text)
    assert events[-1]["type"] == "transcript.text.done"


def test_concurrent_streams_have_their_own_text() -> None:
    async def ask(client: httpx.AsyncClient, hertz: int) -> str:
        files = {"file": ("tone.wav", tone(hertz, 0.4))}
        answer = await client.post(TRANSCRIPTIONS, files=files, data=STREAM_FIELDS)
        return str(parse_events(answer.text)[-1]["text"])

    async def ask_all(url: str) -> list[str]:
        async with httpx.AsyncClient(base_url=url, timeout=TIMEOUT_S, verify=False) as client:
            return await asyncio.gather(*(ask(client, 200 + 100 * n) for n in range(8)))

    with run_server() as server:
        together = asyncio.run(ask_all(server.url))
        alone = [
            server.post(tone(200 + 100 * n, 0.4), **{**STREAM_FIELDS, "stream": "false"}).json()["text"]
            for n in range(8)
        ]
    assert together == alone


def test_a_translation_by_an_english_only_model_blames_the_model() -> None:
    with run_server(is_multilingual=False) as server:
        for name in ("turbo", "whisper-1"):
            error = read_error(server.post(path="/v1/audio/translations", model=name), 400)
            assert (error["param"], error["code"]) == ("model", "invalid_value")
            assert name in error["message"]
        error = read_error(server.post(path="/v1/audio/translations", stream="true"), 400)
        assert error["param"] == "model"
        assert server.post().status_code == 200
