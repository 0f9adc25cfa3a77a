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
from neuron_whisper.longform.drivers import Told
from neuron_whisper.server.audio.fields import TRANSCRIPTIONS, TRANSLATIONS, AudioForm
from neuron_whisper.server.audio.openapi import TranscriptionOperation, TranslationOperation
from neuron_whisper.server.audio.request import AudioRequest, named_as_sent
from neuron_whisper.server.audio.response import Answering
from neuron_whisper.server.audio.sse import EventStream, TextEvents, with_pulse
from neuron_whisper.server.http.disconnect import unless_gone
from neuron_whisper.server.http.errors import ClientGone, answer_fault
from neuron_whisper.server.http.multipart import Form, read_form
from neuron_whisper.server.http.request_context import RequestRecord, stage
from neuron_whisper.server.state import Service
from neuron_whisper.transcriber import Transcriber, transcript_of
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
async def create_transcription(service: NamedDependency[Service]) -> ASGIApp:
    return AudioAnswer(service, TRANSCRIPTIONS)


@post(
    "/v1/audio/translations",
    status_code=200,
    operation_class=TranslationOperation,
    tags=["audio"],
    operation_id="createTranslation",
    summary="Audio to English text",
)
async def create_translation(service: NamedDependency[Service]) -> ASGIApp:
    return AudioAnswer(service, TRANSLATIONS)


class AudioAnswer:
    """The answer to one request. It is made while it is sent, so a stream is held to every limit until its end."""

    def __init__(self, service: Service, endpoint: AudioForm) -> None:
        self._service, self._endpoint = service, endpoint

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Raises what happens before the first byte is sent; later, a stream tells it as its last event."""
        request: AnyRequest = Request(scope, receive=receive, send=send)
        events = EventStream(send)
        timeout_s = self._service.settings.request_timeout_s
        try:
            with self._service.working():
                try:
                    async with asyncio.timeout(timeout_s) as deadline:
                        await self._answer(request, events, scope, send)
                except TimeoutError:
                    if deadline.expired():
                        raise DeadlineExceeded(timeout_s) from None
                    raise
        except Exception as fault:
            if not events.is_started:
                raise
            answer = answer_fault(request, fault)
            RequestRecord.of(scope).facts["ended"] = answer.content["error"]["code"]
            if not isinstance(fault, ClientGone):
                await events.tell(answer.content)
                await events.end()

    async def _answer(self, request: AnyRequest, events: EventStream, scope: Scope, send: Send) -> None:
        service, endpoint, facts = self._service, self._endpoint, RequestRecord.of(scope).facts
        with Form() as form:
            with stage("receive"):
                await read_form(request, form, endpoint.check, service.settings.max_upload_bytes)
            asked = AudioRequest.of(form, endpoint, vad_filter=service.settings.vad_filter)
            service.models.named(asked.model)  # refused before its audio is looked at
            facts |= {"upload_bytes": form.upload_bytes, "format": asked.response_format}
            upload, name = form.take_upload(), form.upload_name

        async def work() -> Response[bytes] | None:
            clip = await service.decode(upload, name)
            async with service.models.using(asked.model) as transcriber:  # what is no audio loads no model
                answering = Answering(asked=asked, tokenizer=transcriber.tokenizer)
                with stage("transcribe"):
                    if asked.streams:
                        transcript = await _stream(transcriber, clip, answering, events)
                    else:
                        transcript = await transcriber.atranscribe(clip, asked.options)
            facts.update(audio_s=f"{transcript.duration_s:.2f}", language=transcript.language)
            return None if asked.streams else answering.response(transcript)

        with named_as_sent(endpoint):
            response = await unless_gone(request.receive, work())
        if response is not None:
            await response.to_asgi_response(app=None, request=request)(scope, request.receive, send)


async def _stream(transcriber: Transcriber, clip: AudioClip, answering: Answering, events: EventStream) -> Transcript:
    """Tell each segment when it is done, then the whole. Raises as Transcriber.arun does."""
    started = time.perf_counter()
    texts = TextEvents(answering)
    told: list[Told] = []
    running = transcriber.arun(clip, answering.asked.options)
    async with aclosing(running), aclosing(with_pulse(running)) as items:
        async for item in items:
            if item is None:
                await events.pulse()
                continue
            told.append(item)
            if isinstance(item, Segment):
                await events.tell(texts.delta(item))
    if (rest := texts.rest()) is not None:
        await events.tell(rest)
    transcript = transcript_of(clip, answering.asked.options, told, took_s=time.perf_counter() - started)
    await events.tell(texts.done(transcript))
    await events.end()
    return transcript
