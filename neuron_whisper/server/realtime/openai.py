"""/v1/realtime?intent=transcription: OpenAI's realtime transcription events, of today's API and of its beta."""

from __future__ import annotations

import asyncio
import base64
import binascii
import secrets
from collections.abc import Iterable
from typing import Any

import msgspec
from litestar import websocket
from litestar.di import NamedDependency

from neuron_whisper.errors import InputError, InvalidOption, UnknownOption
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
)
from neuron_whisper.server.realtime.json_fields import truncate
from neuron_whisper.server.state import ServerState

QUERY_PARAMETERS = ("intent", "model")
BETA_SUBPROTOCOL = "openai-beta.realtime-v1"  # of browsers, whose sockets send no headers
MIN_COMMIT_S = 0.1  # OpenAI's: less is no utterance
TRANSCRIPTION_EVENT = "conversation.item.input_audio_transcription"
CLIENT_EVENTS = (
    "session.update",
    "transcription_session.update",
    "input_audio_buffer.append",
    "input_audio_buffer.commit",
    "input_audio_buffer.clear",
    "session.close",
)


@websocket("/v1/realtime")
async def serve_realtime(socket: AnySocket, server_state: NamedDependency[ServerState]) -> None:
    """A transcription session; README says which events."""
    await OpenAIConnection(socket, server_state).run()


class InvalidEvent(InputError):
    """A client's event that cannot be taken, with OpenAI's code for it."""

    def __init__(self, message: str, *, param: str | None, code: str) -> None:
        self.param, self.code = param, code
        super().__init__(message)


