"""POST /v1/audio/transcriptions and /v1/audio/translations."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import Any

from litestar import Request, Response, post
from litestar.di import NamedDependency
from litestar.types import ASGIApp, Receive, Scope, Send

from neuron_whisper.audio.clip import AudioClip
from neuron_whisper.errors import DeadlineExceeded, InvalidOption
from neuron_whisper.longform.drivers import TranscriptEvent
from neuron_whisper.server.audio.fields import TRANSCRIPTIONS, TRANSLATIONS, AudioForm
from neuron_whisper.server.audio.openapi import TranscriptionOperation, TranslationOperation
from neuron_whisper.server.audio.peaks import compute_peaks
from neuron_whisper.server.audio.request import AudioRequest, translate_field_names
from neuron_whisper.server.audio.response import ResponseFormatter
from neuron_whisper.server.audio.sse import EventStream, SegmentEventFormatter, add_keepalives, format_peaks
from neuron_whisper.server.http.disconnect import cancel_on_disconnect
from neuron_whisper.server.http.errors import ClientDisconnected, handle_exception
from neuron_whisper.server.http.field_types import truncate
from neuron_whisper.server.http.multipart import Form, read_form
from neuron_whisper.server.http.request_context import RequestContext, measure_stage
from neuron_whisper.server.state import ServerState
from neuron_whisper.transcriber import Transcriber, build_transcript
from neuron_whisper.transcript import Segment, Transcript

AnyRequest = Request[Any, Any, Any]
FormReader = Callable[[AnyRequest, Form, int], Awaitable[AudioForm]]
"""reader(request, form, max_bytes): fills the form, and returns the endpoint whose fields it has."""


@post(
    "/v1/audio/transcriptions",
    status_code=200,
    operation_class=TranscriptionOperation,
    tags=["audio"],
    operation_id="createTranscription",
    summary="Audio to text in the language that is spoken",
)
async def create_transcription(server_state: NamedDependency[ServerState]) -> ASGIApp:
    return AudioResponse(server_state, _read_multipart(TRANSCRIPTIONS))


@post(
    "/v1/audio/translations",
    status_code=200,
    operation_class=TranslationOperation,
    tags=["audio"],
    operation_id="createTranslation",
    summary="Audio to English text",
)
async def create_translation(server_state: NamedDependency[ServerState]) -> ASGIApp:
    return AudioResponse(server_state, _read_multipart(TRANSLATIONS))


def _read_multipart(endpoint: AudioForm) -> FormReader:
    async def read(request: AnyRequest, form: Form, max_bytes: int) -> AudioForm:
        await read_form(request, form, endpoint.check_field, max_bytes)
        return endpoint

    return read


class AudioResponse:
    """The response to one request. It is computed while it is sent, so every limit holds until a stream's end."""

    def __init__(self, server_state: ServerState, read: FormReader) -> None:
        self._server_state, self._read = server_state, read

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Raises errors that occur before the first byte is sent; a later one is sent as the stream's last event."""
        request: AnyRequest = Request(scope, receive=receive, send=send)
        events = EventStream(send)
        timeout_s = self._server_state.settings.request_timeout_s
        try:
            with self._server_state.track_request():
                try:
                    async with asyncio.timeout(timeout_s) as deadline:
                        await self._respond(request, events, scope, send)
                except TimeoutError:
                    if deadline.expired():
                        raise DeadlineExceeded(timeout_s) from None
                    raise
        except Exception as error:
            if not events.is_started:
                raise
            response = handle_exception(request, error)
            RequestContext.from_scope(scope).log_fields["ended"] = response.content["error"]["code"]
            if not isinstance(error, ClientDisconnected):
                await events.send(response.content)
                await events.end()

    async def _respond(self, request: AnyRequest, events: EventStream, scope: Scope, send: Send) -> None:
        server_state, log_fields = self._server_state, RequestContext.from_scope(scope).log_fields
        with Form() as form:
            with measure_stage("receive"):
                endpoint = await self._read(request, form, server_state.settings.max_upload_bytes)
            audio_request = AudioRequest.from_form(form, endpoint, vad_filter=server_state.settings.vad_filter)
            model = server_state.models.find(audio_request.model)  # rejects an unknown one before the audio is decoded
            if model.transcriber is not None:
                _check_model(model.transcriber, audio_request)
            log_fields |= {"upload_bytes": form.upload_bytes, "format": audio_request.response_format}
            upload, name = form.take_upload(), form.upload_name

        async def work() -> Response[bytes] | None:
            load_options = audio_request.get_load_options(model.only_language)
            clip = await server_state.decode_upload(upload, name, **load_options)
            async with server_state.models.use(
                audio_request.model
            ) as transcriber:  # loaded after decoding: an unreadable file loads no model
                _check_model(transcriber, audio_request)
                formatter = ResponseFormatter(request=audio_request, tokenizer=transcriber.tokenizer)
                if audio_request.include_peaks:
                    await events.send(format_peaks(await asyncio.to_thread(compute_peaks, clip.samples)))
                with measure_stage("transcribe"):
                    if audio_request.stream:
                        transcript = await _stream_segments(transcriber, clip, formatter, events)
                    else:
                        transcript = await transcriber.atranscribe(clip, audio_request.options)
            log_fields.update(audio_s=f"{transcript.duration_s:.2f}", language=transcript.language)
            return None if audio_request.stream else formatter.format_response(transcript)

        with translate_field_names(endpoint):
            response = await cancel_on_disconnect(request.receive, work())
        if response is not None:
            await response.to_asgi_response(app=None, request=request)(scope, request.receive, send)


def _check_model(transcriber: Transcriber, request: AudioRequest) -> None:
    """Raises InvalidOption for a translation by an English-only model: the client chose the model, not a task."""
    if request.options.task == "translate" and not transcriber.tokenizer.special.is_multilingual:
        allowed = "a multilingual model: this one is English-only and cannot translate"
        raise InvalidOption("model", truncate(request.model or transcriber.name), allowed)


async def _stream_segments(
    transcriber: Transcriber, clip: AudioClip, formatter: ResponseFormatter, events: EventStream
) -> Transcript:
    """Send each segment when it is done, then the whole transcript. Raises as Transcriber.arun does."""
    started = time.perf_counter()
    event_formatter = SegmentEventFormatter(formatter)
    transcript_events: list[TranscriptEvent] = []
    produced = transcriber.arun(clip, formatter.request.options)
    async with aclosing(produced), aclosing(add_keepalives(produced)) as items:
        async for item in items:
            if item is None:
                await events.send_keepalive()
                continue
            transcript_events.append(item)
            if isinstance(item, Segment):
                await events.send(event_formatter.format_delta(item))
    if (last_delta := event_formatter.flush()) is not None:
        await events.send(last_delta)
    transcript = build_transcript(
        clip, formatter.request.options, transcript_events, took_s=time.perf_counter() - started
    )
    await events.send(event_formatter.format_done(transcript))
    await events.end()
    return transcript
