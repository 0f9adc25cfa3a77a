"""stream=true: server-sent events of OpenAI's transcription stream, one for each finished segment."""

from __future__ import annotations

import asyncio
import codecs
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from typing import Any, TypeVar

import msgspec
import numpy as np
from litestar.types import Send
from numpy.typing import NDArray

from neuron_whisper.formats.render import to_verbose_segment, to_verbose_words
from neuron_whisper.server.audio.peaks import PEAKS_PER_SECOND
from neuron_whisper.server.audio.response import ResponseFormatter
from neuron_whisper.transcript import Segment, Transcript

T = TypeVar("T")

KEEPALIVE_S = 15.0  # proxies close a connection that is silent for a minute
SSE_HEADERS = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),  # nginx would buffer the events
)


def format_peaks(peaks: NDArray[np.uint8]) -> dict[str, Any]:
    """The waveform of the audio as the event `transcript.peaks`, which OpenAI's API has not."""
    return {"type": "transcript.peaks", "peaks_per_second": PEAKS_PER_SECOND, "peaks": peaks.tolist()}


class EventStream:
    """A response of server-sent events. It starts with the first event; before it, another response can be sent."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.is_started = False

    async def send(self, event: Mapping[str, Any]) -> None:
        """Send one event. OpenAI's clients identify it by the `type` in its data."""
        await self._write(b"data: " + msgspec.json.encode(event) + b"\n\n")

    async def send_keepalive(self) -> None:
        """Send a comment, which clients skip, so that proxies keep a waiting connection open."""
        await self._write(b": working\n\n")

    async def end(self) -> None:
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _write(self, data: bytes) -> None:
        if not self.is_started:
            self.is_started = True
            await self._send({"type": "http.response.start", "status": 200, "headers": SSE_HEADERS})
        await self._send({"type": "http.response.body", "body": data, "more_body": True})


class SegmentEventFormatter:
    """Formats segments as `transcript.text.delta` events, whose deltas joined are the text, and the last event.

    With response_format=verbose_json a delta has its `segment` (and `words`) too, and the last event has the fields
    of that format.
    """

    def __init__(self, formatter: ResponseFormatter) -> None:
        self._formatter = formatter
        # a character may start in one segment's tokens and end in the next's
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._pending_whitespace = ""  # sent with the next text: the whole text has no whitespace at its ends
        self._has_text = False

    def format_delta(self, segment: Segment) -> dict[str, Any]:
        tokenizer, request = self._formatter.tokenizer, self._formatter.request
        text_bytes = b"".join(
            tokenizer.decode_single_token_bytes(token) for token in segment.tokens if token < tokenizer.special.eot
        )
        text = self._decoder.decode(text_bytes)
        if segment.text != tokenizer.decode(segment.tokens):  # converted to another Chinese script
            text = segment.text
        event: dict[str, Any] = {"type": "transcript.text.delta", "delta": self._emit(text)}
        if request.include_logprobs:
            event["logprobs"] = self._formatter.format_logprobs([segment])
        if request.response_format == "verbose_json":
            if "segment" in request.timestamp_granularities:
                event["segment"] = to_verbose_segment(segment, request.options.task)
            if "word" in request.timestamp_granularities:
                event["words"] = to_verbose_words(segment)
        return event

    def _emit(self, text: str) -> str:
        text = self._pending_whitespace + text
        if not self._has_text:
            text = text.lstrip()
        stripped = text.rstrip()
        self._pending_whitespace = text[len(stripped) :]
        self._has_text = self._has_text or bool(stripped)
        return stripped

    def flush(self) -> dict[str, Any] | None:
        """A delta for an incomplete character at the end of the last segment, None without."""
        text = self._emit(self._decoder.decode(b"", final=True))
        return {"type": "transcript.text.delta", "delta": text} if text else None

    def format_done(self, transcript: Transcript) -> dict[str, Any]:
        formatter = self._formatter
        is_verbose = formatter.request.response_format == "verbose_json"
        body = formatter.format_verbose_json(transcript) if is_verbose else formatter.format_json(transcript)
        return {"type": "transcript.text.done", **body, "usage": formatter.format_token_usage(transcript)}


async def add_keepalives(items: AsyncIterator[T], interval_s: float = KEEPALIVE_S) -> AsyncGenerator[T | None]:
    """The items, and None whenever none came for `interval_s`."""
    next_item: asyncio.Future[T] | None = None
    try:
        while True:
            next_item = next_item or asyncio.ensure_future(_next(items))
            done, _ = await asyncio.wait({next_item}, timeout=interval_s)
            if not done:
                yield None
                continue
            try:
                item = next_item.result()
            except StopAsyncIteration:
                return
            finally:
                next_item = None
            yield item
    finally:
        if next_item is not None:
            next_item.cancel()
            await asyncio.gather(next_item, return_exceptions=True)


async def _next(items: AsyncIterator[T]) -> T:
    return await anext(items)
