"""Response bodies of the job routes, and the body of a webhook."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from neuron_whisper.formats.render import to_verbose_words
from neuron_whisper.server.audio.schemas import TimedWord
from neuron_whisper.server.jobs.entities import DeliveryStatus, Job, JobStatus, WebhookDelivery
from neuron_whisper.server.jobs.runner import RunningJob, Stage
from neuron_whisper.transcript import Segment


class JobProgress(msgspec.Struct, frozen=True, kw_only=True):
    """Progress of a running job, in seconds of audio; `total_s` is null until the file is decoded."""

    stage: Stage
    done_s: float
    total_s: float | None
    segments: int


class JobErrorResponse(msgspec.Struct, frozen=True, kw_only=True):
    """Why a job failed: the error that the audio API would respond with."""

    message: str
    code: str
    param: str | None


class JobUsage(msgspec.Struct, frozen=True, kw_only=True):
    seconds: int
    type: str = "duration"


class JobWebhook(msgspec.Struct, frozen=True, kw_only=True):
    """Delivery of the webhook; `status` is null until the job has ended."""

    url: str
    status: DeliveryStatus | None
    attempts: int
    last_error: str | None


class JobResponse(msgspec.Struct, frozen=True, kw_only=True):
    """A job. Times are Unix seconds.

    `attempts` counts the starts, `restart_reason` is why the job was started again, `waiting_reason` why a queued job
    cannot start now; at `expires_at` it is deleted.
    """

    id: str
    status: JobStatus
    created_at: int
    started_at: int | None
    ended_at: int | None
    expires_at: int | None
    task: str
    model: str
    response_format: str
    file_name: str
    url: str | None
    attempts: int
    restart_reason: str | None
    waiting_reason: str | None
    progress: JobProgress | None
    language: str | None
    usage: JobUsage | None
    error: JobErrorResponse | None
    webhook: JobWebhook | None
    object: str = "job"


class SegmentResponse(msgspec.Struct, frozen=True, kw_only=True):
    """A transcribed segment, in seconds from the start of the audio; `words` where the job asked for their times."""

    id: int
    start: float
    end: float
    text: str
    words: list[TimedWord] | UnsetType = UNSET


class JobEvent(msgspec.Struct, frozen=True, kw_only=True):
    """Body of a webhook: job.succeeded, job.failed or job.cancelled. The transcript is at /v1/jobs/{id}/result."""

    type: str
    timestamp: str
    data: JobResponse


def to_job_response(
    job: Job,
    *,
    running: RunningJob | None = None,
    delivery: WebhookDelivery | None = None,
    retention_s: float | None = None,
) -> JobResponse:
    progress = webhook = None
    if running is not None and job.status == "running":
        progress = JobProgress(
            stage=running.stage,
            done_s=round(running.done_s, 3),
            total_s=None if running.total_s is None else round(running.total_s, 3),
            segments=len(running.segments),
        )
    if job.webhook_url is not None:
        webhook = JobWebhook(
            url=job.webhook_url,
            status=delivery.status if delivery else None,
            attempts=delivery.attempts if delivery else 0,
            last_error=delivery.last_error if delivery else None,
        )
    expires_at = None if job.ended_at is None or retention_s is None else job.ended_at + retention_s
    return JobResponse(
        id=job.id,
        status=job.status,
        created_at=int(job.created_at),
        started_at=_truncate_to_seconds(job.started_at),
        ended_at=_truncate_to_seconds(job.ended_at),
        expires_at=_truncate_to_seconds(expires_at),
        task=job.task,
        model=job.model,
        response_format=job.response_format,
        file_name=job.file_name,
        url=job.url,
        attempts=job.attempts,
        restart_reason=job.restart_reason,
        waiting_reason=job.waiting_reason,
        progress=progress,
        language=job.language,
        usage=None if job.audio_s is None else JobUsage(seconds=math.ceil(job.audio_s)),
        error=None if job.error is None else JobErrorResponse(**job.error),
        webhook=webhook,
    )


def to_segment_response(segment: Segment) -> SegmentResponse:
    return SegmentResponse(
        id=segment.id,
        start=round(segment.start_s, 3),
        end=round(segment.end_s, 3),
        text=segment.text,
        words=msgspec.convert(to_verbose_words(segment), list[TimedWord]) if segment.words else UNSET,
    )


def encode_webhook_event(job: Job) -> str:
    """Encode the body of the webhook for an ended job."""
    assert job.ended_at is not None
    event: dict[str, Any] = {
        "type": f"job.{job.status}",
        "timestamp": datetime.fromtimestamp(job.ended_at, UTC).isoformat(),
        "data": to_job_response(job),
    }
    return msgspec.json.encode(JobEvent(**event)).decode()


def _truncate_to_seconds(seconds: float | None) -> int | None:
    return None if seconds is None else int(seconds)
