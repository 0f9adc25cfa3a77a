"""Streams of raw audio over a real socket, on a small program."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from neuron_whisper.live import TurnDetection
from neuron_whisper.server.realtime.conversion import convert
from neuron_whisper.server.realtime.raw_stream import StreamQuery
from tests.support.realtime_clients import (
    SECOND,
    open_client,
    open_refused,
)
from tests.support.servers import RunningServer


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


def test_the_query_sets_the_options_of_the_session() -> None:
    given = {"language": "de", "words": "true", "partials": "0", "threshold": "0.25", "languages": "de,en"}
    options = convert(given, StreamQuery, strict=False).live_options(vad_filter=False)
    assert (options.transcribe.language, options.transcribe.languages) == ("de", ("de", "en"))
    assert (options.transcribe.word_timestamps, options.partial_results) == (True, False)
    assert options.turn_detection == TurnDetection(threshold=0.25)


def test_without_voice_detection_the_client_ends_utterances() -> None:
    options = convert({"vad": "false"}, StreamQuery, strict=False).live_options(vad_filter=True)
    assert options.turn_detection is None
