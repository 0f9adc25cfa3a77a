"""/v1/realtime?intent=transcription: OpenAI's realtime transcription protocol, in its current and its beta version."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterable
from typing import Any, Literal

import msgspec
from litestar import websocket
from litestar.di import NamedDependency

from neuron_whisper.errors import InputError, InvalidOption
from neuron_whisper.live import (
    FinalText,
    LiveEvent,
    PartialText,
    SpeechStarted,
    SpeechStopped,
    TextPiece,
    UtteranceCommitted,
    UtteranceFailed,
    join_pieces,
)
from neuron_whisper.server.realtime.config import RealtimeConfig
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
from neuron_whisper.server.realtime.events import (
    AUDIO_EVENT,
    CLIENT_EVENTS,
    AnyClientEvent,
    AppendAudio,
    ClearAudio,
    CloseSession,
    CommitAudio,
    UpdateBetaSession,
    UpdateSession,
    nest_beta_session,
)
from neuron_whisper.server.realtime.messages import decode_base64, decode_message
from neuron_whisper.server.state import ServerState

BETA_SUBPROTOCOL = "openai-beta.realtime-v1"  # sent by browsers, whose sockets send no headers
MIN_COMMIT_S = 0.1  # OpenAI's minimum
TRANSCRIPTION_EVENT = "conversation.item.input_audio_transcription"


@websocket("/v1/realtime")
async def serve_realtime(socket: AnySocket, server_state: NamedDependency[ServerState]) -> None:
    """A transcription session; docs/server/realtime.md lists the events."""
    await OpenAIConnection(socket, server_state).run()


class RealtimeQuery(JsonObject, frozen=True, kw_only=True):
    """The query parameters of the URL."""

    intent: Literal["transcription"] = "transcription"
    model: str | None = None


class InvalidEvent(InputError):
    """A client event that is not valid, with OpenAI's error code."""

    def __init__(self, message: str, *, param: str | None, code: str) -> None:
        self.param, self.code = param, code
        super().__init__(message)


