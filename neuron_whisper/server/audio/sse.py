"""stream=true: segments as server-sent events of OpenAI's transcription stream, each when it is done."""

from __future__ import annotations

import asyncio
import codecs
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from typing import Any, TypeVar

import msgspec
from litestar.types import Send

from neuron_whisper.formats.render import verbose_segment, verbose_words
from neuron_whisper.server.audio.response import Answering
from neuron_whisper.transcript import Segment, Transcript

T = TypeVar("T")

PULSE_S = 15.0  # proxies end a connection on which nothing comes for a minute
HEADERS = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),  # nginx would hold the events back until there are many
)


class EventStream:
    """A response of server-sent events, which begins with the first: until then it may be any other response."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.is_started = False

    async def tell(self, event: Mapping[str, Any]) -> None:
        """One event. OpenAI's clients know it by the `type` in its data."""
        await self._write(b"data: " + msgspec.json.encode(event) + b"\n\n")

    async def pulse(self) -> None:
        """A comment, which clients skip, so that nobody takes a long wait for a dead connection."""
        await self._write(b": working\n\n")

    async def end(self) -> None:
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _write(self, data: bytes) -> None:
        if not self.is_started:
            self.is_started = True
            await self._send({"type": "http.response.start", "status": 200, "headers": HEADERS})
        await self._send({"type": "http.response.body", "body": data, "more_body": True})


class TextEvents:
    """Segments -> `transcript.text.delta` events, whose deltas joined are the whole text, and the last event.

    With response_format=verbose_json a delta has its `segment` (and `words`) too, and the last event the fields of
    that format.
    """

    def __init__(self, answering: Answering) -> None:
        self._answering = answering
        # a character may begin in one segment's tokens and end in the next one's
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._blank = ""  # between two texts: it is told with the second, as the whole has none at its ends
        self._has_begun = False

    def delta(self, segment: Segment) -> dict[str, Any]:
        tokenizer, asked = self._answering.tokenizer, self._answering.asked
        spelled = b"".join(tokenizer.bytes_of(token) for token in segment.tokens if token < tokenizer.special.eot)
        text = self._decoder.decode(spelled)
        if segment.text != tokenizer.decode(segment.tokens):  # in another script than the model's
            text = segment.text
        event: dict[str, Any] = {"type": "transcript.text.delta", "delta": self._told(text)}
        if asked.wants_logprobs:
            event["logprobs"] = self._answering.logprobs([segment])
        if asked.response_format == "verbose_json":
            event |= {"segment": verbose_segment(segment)} if "segment" in asked.granularities else {}
            event |= {"words": verbose_words(segment)} if "word" in asked.granularities else {}
        return event

    def _told(self, text: str) -> str:
        text = self._blank + text
        if not self._has_begun:
            text = text.lstrip()
        bare = text.rstrip()
        self._blank = text[len(bare) :]
        self._has_begun = self._has_begun or bool(bare)
        return bare

    def rest(self) -> dict[str, Any] | None:
        """A delta for half a character with which the last segment ended."""
        text = self._told(self._decoder.decode(b"", final=True))
        return {"type": "transcript.text.delta", "delta": text} if text else None

    def done(self, transcript: Transcript) -> dict[str, Any]:
        answering = self._answering
        is_verbose = answering.asked.response_format == "verbose_json"
        body = answering.verbose(transcript) if is_verbose else answering.json(transcript)
        return {"type": "transcript.text.done", **body, "usage": answering.tokens_used(transcript)}


async def with_pulse(items: AsyncIterator[T], pulse_s: float = PULSE_S) -> AsyncGenerator[T | None]:
    """The items, and None each time that none came for `pulse_s`."""
    coming: asyncio.Future[T] | None = None
    try:
        while True:
            coming = coming or asyncio.ensure_future(_next(items))
            done, _ = await asyncio.wait({coming}, timeout=pulse_s)
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
