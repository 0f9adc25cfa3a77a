"""OpenAPI operations of the job routes: what Litestar cannot derive from their signatures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from litestar.openapi.spec import Example, OpenAPIResponse, Operation

from neuron_whisper.server.audio.examples import JSON_EXAMPLES, TEXT_EXAMPLES, UPLOAD_EXAMPLE, VTT_EXAMPLES
from neuron_whisper.server.audio.openapi import describe_form
from neuron_whisper.server.audio.schemas import TEXT_SCHEMA, TranscriptionResponse, VerboseTranscriptionResponse
from neuron_whisper.server.http.openapi import Examples, describe_body, describe_error, get_schema
from neuron_whisper.server.jobs.request import JOB_FORM
from neuron_whisper.server.jobs.response import TSV_MEDIA_TYPE

ERROR_DESCRIPTIONS = {
    "400": "The request is wrong: a field or its value",
    "404": "No such job, or no such model",
    "409": "The job is in another state than this needs",
    "413": "The upload is over the limit",
    "500": "Internal server error",
    "503": "No capacity for another job, or the server is shutting down; see Retry-After",
    "507": "The server's disk is full; nothing was stored",
}
REQUEST_EXAMPLES: Examples = {
    "upload": ("An uploaded file", {"file": UPLOAD_EXAMPLE, "response_format": "srt"}),
    "url": (
        "A file at a URL, and a webhook",
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
    "restart_reason": None,
    "waiting_reason": None,
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
    """An operation that Litestar derives from the signature, with its error responses added."""

    def __post_init__(self) -> None:
        self.responses = {**(self.responses or {}), **_error_responses("400", "404", "409", "500")}


@dataclass
class JobResponseOperation(JobOperation):
    """An operation that responds with a job."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for status in ("200", "201"):
            response = (self.responses or {}).get(status)
            for media in (response.content or {}).values() if isinstance(response, OpenAPIResponse) else ():
                media.examples = {"job": Example(summary="A running job", value=dict(JOB_EXAMPLE))}


@dataclass
class CreateJobOperation(JobResponseOperation):
    """The operation that creates a job: its handler parses the form itself, so the request body is declared here."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.request_body = describe_form(
            JOB_FORM, {"oneOf": [{"required": ["file"]}, {"required": ["url"]}]}, REQUEST_EXAMPLES
        )
        created = (self.responses or {}).get("201")
        existing = {} if created is None else {"200": created}  # the job created before with this idempotency key
        self.responses = {**(self.responses or {}), **existing, **_error_responses("413", "503", "507")}


@dataclass
class JobResultOperation(JobOperation):
    """The operation that responds with a transcript, in one of several media types."""

    def __post_init__(self) -> None:
        super().__post_init__()
        content = {
            "application/json": describe_body(
                get_schema(TranscriptionResponse, VerboseTranscriptionResponse), JSON_EXAMPLES
            ),
            "text/plain": describe_body(TEXT_SCHEMA, TEXT_EXAMPLES),
            "text/vtt": describe_body(TEXT_SCHEMA, VTT_EXAMPLES),
            TSV_MEDIA_TYPE: describe_body(TEXT_SCHEMA, TSV_EXAMPLES),
        }
        response = OpenAPIResponse(description="The transcript in the requested format", content=content)
        self.responses = {**(self.responses or {}), "200": response}