class OpenAIConnection(RealtimeConnection):
    """A client of the realtime API. It may ask for the event names of the beta by header, subprotocol or event."""

    def __init__(self, socket: AnySocket, server_state: ServerState) -> None:
        super().__init__(socket, server_state)
        self._config = RealtimeConfig()
        is_header = "realtime=v1" in socket.headers.get("openai-beta", "")
        self._is_beta = is_header or BETA_SUBPROTOCOL in socket.scope.get("subprotocols", ())
        self._item_ids: dict[int, str] = {}  # of unfinished utterances
        self._n_sent_pieces: dict[int, int] = {}  # by utterance
        self._last_item_id: str | None = None
        self._client_event_id: str | None = None  # of the event that is being handled

    async def on_handshake(self) -> None:
        given = read_query(self.socket)
        query = convert(given, RealtimeQuery, kind="query parameter")
        self._config = RealtimeConfig(model=query.model)
        self._pcm = await create_pcm_stream(self._config.encoding, self._config.rate)
        await self.start_live_session(
            self._config.model, self._config.live_options(vad_filter=self.server_state.settings.vad_filter)
        )

    async def on_open(self) -> None:
        await self._send_session("created")

    async def _send_session(self, change: str) -> None:
        if self._is_beta:
            await self._emit(
                f"transcription_session.{change}", session=self._config.to_beta_session(self.id, self.model)
            )
        else:
            await self._emit(f"session.{change}", session=self._config.to_session(self.id, self.model))

    async def _emit(self, event_type: str, **fields: object) -> None:
        await self.send({"type": event_type, "event_id": f"event_{secrets.token_hex(10)}", **fields})

    # --- client events ----------------------------------------------------------------------------

    async def on_message(self, message: str | bytes) -> None:
        self._client_event_id = None
        if isinstance(message, bytes):
            raise InvalidEvent(
                "binary messages are not supported; send audio in input_audio_buffer.append",
                param=None,
                code="invalid_event",
            )
        try:
            event = await decode_message(message, audio_type=AUDIO_EVENT)
        except (msgspec.DecodeError, RecursionError):
            raise InvalidEvent("the message is not JSON", param=None, code="invalid_json") from None
        if not isinstance(event, dict):
            raise InvalidEvent("an event must be a JSON object", param=None, code="invalid_event")
        if isinstance(event_id := event.get("event_id"), str):
            self._client_event_id = str(truncate_value(event_id))
        if (event_type := event.get("type")) not in CLIENT_EVENTS:
            allowed = f"not supported here; events are {', '.join(CLIENT_EVENTS)}"
            raise InvalidEvent(
                f"type: {truncate_value(event_type)!r} is {allowed}", param="type", code="invalid_event_type"
            )
        # a union is no type to mypy where a class is expected
        await self._handle(convert(nest_beta_session(event), AnyClientEvent))  # type: ignore[arg-type]

    async def _handle(self, event: AnyClientEvent) -> None:
        match event:
            case AppendAudio():
                await self._append(await decode_base64("audio", event.audio))
            case CommitAudio():
                await self._commit()
            case ClearAudio():
                self._pcm.drop_partial_sample()
                await self.live.clear()
                await self._emit("input_audio_buffer.cleared")
            case UpdateSession():
                await self._update(self._config.with_update(event.session))
            case UpdateBetaSession():
                self._is_beta = True
                await self._update(self._config.with_beta_update(event.session))
            case CloseSession():
                raise SessionClosed(NORMAL_CLOSURE, "", finishes=True)

    async def _append(self, data: bytes) -> None:
        if len(data) > THREAD_FROM_BYTES:
            samples = await asyncio.to_thread(self._pcm.push, data)
        else:
            samples = self._pcm.push(data)
        await self.live.feed(samples)

    async def _commit(self) -> None:
        if (buffered_s := self.live.uncommitted_s) < MIN_COMMIT_S:
            raise InvalidEvent(
                f"the input audio buffer holds {1000 * buffered_s:.0f} ms of audio; a commit needs "
                f"{1000 * MIN_COMMIT_S:.0f} ms",
                param=None,
                code="input_audio_buffer_commit_empty",
            )
        self._pcm.drop_partial_sample()
        await self.live.commit()

    async def _update(self, config: RealtimeConfig) -> None:
        options = config.live_options(vad_filter=self.server_state.settings.vad_filter)
        if self.server_state.models.find(config.model).id != self.model:
            if self.live.fed_s:
                raise InvalidOption("model", truncate_value(config.model), f"{self.model}: audio was sent already")
            await self.start_live_session(config.model, options)
        else:
            await self.live.update(options)
        if (config.encoding, config.rate) != (self._config.encoding, self._config.rate):
            await self.live.feed(self._pcm.finish())
            self._pcm = await create_pcm_stream(config.encoding, config.rate)
        self._config = config
        await self._send_session("updated")

    # --- server events ----------------------------------------------------------------------------

    async def send_event(self, event: LiveEvent) -> None:
        item = self._item_ids.setdefault(event.utterance, f"item_{secrets.token_hex(10)}")
        match event:
            case SpeechStarted():
                start_ms = round(1000 * event.start_s)
                await self._emit("input_audio_buffer.speech_started", audio_start_ms=start_ms, item_id=item)
            case SpeechStopped():
                end_ms = round(1000 * event.end_s)
                await self._emit("input_audio_buffer.speech_stopped", audio_end_ms=end_ms, item_id=item)
            case UtteranceCommitted():
                await self._send_item(item)
            case PartialText():
                await self._send_delta(event.utterance, item, event.stable)
            case FinalText():
                await self._send_delta(event.utterance, item, event.emitted)
                await self._send_completed(item, event)
                self._forget_utterance(event.utterance)
            case UtteranceFailed():
                error = build_error_object(self.socket, event.error)
                await self._emit(f"{TRANSCRIPTION_EVENT}.failed", item_id=item, content_index=0, error=error)
                self._forget_utterance(event.utterance)

    def _forget_utterance(self, utterance: int) -> None:
        self._item_ids.pop(utterance, None)
        self._n_sent_pieces.pop(utterance, None)

    async def _send_item(self, item: str) -> None:
        previous, self._last_item_id = self._last_item_id, item
        await self._emit("input_audio_buffer.committed", previous_item_id=previous, item_id=item)
        message = {
            "id": item,
            "object": "realtime.item",
            "type": "message",
            "status": "completed",
            "role": "user",
            "content": [{"type": "input_audio", "transcript": None}],
        }
        for name in ("created",) if self._is_beta else ("added", "done"):
            await self._emit(f"conversation.item.{name}", previous_item_id=previous, item=message)

    async def _send_delta(self, utterance: int, item: str, pieces: tuple[TextPiece, ...]) -> None:
        """Send the text after the pieces that were sent before."""
        n_sent = self._n_sent_pieces.get(utterance, 0)
        sent, text = join_pieces(pieces[:n_sent]), join_pieces(pieces)
        if len(text) > len(sent):
            self._n_sent_pieces[utterance] = len(pieces)
            await self._emit(
                f"{TRANSCRIPTION_EVENT}.delta",
                item_id=item,
                content_index=0,
                delta=text[len(sent) :],
                **self._format_logprobs(pieces[n_sent:]),
            )

    async def _send_completed(self, item: str, final: FinalText) -> None:
        has_language = self.tokenizer.special.is_multilingual and final.text
        languages = {"languages": [{"code": final.language}]} if has_language else {}
        await self._emit(
            f"{TRANSCRIPTION_EVENT}.completed",
            item_id=item,
            content_index=0,
            transcript=final.text,
            usage={"type": "duration", "seconds": round(final.end_s - final.start_s, 3)},
            **languages,
            **({"warnings": final.warnings} if final.warnings else {}),
            **self._format_logprobs(final.pieces),
        )

    def _format_logprobs(self, pieces: Iterable[TextPiece]) -> dict[str, Any]:
        if not self._config.wants_logprobs:
            return {}
        tokenizer = self.tokenizer
        pairs = (pair for piece in pieces for pair in zip(piece.tokens, piece.logprobs, strict=False))
        return {
            "logprobs": [
                {
                    "token": tokenizer.decode([token]),
                    "logprob": logprob,
                    "bytes": list(tokenizer.decode_single_token_bytes(token)),
                }
                for token, logprob in pairs
            ]
        }

    async def send_error(self, error: Exception) -> None:
        if isinstance(error, InvalidEvent):
            fields = {"type": "invalid_request_error", "code": error.code, "message": str(error), "param": error.param}
        else:
            fields = build_error_object(self.socket, error)
        await self._emit("error", error={**fields, "event_id": self._client_event_id})

    async def on_close(self) -> None:
        await self._emit("session.closed")
