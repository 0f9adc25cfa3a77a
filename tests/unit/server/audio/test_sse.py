"""Server-sent events of a stream."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuron_whisper.server.audio.fields import TRANSCRIPTIONS as FORM
from neuron_whisper.server.audio.request import AudioRequest
from neuron_whisper.server.audio.response import ResponseFormatter
from neuron_whisper.server.audio.sse import SegmentEventFormatter, add_keepalives
from neuron_whisper.server.http.multipart import Form
from neuron_whisper.transcript import Segment
from tests.support.servers import make_transcriber


@pytest.fixture(scope="module")
def formatter() -> ResponseFormatter:
    served, _ = make_transcriber()  # its tokens are bytes
    served.close()
    return ResponseFormatter(request=AudioRequest.from_form(Form(), FORM), tokenizer=served.tokenizer)


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


@given(text=st.text(alphabet=" aé語🎤\n", max_size=20), cuts=st.lists(st.integers(0, 60), max_size=6))
def test_joined_deltas_are_the_text_wherever_segments_end(
    formatter: ResponseFormatter, text: str, cuts: list[int]
) -> None:
    spelled = list(text.encode())
    edges = sorted({0, len(spelled), *(cut for cut in cuts if cut < len(spelled))})
    events = SegmentEventFormatter(formatter)
    segments = [make_segment(spelled[a:b]) for a, b in pairwise(edges)]
    deltas = [events.format_delta(it)["delta"] for it in segments]
    rest = events.flush()
    assert "".join([*deltas, *([rest["delta"]] if rest else [])]) == text.strip()


def test_an_incomplete_character_at_the_end_is_flushed(formatter: ResponseFormatter) -> None:
    events = SegmentEventFormatter(formatter)
    assert events.format_delta(make_segment(list(b" a \xe8\xaa")))["delta"] == "a"
    assert events.flush() == {"type": "transcript.text.delta", "delta": " \ufffd"}


def test_converted_text_is_sent_as_converted(formatter: ResponseFormatter) -> None:
    events = SegmentEventFormatter(formatter)
    written = (replace(make_segment(list("头".encode())), text=" 頭"), make_segment([33]))
    deltas = [events.format_delta(it)["delta"] for it in written]
    assert deltas == ["頭", "!"]


def test_keepalives_fill_a_long_wait_and_lose_no_item() -> None:
    async def run() -> list[str | None]:
        may_go_on = asyncio.Event()

        async def items() -> AsyncIterator[str]:
            yield "a"
            await may_go_on.wait()
            yield "b"

        deltas: list[str | None] = []
        async for item in add_keepalives(items(), interval_s=0.001):
            deltas.append(item)
            if item is None:
                may_go_on.set()
        return deltas

    deltas = asyncio.run(run())
    assert [item for item in deltas if item is not None] == ["a", "b"]
    assert None in deltas
