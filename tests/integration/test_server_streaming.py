"""Streams: the events over the wire, failures on the way, and that who leaves gives its slot back."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator
from dataclasses import replace
from itertools import pairwise
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuron_whisper.server.audio.fields import TRANSCRIPTIONS as FORM
from neuron_whisper.server.audio.request import AudioRequest
from neuron_whisper.server.audio.response import ResponseFormatter
from neuron_whisper.server.audio.sse import SegmentEventFormatter, add_keepalives
from neuron_whisper.server.http.multipart import Form
from neuron_whisper.transcript import Segment
from tests.support.servers import TIMEOUT_S, TRANSCRIPTIONS, make_transcriber, read_error, run_server, tone

# one window after another, each decoded once: the program's random texts pass no gate
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


def test_the_events_are_server_sent_and_nobody_on_the_way_keeps_them() -> None:
    with run_server() as server:
        answer = server.post(tone(seconds=0.4), **STREAM_FIELDS)
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert (answer.headers["cache-control"], answer.headers["x-accel-buffering"]) == ("no-cache", "no")
    assert answer.headers["x-request-id"]
    told = parse_events(answer.text)
    assert [event["type"] for event in told] == ["transcript.text.delta"] * (len(told) - 1) + ["transcript.text.done"]


def test_a_piece_comes_before_the_next_window_is_decoded_and_who_then_leaves_frees_its_slot() -> None:
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


def test_a_failure_on_the_way_is_the_last_event_in_openais_shape() -> None:
    with run_server(fault_at=STEPS + 5) as server:
        told = parse_events(server.post(tone(seconds=95), **STREAM_FIELDS).text)
    assert told[0]["type"] == "transcript.text.delta"
    assert told[-1].keys() == {"error"}
    assert told[-1]["error"]["code"] == "device_fault"
    assert told[-1]["error"]["type"] == "server_error"


def test_a_failure_before_the_first_event_has_its_status() -> None:
    with run_server(fault_at=1) as server:
        assert read_error(server.post(tone(seconds=0.4), **STREAM_FIELDS), 503)["code"] == "device_fault"
    with run_server() as server:
        assert read_error(server.post(b"no sound", **STREAM_FIELDS), 400)["code"] == "audio_unreadable"
        assert read_error(server.post(tone(seconds=0.2), beam_size="4", **STREAM_FIELDS), 400)["param"] == "beam_size"


def test_a_silent_clip_is_a_stream_of_one_event() -> None:
    with run_server() as server:
        told = parse_events(server.post(tone(seconds=0.4), vad_filter="true", **STREAM_FIELDS).text)
    assert [(event["type"], event["text"]) for event in told] == [("transcript.text.done", "")]


def test_a_stream_of_a_translation_is_the_same() -> None:
    with run_server() as server:
        told = parse_events(server.post(tone(seconds=0.4), "/v1/audio/translations", **STREAM_FIELDS).text)
    assert told[-1]["type"] == "transcript.text.done"


def test_eight_streams_at_once_each_tell_their_own_text() -> None:
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


# --- the pieces ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def formatter() -> ResponseFormatter:
    served, _ = make_transcriber()  # its tokens are bytes
    served.close()
    return ResponseFormatter(request=AudioRequest.from_form(Form(), FORM), tokenizer=served.tokenizer)


@given(text=st.text(alphabet=" aé語🎤\n", max_size=20), cuts=st.lists(st.integers(0, 60), max_size=6))
def test_joined_pieces_are_the_whole_text_wherever_its_segments_end(
    formatter: ResponseFormatter, text: str, cuts: list[int]
) -> None:
    spelled = list(text.encode())
    edges = sorted({0, len(spelled), *(cut for cut in cuts if cut < len(spelled))})
    events = SegmentEventFormatter(formatter)
    segments = [make_segment(spelled[a:b]) for a, b in pairwise(edges)]
    told = [events.format_delta(it)["delta"] for it in segments]
    rest = events.flush()
    assert "".join([*told, *([rest["delta"]] if rest else [])]) == text.strip()


def test_half_a_character_at_the_end_is_told_as_the_whole_text_tells_it(formatter: ResponseFormatter) -> None:
    events = SegmentEventFormatter(formatter)
    assert events.format_delta(make_segment(list(b" a \xe8\xaa")))["delta"] == "a"
    assert events.flush() == {"type": "transcript.text.delta", "delta": " \ufffd"}


def test_a_text_in_another_script_is_told_as_it_is_written(formatter: ResponseFormatter) -> None:
    events = SegmentEventFormatter(formatter)
    written = (replace(make_segment(list("头".encode())), text=" 頭"), make_segment([33]))
    told = [events.format_delta(it)["delta"] for it in written]
    assert told == ["頭", "!"]


def make_segment(tokens: list[int]) -> Segment:
    text = bytes(tokens).decode("utf-8", "replace")
    return Segment(
        id=0,
        seek_s=0.0,
        start_s=0.0,
        end_s=1.0,
        text=text,
        tokens=tuple(tokens),
        temperature=0.0,
        avg_logprob=-0.1,
        compression_ratio=1.0,
        no_speech_prob=0.0,
    )


def test_a_long_wait_is_told_and_loses_nothing() -> None:
    async def run() -> list[str | None]:
        may_go_on = asyncio.Event()

        async def items() -> AsyncIterator[str]:
            yield "a"
            await may_go_on.wait()
            yield "b"

        told: list[str | None] = []
        async for item in add_keepalives(items(), interval_s=0.001):
            told.append(item)
            if item is None:
                may_go_on.set()
        return told

    told = asyncio.run(run())
    assert [item for item in told if item is not None] == ["a", "b"]
    assert None in told
