"""The stored records: a job, and a webhook to be delivered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

JobStatus = Literal["queued", "running", "succeeded", "failed", "cancelled"]
STATUSES: tuple[JobStatus, ...] = ("queued", "running", "succeeded", "failed", "cancelled")
FINAL_STATUSES: tuple[JobStatus, ...] = ("succeeded", "failed", "cancelled")
DeliveryStatus = Literal["pending", "delivered", "failed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class JobError:
    """Why a job failed: message, code and param of the error that the audio API would respond with."""

    message: str
    code: str
    param: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A row of the store; times are Unix seconds.

    `fields` are the form's values as they were sent; they are parsed again when the job runs. `attempts` counts the
    starts, `restart_reason` is why the job was started again, `waiting_reason` why it is not started before
    `not_before`. `result_bytes` counts the waveform, too. `owner` is the id of the API key that created it, empty where
    the server has no keys.
    """

    id: str
    owner: str = ""
    idempotency_key: str | None = None
    created_at: float
    status: JobStatus = "queued"
    task: str
    fields: dict[str, list[str]]
    model: str
    response_format: str
    file_name: str
    upload_bytes: int = 0
    url: str | None = None
    webhook_url: str | None = None
    attempts: int = 0
    restart_reason: str | None = None
    waiting_reason: str | None = None
    not_before: float = 0.0
    started_at: float | None = None
    ended_at: float | None = None
    error: dict[str, Any] | None = None
    audio_s: float | None = None
    language: str | None = None
    result_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookDelivery:
    """A webhook message. Its `id` is the same in every attempt, so that the receiver can drop duplicates."""

    id: str
    job_id: str
    url: str
    payload: str
    status: DeliveryStatus = "pending"
    attempts: int = 0
    next_at: float = 0.0
    last_error: str | None = None
