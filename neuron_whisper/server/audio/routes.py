"""POST /v1/audio/transcriptions and /v1/audio/translations."""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing
from typing import Any

from litestar import Request, Response, post
from litestar.di import NamedDependency
from litestar.types import ASGIApp, Receive, Scope, Send

from neuron_whisper.audio.clip import AudioClip
from neuron_whisper.errors import DeadlineExceeded
from neuron_whisper.longform.drivers import TranscriptEvent
from neuron_whisper.server.audio.fields import TRANSCRIPTIONS, TRANSLATIONS, AudioForm
from neuron_whisper.server.audio.openapi import TranscriptionOperation, TranslationOperation
from neuron_whisper.server.audio.request import AudioRequest, translate_field_names
from neuron_whisper.server.audio.response import ResponseFormatter
from neuron_whisper.server.audio.sse import EventStream, SegmentEventFormatter, add_keepalives
from neuron_whisper.server.http.disconnect import cancel_on_disconnect
from neuron_whisper.server.http.errors import ClientDisconnected, handle_exception
from neuron_whisper.server.http.multipart import Form, read_form
from neuron_whisper.server.http.request_context import RequestContext, measure_stage
from neuron_whisper.server.state import ServerState
from neuron_whisper.transcriber import Transcriber, build_transcript
from neuron_whisper.transcript import Segment, Transcript

AnyRequest = Request[Any, Any, Any]


@post(
    "/v1/audio/transcriptions",
    status_code=200,
    operation_class=TranscriptionOperation,
    tags=["audio"],
    operation_id="createTranscription",
    summary="Audio to text in the language that is spoken",
)
async def create_transcription(service: NamedDependency[ServerState]) -> ASGIApp:
    return AudioResponse(service, TRANSCRIPTIONS)


@post(
    "/v1/audio/translations",
    status_code=200,
    operation_class=TranslationOperation,
    tags=["audio"],
    operation_id="createTranslation",
    summary="Audio to English text",
)
async def create_translation(service: NamedDependency[ServerState]) -> ASGIApp:
    return AudioResponse(service, TRANSLATIONS)


class AudioResponse:
    """The answer to one request. It is made while it is sent, so a stream is held to every limit until its end."""

    def __init__(self, service: ServerState, endpoint: AudioForm) -> None:
        self._service, self._endpoint = service, endpoint

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Raises what happens before the first byte is sent; later, a stream tells it as its last event."""
        request: AnyRequest = Request(scope, receive=receive, send=send)
        events = EventStream(send)
        timeout_s = self._service.settings.request_timeout_s
        try:
            with self._service.track_request():
                try:
                    async with asyncio.timeout(timeout_s) as deadline:
                        await self._respond(request, events, scope, send)
                except TimeoutError:
                    if deadline.expired():
                        raise DeadlineExceeded(timeout_s) from None
                    raise
        except Exception as fault:
            if not events.is_started:
                raise
            answer = handle_exception(request, fault)
            RequestContext.from_scope(scope).log_fields["ended"] = answer.content["error"]["code"]
            if not isinstance(fault, ClientDisconnected):
                await events.send(answer.content)
                await events.end()

    async def _respond(self, request: AnyRequest, events: EventStream, scope: Scope, send: Send) -> None:
        service, endpoint, facts = self._service, self._endpoint, RequestContext.from_scope(scope).log_fields
        with Form() as form:
            with measure_stage("receive"):
                await read_form(request, form, endpoint.check_field, service.settings.max_upload_bytes)
            asked = AudioRequest.from_form(form, endpoint, vad_filter=service.settings.vad_filter)
            service.models.find(asked.model)  # refused before its audio is looked at
            facts |= {"upload_bytes": form.upload_bytes, "format": asked.response_format}
            upload, name = form.take_upload(), form.upload_name

        async def work() -> Response[bytes] | None:
            clip = await service.decode_upload(upload, name)
            async with service.models.use(asked.model) as transcriber:  # what is no audio loads no model
                answering = ResponseFormatter(request=asked, tokenizer=transcriber.tokenizer)
                with measure_stage("transcribe"):
                    if asked.stream:
                        transcript = await _stream_segments(transcriber, clip, answering, events)
                    else:
                        transcript = await transcriber.atranscribe(clip, asked.options)
            facts.update(audio_s=f"{transcript.duration_s:.2f}", language=transcript.language)
            return None if asked.stream else answering.format_response(transcript)

        with translate_field_names(endpoint):
            response = await cancel_on_disconnect(request.receive, work())
        if response is not None:
            await response.to_asgi_response(app=None, request=request)(scope, request.receive, send)


async def _stream_segments(
    transcriber: Transcriber, clip: AudioClip, formatter: ResponseFormatter, events: EventStream
) -> Transcript:
    """Tell each segment when it is done, then the whole. Raises as Transcriber.arun does."""
    started = time.perf_counter()
    texts = SegmentEventFormatter(formatter)
    told: list[TranscriptEvent] = []
    running = transcriber.arun(clip, formatter.request.options)
    async with aclosing(running), aclosing(add_keepalives(running)) as items:
        async for item in items:
            if item is None:
                await events.send_keepalive()
                continue
            told.append(item)
            if isinstance(item, Segment):
                await events.send(texts.format_delta(item))
    if (rest := texts.flush()) is not None:
        await events.send(rest)
    transcript = build_transcript(clip, formatter.request.options, told, took_s=time.perf_counter() - started)
    await events.send(texts.format_done(transcript))
    await events.end()
    return transcript
