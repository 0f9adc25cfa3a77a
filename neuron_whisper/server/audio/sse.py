"""stream=true: segments as server-sent events of OpenAI's transcription stream, each when it is done."""

from __future__ import annotations

import asyncio
import codecs
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from typing import Any, TypeVar

import msgspec
from litestar.types import Send

from neuron_whisper.formats.render import to_verbose_segment, to_verbose_words
from neuron_whisper.server.audio.response import ResponseFormatter
from neuron_whisper.transcript import Segment, Transcript

T = TypeVar("T")

KEEPALIVE_S = 15.0  # proxies end a connection on which nothing comes for a minute
SSE_HEADERS = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),  # nginx would hold the events back until there are many
)


class EventStream:
    """A response of server-sent events, which begins with the first: until then it may be any other response."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.is_started = False

    async def send(self, event: Mapping[str, Any]) -> None:
        """One event. OpenAI's clients know it by the `type` in its data."""
        await self._write(b"data: " + msgspec.json.encode(event) + b"\n\n")

    async def send_keepalive(self) -> None:
        """A comment, which clients skip, so that nobody takes a long wait for a dead connection."""
        await self._write(b": working\n\n")

    async def end(self) -> None:
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _write(self, data: bytes) -> None:
        if not self.is_started:
            self.is_started = True
            await self._send({"type": "http.response.start", "status": 200, "headers": SSE_HEADERS})
        await self._send({"type": "http.response.body", "body": data, "more_body": True})


class SegmentEventFormatter:
    """Segments -> `transcript.text.delta` events, whose deltas joined are the whole text, and the last event.

    With response_format=verbose_json a delta has its `segment` (and `words`) too, and the last event the fields of
    that format.
    """

    def __init__(self, formatter: ResponseFormatter) -> None:
        self._formatter = formatter
        # a character may begin in one segment's tokens and end in the next one's
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._pending_whitespace = (
            ""  # between two texts: it is told with the second, as the whole has none at its ends
        )
        self._has_text = False

    def format_delta(self, segment: Segment) -> dict[str, Any]:
        tokenizer, asked = self._formatter.tokenizer, self._formatter.request
        spelled = b"".join(
            tokenizer.decode_single_token_bytes(token) for token in segment.tokens if token < tokenizer.special.eot
        )
        text = self._decoder.decode(spelled)
        if segment.text != tokenizer.decode(segment.tokens):  # in another script than the model's
            text = segment.text
        event: dict[str, Any] = {"type": "transcript.text.delta", "delta": self._emit(text)}
        if asked.include_logprobs:
            event["logprobs"] = self._formatter.format_logprobs([segment])
        if asked.response_format == "verbose_json":
            event |= {"segment": to_verbose_segment(segment)} if "segment" in asked.timestamp_granularities else {}
            event |= {"words": to_verbose_words(segment)} if "word" in asked.timestamp_granularities else {}
        return event

    def _emit(self, text: str) -> str:
        text = self._pending_whitespace + text
        if not self._has_text:
            text = text.lstrip()
        bare = text.rstrip()
        self._pending_whitespace = text[len(bare) :]
        self._has_text = self._has_text or bool(bare)
        return bare

    def flush(self) -> dict[str, Any] | None:
        """A delta for half a character with which the last segment ended."""
        text = self._emit(self._decoder.decode(b"", final=True))
        return {"type": "transcript.text.delta", "delta": text} if text else None

    def format_done(self, transcript: Transcript) -> dict[str, Any]:
        answering = self._formatter
        is_verbose = answering.request.response_format == "verbose_json"
        body = answering.format_verbose_json(transcript) if is_verbose else answering.format_json(transcript)
        return {"type": "transcript.text.done", **body, "usage": answering.format_token_usage(transcript)}


async def add_keepalives(items: AsyncIterator[T], interval_s: float = KEEPALIVE_S) -> AsyncGenerator[T | None]:
    """The items, and None each time that none came for `interval_s`."""
    coming: asyncio.Future[T] | None = None
    try:
        while True:
            coming = coming or asyncio.ensure_future(_next(items))
            done, _ = await asyncio.wait({coming}, timeout=interval_s)
            if not done:
                yield None
                continue
            try:
                item = coming.result()
            except StopAsyncIteration:
                return
            finally:
                coming = None
            yield item
    finally:
        if coming is not None:
            coming.cancel()
            await asyncio.gather(coming, return_exceptions=True)


async def _next(items: AsyncIterator[T]) -> T:
    return await anext(items)
