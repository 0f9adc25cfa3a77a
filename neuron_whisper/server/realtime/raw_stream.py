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
from neuron_whisper.errors import InvalidOption, UnknownOption
from neuron_whisper.live import (
    FinalText,
    LiveEvent,
    LiveOptions,
    PartialText,
    SpeechStarted,
    SpeechStopped,
    TurnDetection,
    UtteranceCommitted,
    UtteranceFailed,
    join_pieces,
)
from neuron_whisper.server.realtime.connection import (
    NORMAL_CLOSURE,
    THREAD_FROM_BYTES,
    AnySocket,
    RealtimeConnection,
    SessionClosed,
    build_error_object,
    create_pcm_stream,
)
from neuron_whisper.server.realtime.json_fields import truncate
from neuron_whisper.server.state import ServerState
from neuron_whisper.transcript import Segment

QUERY_PARAMETERS = (
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
TRUE_VALUES, FALSE_VALUES = ("true", "1"), ("false", "0")


@websocket("/v1/audio/stream")
async def serve_audio_stream(socket: AnySocket, server_state: NamedDependency[ServerState]) -> None:
    """A stream of raw audio; README says which messages."""
    await RawStreamConnection(socket, server_state).run()


class StreamQuery:
    """The parameters of the address, read one by one. Raises InvalidOption."""

    def __init__(self, values: dict[str, str]) -> None:
        for name in values.keys() - set(QUERY_PARAMETERS):
            raise UnknownOption(str(truncate(name)), QUERY_PARAMETERS, kind="query parameter")
        self._values = {name: value for name, value in values.items() if value}

    def read_text(self, name: str) -> str | None:
        return self._values.get(name)

    def read_number(self, name: str, default: float) -> float:
        text = self._values.get(name)
        try:
            value = default if text is None else float(text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise InvalidOption(name, truncate(text), "a number")
        return value

    def read_integer(self, name: str, default: int) -> int:
        value = self.read_number(name, default)
        if value != int(value):
            raise InvalidOption(name, value, "a whole number")
        return int(value)

    def read_flag(self, name: str, default: bool) -> bool:
        text = self._values.get(name, TRUE_VALUES[0] if default else FALSE_VALUES[0]).lower()
        if text not in TRUE_VALUES + FALSE_VALUES:
            raise InvalidOption(name, truncate(text), "true or false")
        return text in TRUE_VALUES


class RawStreamConnection(RealtimeConnection):
    """A client that sends raw audio, and {"type": "flush"} or {"type": "close"} as text."""

    async def on_handshake(self) -> None:
        query = StreamQuery({name: str(value) for name, value in self.socket.query_params.items()})
        encoding = query.read_text("encoding") or "pcm16"
        default = 16_000 if encoding == "pcm16" else 8_000
        self._pcm = await create_pcm_stream(encoding, query.read_integer("sample_rate", default))
        turns = TurnDetection(
            threshold=query.read_number("threshold", 0.5),
            prefix_padding_ms=query.read_integer("prefix_padding_ms", 300),
            silence_duration_ms=query.read_integer("silence_duration_ms", 500),
        )
        transcribe = TranscribeOptions(
            language=query.read_text("language"),
            initial_prompt=query.read_text("prompt"),
            word_timestamps=query.read_flag("words", False),
            vad_filter=self.server_state.settings.vad_filter,
        )
        options = LiveOptions(
            transcribe=transcribe,
            turn_detection=turns if query.read_flag("vad", True) else None,
            partial_results=query.read_flag("partials", True),
        )
        self._wants_words = transcribe.word_timestamps
        await self.start_live_session(query.read_text("model"), options)

    async def on_open(self) -> None:
        await self.send(
            {
                "type": "ready",
                "id": self.id,
                "model": self.model,
                "encoding": self._pcm.encoding,
                "sample_rate": self._pcm.rate,
            }
        )

    async def on_message(self, message: str | bytes) -> None:
        if isinstance(message, bytes):
            if len(message) > THREAD_FROM_BYTES:
                samples = await asyncio.to_thread(self._pcm.push, message)
            else:
                samples = self._pcm.push(message)
            await self.live.feed(samples)
            return
        match _parse_message_type(message):
            case "flush":
                if self.live.uncommitted_s > 0:
                    await self.live.commit()
            case "close":
                await self.live.feed(self._pcm.finish())
                raise SessionClosed(NORMAL_CLOSURE, "", finishes=True)
            case kind:
                raise InvalidOption("type", truncate(kind), "flush or close; audio comes in binary messages")

    async def send_event(self, event: LiveEvent) -> None:
        number = event.utterance
        match event:
            case SpeechStarted():
                await self.send({"type": "speech_started", "utterance": number, "start": _round_seconds(event.start_s)})
            case SpeechStopped():
                await self.send({"type": "speech_stopped", "utterance": number, "end": _round_seconds(event.end_s)})
            case UtteranceCommitted():
                pass  # its final text comes in any case
            case PartialText():
                stable = join_pieces(event.stable)
                text = join_pieces((*event.stable, *event.unstable))
                await self.send(
                    {
                        "type": "partial",
                        "utterance": number,
                        "start": _round_seconds(event.start_s),
                        "end": _round_seconds(event.end_s),
                        "stable": stable,
                        "unstable": text[len(stable) :],
                    }
                )
            case FinalText():
                await self.send(
                    {
                        "type": "final",
                        "utterance": number,
                        "start": _round_seconds(event.start_s),
                        "end": _round_seconds(event.end_s),
                        "text": event.text,
                        "language": event.language,
                        "segments": _format_segments(event.segments, self._wants_words),
                    }
                )
            case UtteranceFailed():
                await self.send(
                    {"type": "failed", "utterance": number, "error": build_error_object(self.socket, event.error)}
                )

    async def send_error(self, fault: Exception) -> None:
        await self.send({"type": "error", "error": build_error_object(self.socket, fault)})

    async def on_close(self) -> None:
        await self.send({"type": "closed"})


def _parse_message_type(message: str) -> object:
    try:
        event = msgspec.json.decode(message)
    except (msgspec.DecodeError, RecursionError):
        return message
    return event.get("type") if isinstance(event, dict) else message


def _format_segments(segments: Sequence[Segment], wants_words: bool) -> list[dict[str, Any]]:
    told = []
    for segment in segments:
        one: dict[str, Any] = {
            "start": _round_seconds(segment.start_s),
            "end": _round_seconds(segment.end_s),
            "text": segment.text.strip(),
            "avg_logprob": segment.avg_logprob,
            "no_speech_prob": segment.no_speech_prob,
        }
        if wants_words:
            one["words"] = [
                {"word": word.text.strip(), "start": _round_seconds(word.start_s), "end": _round_seconds(word.end_s)}
                for word in segment.words
            ]
        told.append(one)
    return told


def _round_seconds(seconds: float) -> float:
    return round(seconds, 3)
