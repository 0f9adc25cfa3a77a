"""POST /v1/audio/transcriptions and /v1/audio/translations."""

from __future__ import annotations

import asyncio
import json
import math
from typing import Any

import msgspec
from litestar import Request, Response, post
from litestar.di import NamedDependency

from neuron_whisper.errors import DeadlineExceeded
from neuron_whisper.render import plain_text, render
from neuron_whisper.server.access import RequestRecord
from neuron_whisper.server.disconnect import unless_gone
from neuron_whisper.server.documents import TranscriptionOperation, TranslationOperation
from neuron_whisper.server.fields import TRANSCRIPTIONS, TRANSLATIONS, AudioForm, AudioRequest
from neuron_whisper.server.forms import Form, read_form
from neuron_whisper.server.service import Service
from neuron_whisper.transcript import Transcript

AnyRequest = Request[Any, Any, Any]
MEDIA_TYPES = {"text": "text/plain", "srt": "text/plain", "vtt": "text/vtt"}  # Litestar adds the charset


@post(
    "/v1/audio/transcriptions", status_code=200, operation_class=TranscriptionOperation, tags=["audio"],
    operation_id="createTranscription", summary="Audio to text in the language that is spoken",
)  # fmt: skip
async def create_transcription(request: AnyRequest, service: NamedDependency[Service]) -> Response[bytes]:
    return await _answer(request, service, TRANSCRIPTIONS)


@post(
    "/v1/audio/translations", status_code=200, operation_class=TranslationOperation, tags=["audio"],
    operation_id="createTranslation", summary="Audio to English text",
)  # fmt: skip
async def create_translation(request: AnyRequest, service: NamedDependency[Service]) -> Response[bytes]:
    return await _answer(request, service, TRANSLATIONS)


async def _answer(request: AnyRequest, service: Service, endpoint: AudioForm) -> Response[bytes]:
    timeout_s = service.settings.request_timeout_s
    with service.working():
        try:
            async with asyncio.timeout(timeout_s) as deadline:
                return await _transcribe(request, service, endpoint)
        except TimeoutError:
            if deadline.expired():
                raise DeadlineExceeded(timeout_s) from None
            raise


async def _transcribe(request: AnyRequest, service: Service, endpoint: AudioForm) -> Response[bytes]:
    facts = RequestRecord.of(request.scope).facts
    with Form() as form:
        await read_form(request, form, endpoint.check, service.settings.max_upload_bytes)
        asked = AudioRequest.of(form, endpoint.task, vad_filter=service.settings.vad_filter)
        service.models.named(asked.model)  # refused before its audio is looked at
        facts |= {"upload_bytes": form.upload_bytes, "format": asked.response_format}
        upload, name = form.take_upload(), form.upload_name

    async def work() -> Transcript:
        clip = await service.decode(upload, name)
        async with service.models.using(asked.model) as transcriber:  # what is no audio loads no model
            return await transcriber.atranscribe(clip, asked.options)

    transcript = await unless_gone(request.receive, work())
    facts |= {"audio_s": f"{transcript.duration_s:.2f}", "language": transcript.language}
    return render_answer(transcript, asked.response_format)


def render_answer(transcript: Transcript, response_format: str) -> Response[bytes]:
    """The transcript as OpenAI's API answers it; a damaged file's `warnings` are told in the JSON forms."""
    if response_format in MEDIA_TYPES:
        text = plain_text(transcript) + "\n" if response_format == "text" else render(transcript, response_format)
        return Response(text.encode(), media_type=MEDIA_TYPES[response_format])
    answer = json.loads(render(transcript, response_format))
    answer["usage"] = {"type": "duration", "seconds": math.ceil(transcript.duration_s)}
    if transcript.warnings:
        answer["warnings"] = transcript.warnings
    return Response(msgspec.json.encode(answer), media_type="application/json")