class OpenAIConnection(RealtimeConnection):
    """A client of the realtime API. `is_beta`: it asked for the beta's names by header or by event."""

    def __init__(self, socket: AnySocket, server_state: ServerState) -> None:
        super().__init__(socket, server_state)
        self._config = RealtimeConfig()
        is_header = "realtime=v1" in socket.headers.get("openai-beta", "")
        self._is_beta = is_header or BETA_SUBPROTOCOL in socket.scope.get("subprotocols", ())
        self._item_ids: dict[int, str] = {}  # by utterance, until its end
        self._n_sent_pieces: dict[int, int] = {}  # words of it that were sent
        self._last_item_id: str | None = None
        self._client_event_id: str | None = None  # the id of the event that is being answered

    async def on_handshake(self) -> None:
        query = {name: str(value) for name, value in self.socket.query_params.items()}
        for name in query.keys() - set(QUERY_PARAMETERS):
            raise UnknownOption(str(truncate(name)), QUERY_PARAMETERS, kind="query parameter")
        if query.get("intent", "transcription") != "transcription":
            raise InvalidOption("intent", truncate(query["intent"]), "transcription: this server answers nothing")
        if "model" in query:
            self._config = RealtimeConfig(model=query["model"])
        self._pcm = await create_pcm_stream(self._config.encoding, self._config.rate)
        await self.start_live_session(
            self._config.model, self._config.live_options(vad_filter=self.server_state.settings.vad_filter)
        )

    async def on_open(self) -> None:
        await self._send_session("created")

    async def _send_session(self, what: str) -> None:
        if self._is_beta:
            await self._emit(f"transcription_session.{what}", session=self._config.to_beta_session(self.id, self.model))
        else:
            await self._emit(f"session.{what}", session=self._config.to_session(self.id, self.model))

    async def _emit(self, kind: str, **fields: object) -> None:
        await self.send({"type": kind, "event_id": f"event_{secrets.token_hex(10)}", **fields})

    # --- what the client says ---------------------------------------------------------------------

    async def on_message(self, message: str | bytes) -> None:
        self._client_event_id = None
        if isinstance(message, bytes):
            raise InvalidEvent(
                "binary messages are not taken here: audio comes in input_audio_buffer.append",
                param=None,
                code="invalid_event",
            )
        try:
            event = msgspec.json.decode(message)
        except (msgspec.DecodeError, RecursionError):
            raise InvalidEvent("the message is not JSON", param=None, code="invalid_json") from None
        if not isinstance(event, dict):
            raise InvalidEvent("an event is a JSON object", param=None, code="invalid_event")
        given = event.get("event_id")
        self._client_event_id = str(truncate(given)) if isinstance(given, str) else None
        match event.get("type"):
            case "input_audio_buffer.append":
                await self._append(event)
            case "input_audio_buffer.commit":
                await self._commit()
            case "input_audio_buffer.clear":
                await self.live.clear()
                await self._emit("input_audio_buffer.cleared")
            case "session.update":
                await self._update(self._config.with_update(event.get("session")))
            case "transcription_session.update":
                self._is_beta = True
                await self._update(self._config.with_beta_update(event))
            case "session.close":
                raise SessionClosed(NORMAL_CLOSURE, "", finishes=True)
            case kind:
                allowed = f"not supported here; events are {', '.join(CLIENT_EVENTS)}"
                raise InvalidEvent(f"type: {truncate(kind)!r} is {allowed}", param="type", code="invalid_event_type")

    async def _append(self, event: dict[str, Any]) -> None:
        audio = event.get("audio")
        if not isinstance(audio, str):
            raise InvalidOption("audio", truncate(audio), "base64 of the session's input audio format")
        try:
            data = base64.b64decode(audio, validate=True)
        except (binascii.Error, ValueError):
            raise InvalidOption("audio", truncate(audio), "base64 of the session's input audio format") from None
        if len(data) > THREAD_FROM_BYTES:
            samples = await asyncio.to_thread(self._pcm.push, data)
        else:
            samples = self._pcm.push(data)
        await self.live.feed(samples)

    async def _commit(self) -> None:
        if (there_s := self.live.uncommitted_s) < MIN_COMMIT_S:
            raise InvalidEvent(
                f"the input audio buffer holds {1000 * there_s:.0f} ms of audio; a commit needs "
                f"{1000 * MIN_COMMIT_S:.0f} ms",
                param=None,
                code="input_audio_buffer_commit_empty",
            )
        await self.live.commit()

    async def _update(self, config: RealtimeConfig) -> None:
        options = config.live_options(vad_filter=self.server_state.settings.vad_filter)
        if config.model != self._config.model:
            if self.live.fed_s:
                raise InvalidOption("model", truncate(config.model), f"{self.model}: audio was sent to it already")
            await self.start_live_session(config.model, options)
        else:
            await self.live.update(options)
        if (config.encoding, config.rate) != (self._config.encoding, self._config.rate):
            await self.live.feed(self._pcm.finish())
            self._pcm = await create_pcm_stream(config.encoding, config.rate)
        self._config = config
        await self._send_session("updated")

    # --- what it is told --------------------------------------------------------------------------

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
        before, self._last_item_id = self._last_item_id, item
        await self._emit("input_audio_buffer.committed", previous_item_id=before, item_id=item)
        message = {
            "id": item,
            "object": "realtime.item",
            "type": "message",
            "status": "completed",
            "role": "user",
            "content": [{"type": "input_audio", "transcript": None}],
        }
        for what in ("created",) if self._is_beta else ("added", "done"):
            await self._emit(f"conversation.item.{what}", previous_item_id=before, item=message)

    async def _send_delta(self, utterance: int, item: str, pieces: tuple[TextPiece, ...]) -> None:
        """What follows the words that were sent already."""
        sent = self._n_sent_pieces.get(utterance, 0)
        before, now = join_pieces(pieces[:sent]), join_pieces(pieces)
        if len(now) > len(before):
            self._n_sent_pieces[utterance] = len(pieces)
            await self._emit(
                f"{TRANSCRIPTION_EVENT}.delta",
                item_id=item,
                content_index=0,
                delta=now[len(before) :],
                **self._format_logprobs(pieces[sent:]),
            )

    async def _send_completed(self, item: str, final: FinalText) -> None:
        is_told = self.tokenizer.special.is_multilingual and final.text
        found = {"languages": [{"code": final.language}]} if is_told else {}
        await self._emit(
            f"{TRANSCRIPTION_EVENT}.completed",
            item_id=item,
            content_index=0,
            transcript=final.text,
            usage={"type": "duration", "seconds": round(final.end_s - final.start_s, 3)},
            **found,
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

    async def send_error(self, fault: Exception) -> None:
        if isinstance(fault, InvalidEvent):
            error = {"type": "invalid_request_error", "code": fault.code, "message": str(fault), "param": fault.param}
        else:
            error = build_error_object(self.socket, fault)
        await self._emit("error", error={**error, "event_id": self._client_event_id})

    async def on_close(self) -> None:
        await self._emit("session.closed")
