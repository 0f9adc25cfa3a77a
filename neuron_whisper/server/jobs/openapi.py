"""What the OpenAPI document says of the routes of jobs beyond what their signatures tell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from litestar.openapi.spec import Example, OpenAPIResponse, Operation

from neuron_whisper.server.audio import schemas as shapes
from neuron_whisper.server.audio.openapi import UPLOAD_EXAMPLE, describe_body, describe_error, describe_form
from neuron_whisper.server.jobs.request import JOB_FORM
from neuron_whisper.server.jobs.response import TSV_MEDIA_TYPE

ERROR_DESCRIPTIONS = {
    "400": "The request is wrong: a field or its value",
    "404": "No such job, or no such model",
    "409": "The job is not in a state for this",
    "413": "The upload is over the limit",
    "500": "The server failed at this request",
    "503": "No room for another job now, or the server is ending; Retry-After says when to ask again",
    "507": "The server's disk is full; nothing was stored",
}
REQUEST_EXAMPLES: Mapping[str, tuple[str, Any]] = {
    "upload": ("A file", {"file": UPLOAD_EXAMPLE, "response_format": "srt"}),
    "url": (
        "A file elsewhere, and a webhook",
        {"url": "https://files.example.org/talk.mp3", "webhook_url": "https://app.example.org/hooks/transcripts"},
    ),
}
JOB_EXAMPLE: Mapping[str, Any] = {
    "id": "job_5f2c81a94d0be7763a1c20f4",
    "object": "job",
    "status": "running",
    "created_at": 1764000000,
    "started_at": 1764000004,
    "ended_at": None,
    "expires_at": None,
    "task": "transcribe",
    "model": "large-v3-turbo",
    "response_format": "json",
    "file_name": "talk.mp3",
    "url": None,
    "attempts": 1,
    "restarted": None,
    "waits_for": None,
    "progress": {"stage": "transcribing", "done_s": 312.4, "total_s": 3605.2, "segments": 71},
    "language": None,
    "usage": None,
    "error": None,
    "webhook": None,
}
TSV_EXAMPLES = {"tsv": ("Milliseconds and text", "start\tend\ttext\n0\t3000\tAnd so, my fellow Americans\n")}


def _error_responses(*statuses: str) -> dict[str, OpenAPIResponse]:
    return {status: describe_error(ERROR_DESCRIPTIONS[status]) for status in statuses}


@dataclass
class JobOperation(Operation):
    """A route that a signature describes, with the errors that it has."""

    def __post_init__(self) -> None:
        self.responses = {**(self.responses or {}), **_error_responses("400", "404", "409", "500")}


@dataclass
class JobResponseOperation(JobOperation):
    """A route that answers a job."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for status in ("200", "201"):
            done = (self.responses or {}).get(status)
            for media in (done.content or {}).values() if isinstance(done, OpenAPIResponse) else ():
                media.examples = {"job": Example(summary="A job that runs", value=dict(JOB_EXAMPLE))}


@dataclass
class CreateJobOperation(JobResponseOperation):
    """The route that makes a job reads its form itself, so Litestar cannot draw it from a signature."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.request_body = describe_form(
            JOB_FORM, {"oneOf": [{"required": ["file"]}, {"required": ["url"]}]}, REQUEST_EXAMPLES
        )
        known = (self.responses or {}).get("201")
        again = {} if known is None else {"200": known}  # the job that the idempotency key made before
        self.responses = {**(self.responses or {}), **again, **_error_responses("413", "503", "507")}


@dataclass
class JobResultOperation(JobOperation):
    """A result is of many media types."""

    def __post_init__(self) -> None:
        super().__post_init__()
        kinds = {
            "application/json": describe_body(
                {"anyOf": [shapes.TRANSCRIPTION, shapes.VERBOSE_TRANSCRIPTION]}, shapes.JSON_EXAMPLES
            ),
            "text/plain": describe_body(shapes.TEXT, shapes.TEXT_EXAMPLES),
            "text/vtt": describe_body(shapes.TEXT, shapes.VTT_EXAMPLES),
            TSV_MEDIA_TYPE: describe_body(shapes.TEXT, TSV_EXAMPLES),
        }
        done = OpenAPIResponse(description="The transcript, in the form that was asked for", content=kinds)
        self.responses = {**(self.responses or {}), "200": done}
