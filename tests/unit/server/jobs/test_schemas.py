"""Response bodies of the job routes, and the body of a webhook."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from neuron_whisper.server.jobs.entities import Job, WebhookDelivery
from neuron_whisper.server.jobs.runner import RunningJob
from neuron_whisper.server.jobs.schemas import encode_webhook_event, to_job_response

QUEUED = Job(
    id="job_1",
    owner="ann",
    created_at=1_800_000_000.9,
    task="transcribe",
    fields={},
    model="turbo",
    response_format="json",
    file_name="a.wav",
    webhook_url="https://example.org/hook",
)
SUCCEEDED = replace(
    QUEUED,
    status="succeeded",
    started_at=1_800_000_001.0,
    ended_at=1_800_000_010.5,
    audio_s=2.1,
    language="en",
    attempts=1,
)


def test_a_queued_job_has_no_progress_and_an_undelivered_webhook() -> None:
    response = to_job_response(QUEUED, retention_s=60)
    assert (response.created_at, response.started_at, response.expires_at) == (1_800_000_000, None, None)
    assert (response.progress, response.usage, response.error) == (None, None, None)
    assert response.webhook is not None
    assert (response.webhook.status, response.webhook.attempts) == (None, 0)


def test_a_running_job_has_its_progress() -> None:
    running = RunningJob(job=QUEUED, stage="transcribing", done_s=1.23456, total_s=2.0)
    progress = to_job_response(replace(QUEUED, status="running"), running=running).progress
    assert progress is not None
    assert (progress.stage, progress.done_s, progress.total_s, progress.segments) == ("transcribing", 1.235, 2.0, 0)


def test_an_ended_job_has_no_progress_though_its_task_still_runs() -> None:
    assert to_job_response(SUCCEEDED, running=RunningJob(job=QUEUED)).progress is None


def test_an_ended_job_has_its_usage_in_whole_seconds_and_expires() -> None:
    response = to_job_response(SUCCEEDED, retention_s=60)
    assert response.usage is not None
    assert (response.usage.seconds, response.expires_at) == (3, 1_800_000_070)


def test_the_delivery_of_the_webhook_is_shown() -> None:
    delivery = WebhookDelivery(
        id="msg_1", job_id="job_1", url="https://example.org/hook", payload="", attempts=2, last_error="HTTP status 500"
    )
    webhook = to_job_response(SUCCEEDED, delivery=delivery).webhook
    assert webhook is not None
    assert (webhook.status, webhook.attempts, webhook.last_error) == ("pending", 2, "HTTP status 500")


@pytest.mark.parametrize("status", ["succeeded", "failed", "cancelled"])
def test_a_webhook_names_the_status_and_has_the_job(status: str) -> None:
    event = json.loads(encode_webhook_event(replace(SUCCEEDED, status=status)))  # type: ignore[arg-type]  # a status
    assert (event["type"], event["timestamp"]) == (f"job.{status}", "2027-01-15T08:00:10.500000+00:00")
    assert (event["data"]["id"], event["data"]["object"]) == ("job_1", "job")


def test_no_response_names_the_owner() -> None:
    assert "ann" not in encode_webhook_event(SUCCEEDED)
