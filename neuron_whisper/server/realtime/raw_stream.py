"""/v1/audio/stream: raw audio in binary messages, JSON out; a simpler protocol than OpenAI's."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import msgspec
from litestar import websocket
from litestar.di import NamedDependency
from msgspec import Meta

from neuron_whisper.audio.pcm import ENCODINGS, G711_RATE, PCM_RATES
from neuron_whisper.decode.options import TranscribeOptions
from neuron_whisper.errors import InvalidOption, TextTooLong
from neuron_whisper.formats.render import to_verbose_words
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
    read_query,
)
from neuron_whisper.server.realtime.conversion import JsonObject, convert, truncate_value
from neuron_whisper.server.realtime.messages import MAX_TEXT_MESSAGE_CHARS
from neuron_whisper.server.realtime.options import create_options, read_fields, with_options
from neuron_whisper.server.state import ServerState
from neuron_whisper.transcript import Segment

DEFAULT_RATE = 16_000  # of pcm16


@websocket("/v1/audio/stream")
async def serve_audio_stream(socket: AnySocket, server_state: NamedDependency[ServerState]) -> None:
    """A stream of raw audio; docs/server/realtime.md lists the messages."""
    await RawStreamConnection(socket, server_state).run()


@with_options(TranscribeOptions, TurnDetection, LiveOptions, types={"languages": str})
class StreamQuery(JsonObject, frozen=True, kw_only=True):
    """The query parameters of the URL: options, and the format of the audio."""

    sample_rate: Annotated[
        int | None,
        Meta(description=f"Hz: {', '.join(map(str, PCM_RATES))} (default {DEFAULT_RATE}); G.711: {G711_RATE}."),
    ] = None
    encoding: Annotated[str, Meta(description=f"{', '.join(ENCODINGS)}; pcm16 is little endian.")] = "pcm16"
    model: Annotated[str | None, Meta(description="Name of the model; without it, the server's default.")] = None
    vad: Annotated[bool, Meta(description="Voice activity detection ends utterances; false: `flush` does.")] = True

    def live_options(self, *, vad_filter: bool) -> LiveOptions:
        """Raises InvalidOption."""
        turn_detection = create_options(TurnDetection, read_fields(self, TurnDetection))
        return create_options(
            LiveOptions,
            read_fields(self, LiveOptions),
            transcribe=create_options(TranscribeOptions, read_fields(self, TranscribeOptions), vad_filter=vad_filter),
            turn_detection=turn_detection if self.vad else None,
        )


class StreamMessage(msgspec.Struct):
    """A text message of the client."""

    type: Literal["flush", "close"]


class RawStreamConnection(RealtimeConnection):
    """A client that sends raw audio in binary messages, and StreamMessages as text."""

    async def on_handshake(self) -> None:
        given = read_query(self.socket)
        query = convert(given, StreamQuery, strict=False, kind="query parameter")
        default_rate = DEFAULT_RATE if query.encoding == "pcm16" else G711_RATE
        self._pcm = await create_pcm_stream(query.encoding, query.sample_rate or default_rate)
        options = query.live_options(vad_filter=self.server_state.settings.vad_filter)
        self._wants_words = options.transcribe.word_timestamps
        await self.start_live_session(query.model, options)

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
        if len(message) > MAX_TEXT_MESSAGE_CHARS:
            raise TextTooLong("message", len(message), MAX_TEXT_MESSAGE_CHARS)
        try:
            message_type = msgspec.json.decode(message, type=StreamMessage).type
        except (msgspec.DecodeError, RecursionError):
            allowed = 'send {"type": "flush"} or {"type": "close"}; audio is sent in binary messages'
            raise InvalidOption("message", truncate_value(message), allowed) from None
        self._pcm.drop_partial_sample()
        if message_type == "flush":
            if self.live.uncommitted_s > 0:
                await self.live.commit()
        else:
            await self.live.feed(self._pcm.finish())
            raise SessionClosed(NORMAL_CLOSURE, "", finishes=True)

    async def send_event(self, event: LiveEvent) -> None:
        number = event.utterance
        match event:
            case SpeechStarted():
                await self.send({"type": "speech_started", "utterance": number, "start": _round_seconds(event.start_s)})
            case SpeechStopped():
                await self.send({"type": "speech_stopped", "utterance": number, "end": _round_seconds(event.end_s)})
            case UtteranceCommitted():
                pass  # its final text follows in any case
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
                        **({"warnings": event.warnings} if event.warnings else {}),
                    }
                )
            case UtteranceFailed():
                await self.send(
                    {"type": "failed", "utterance": number, "error": build_error_object(self.socket, event.error)}
                )

    async def send_error(self, error: Exception) -> None:
        await self.send({"type": "error", "error": build_error_object(self.socket, error)})

    async def on_close(self) -> None:
        await self.send({"type": "closed"})


def _format_segments(segments: Sequence[Segment], wants_words: bool) -> list[dict[str, Any]]:
    formatted = []
    for segment in segments:
        fields: dict[str, Any] = {
            "start": _round_seconds(segment.start_s),
            "end": _round_seconds(segment.end_s),
            "text": segment.text.strip(),
            "avg_logprob": segment.avg_logprob,
            "no_speech_prob": segment.no_speech_prob,
        }
        if wants_words:
            fields["words"] = to_verbose_words(segment)
        formatted.append(fields)
    return formatted


def _round_seconds(seconds: float) -> float:
    return round(seconds, 3)
