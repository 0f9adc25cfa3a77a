"""/v1/audio/stream: raw audio in binary messages, JSON out; for those who want no protocol around it."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from typing import Any

import msgspec
from litestar import websocket
from litestar.di import NamedDependency

from neuron_whisper.decode.options import TranscribeOptions
from neuron_whisper.errors import InvalidOption
from neuron_whisper.live import (
    Committed,
    Event,
    Failed,
    Final,
    LiveOptions,
    Partial,
    SpeechStarted,
    SpeechStopped,
    TurnDetection,
    told_text,
)
from neuron_whisper.server.realtime.connection import (
    NORMAL,
    THREAD_FROM_BYTES,
    AnySocket,
    Dialogue,
    Ended,
    error_of,
    pcm_stream,
)
from neuron_whisper.server.realtime.json_fields import short
from neuron_whisper.server.state import Service
from neuron_whisper.transcript import Segment

QUERY = (
    "sample_rate",
    "encoding",
    "model",
    "language",
    "prompt",
    "words",
    "partials",
    "vad",
    "threshold",
    "prefix_padding_ms",
    "silence_duration_ms",
)
YES, NO = ("true", "1"), ("false", "0")


@websocket("/v1/audio/stream")
async def audio_stream(socket: AnySocket, service: NamedDependency[Service]) -> None:
    """A stream of raw audio; README says which messages."""
    await StreamDialogue(socket, service).talk()


class StreamQuery:
    """The parameters of the address, read one by one. Raises InvalidOption."""

    def __init__(self, values: dict[str, str]) -> None:
        for name in values.keys() - set(QUERY):
            raise InvalidOption(str(short(name)), short(values[name]), f"there are {', '.join(QUERY)}")
        self._values = {name: value for name, value in values.items() if value}

    def text(self, name: str) -> str | None:
        return self._values.get(name)

    def number(self, name: str, default: float) -> float:
        text = self._values.get(name)
        try:
            value = default if text is None else float(text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise InvalidOption(name, short(text), "a number")
        return value

    def whole(self, name: str, default: int) -> int:
        value = self.number(name, default)
        if value != int(value):
            raise InvalidOption(name, value, "a whole number")
        return int(value)

    def flag(self, name: str, default: bool) -> bool:
        text = self._values.get(name, YES[0] if default else NO[0]).lower()
        if text not in YES + NO:
            raise InvalidOption(name, short(text), "true or false")
        return text in YES


class StreamDialogue(Dialogue):
    """A client that sends raw audio, and {"type": "flush"} or {"type": "close"} as text."""

    async def begin(self) -> None:
        query = StreamQuery({name: str(value) for name, value in self.socket.query_params.items()})
        encoding = query.text("encoding") or "pcm16"
        default = 16_000 if encoding == "pcm16" else 8_000
        self._pcm = await pcm_stream(encoding, query.whole("sample_rate", default))
        turns = TurnDetection(
            threshold=query.number("threshold", 0.5),
            prefix_padding_ms=query.whole("prefix_padding_ms", 300),
            silence_duration_ms=query.whole("silence_duration_ms", 500),
        )
        transcribe = TranscribeOptions(
            language=query.text("language"),
            initial_prompt=query.text("prompt"),
            word_timestamps=query.flag("words", False),
            vad_filter=self.service.settings.vad_filter,
        )
        options = LiveOptions(
            transcribe=transcribe,
            turns=turns if query.flag("vad", True) else None,
            partials=query.flag("partials", True),
        )
        self._wants_words = transcribe.word_timestamps
        await self.listen(query.text("model"), options)

    async def greet(self) -> None:
        await self.send(
            {
                "type": "ready",
                "id": self.id,
                "model": self.model,
                "encoding": self._pcm.encoding,
                "sample_rate": self._pcm.rate,
            }
        )

    async def hear(self, message: str | bytes) -> None:
        if isinstance(message, bytes):
            if len(message) > THREAD_FROM_BYTES:
                samples = await asyncio.to_thread(self._pcm.push, message)
            else:
                samples = self._pcm.push(message)
            await self.live.feed(samples)
            return
        match _kind(message):
            case "flush":
                if self.live.uncommitted_s > 0:
                    await self.live.commit()
            case "close":
                await self.live.feed(self._pcm.finish())
                raise Ended(NORMAL, "", finishes=True)
            case kind:
                raise InvalidOption("type", short(kind), "flush or close; audio comes in binary messages")

    async def tell(self, event: Event) -> None:
        number = event.utterance
        match event:
            case SpeechStarted():
                await self.send({"type": "speech_started", "utterance": number, "start": _seconds(event.start_s)})
            case SpeechStopped():
                await self.send({"type": "speech_stopped", "utterance": number, "end": _seconds(event.end_s)})
            case Committed():
                pass  # its final text comes in any case
            case Partial():
                stable = told_text(event.stable)
                text = told_text((*event.stable, *event.unstable))
                await self.send(
                    {
                        "type": "partial",
                        "utterance": number,
                        "start": _seconds(event.start_s),
                        "end": _seconds(event.end_s),
                        "stable": stable,
                        "unstable": text[len(stable) :],
                    }
                )
            case Final():
                await self.send(
                    {
                        "type": "final",
                        "utterance": number,
                        "start": _seconds(event.start_s),
                        "end": _seconds(event.end_s),
                        "text": event.text,
                        "language": event.language,
                        "segments": _segments(event.segments, self._wants_words),
                    }
                )
            case Failed():
                await self.send({"type": "failed", "utterance": number, "error": error_of(self.socket, event.error)})

    async def tell_fault(self, fault: Exception) -> None:
        await self.send({"type": "error", "error": error_of(self.socket, fault)})

    async def say_goodbye(self) -> None:
        await self.send({"type": "closed"})


def _kind(message: str) -> object:
    try:
        event = msgspec.json.decode(message)
    except (msgspec.DecodeError, RecursionError):
        return message
    return event.get("type") if isinstance(event, dict) else message


def _segments(segments: Sequence[Segment], wants_words: bool) -> list[dict[str, Any]]:
    told = []
    for segment in segments:
        one: dict[str, Any] = {
            "start": _seconds(segment.start_s),
            "end": _seconds(segment.end_s),
            "text": segment.text.strip(),
            "avg_logprob": segment.avg_logprob,
            "no_speech_prob": segment.no_speech_prob,
        }
        if wants_words:
            one["words"] = [
                {"word": word.text.strip(), "start": _seconds(word.start_s), "end": _seconds(word.end_s)}
                for word in segment.words
            ]
        told.append(one)
    return told


def _seconds(seconds: float) -> float:
    return round(seconds, 3)
