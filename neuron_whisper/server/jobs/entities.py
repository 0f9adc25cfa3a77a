"""What is kept of a job, and of a webhook that is to be delivered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

JobStatus = Literal["queued", "running", "succeeded", "failed", "cancelled"]
STATUSES: tuple[JobStatus, ...] = ("queued", "running", "succeeded", "failed", "cancelled")
FINAL_STATUSES: tuple[JobStatus, ...] = ("succeeded", "failed", "cancelled")
DeliveryStatus = Literal["pending", "delivered", "given_up"]


@dataclass(frozen=True, slots=True, kw_only=True)
class JobError:
    """Why a job failed, in the words of the audio API's errors."""

    message: str
    code: str
    param: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A row of the store; times are Unix seconds.

    `fields` are the form's texts as they were sent: they are read again when the job runs. `attempts` counts how often
    it was begun, `restarted` says why it was begun again, `waits_for` what it waits for before `not_before`. `owner` is
    the key that made it, empty where there are no keys.
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
    restarted: str | None = None
    waits_for: str | None = None
    not_before: float = 0.0
    started_at: float | None = None
    ended_at: float | None = None
    error: dict[str, Any] | None = None
    audio_s: float | None = None
    language: str | None = None
    result_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookDelivery:
    """A webhook's message: `id` is the same in every attempt, so that its receiver can tell a second one."""

    id: str
    job_id: str
    url: str
    payload: str
    status: DeliveryStatus = "pending"
    attempts: int = 0
    next_at: float = 0.0
    last_error: str | None = None
