"""The signature of webhooks, and when they are sent again."""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from neuron_whisper.errors import InvalidOption
from neuron_whisper.server.jobs.entities import Job, WebhookDelivery
from neuron_whisper.server.jobs.outbound import RestrictedHttpClient, parse_private_networks
from neuron_whisper.server.jobs.quota import StorageLimits
from neuron_whisper.server.jobs.store import JobStore
from neuron_whisper.server.jobs.webhooks import MAX_ATTEMPTS, WebhookSender, create_signer
from tests.support.job_clients import FakeRemoteServer, run_remote_server

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # of the specification's example


def test_the_signature_is_that_of_the_published_example() -> None:
    timestamp = datetime.fromtimestamp(1614265330, UTC)
    signature = create_signer(SECRET).sign("msg_p5jXN8AQM9LWM0D4loKWxJek", timestamp, '{"test": 2432232314}')
    assert signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_the_prefix_of_a_secret_is_optional() -> None:
    bare = create_signer(SECRET.removeprefix("whsec_"))
    now = datetime.fromtimestamp(0, UTC)
    assert bare.sign("msg_1", now, "{}") == create_signer(SECRET).sign("msg_1", now, "{}")


@pytest.mark.parametrize(
    "secret",
    [
        "whsec_short",
        "not base64 at all!",
        "",
        base64.b64encode(bytes(23)).decode(),
        base64.b64encode(bytes(65)).decode(),
    ],
)
def test_an_invalid_secret_is_refused_without_being_shown(secret: str) -> None:
    with pytest.raises(InvalidOption) as error:
        create_signer(secret)
    assert error.value.field == "webhook_secret"
    assert not secret or secret not in str(error.value)


# --- delivery -------------------------------------------------------------------------------------


@pytest.fixture
def store(tmp_path: Path) -> Iterator[JobStore]:
    opened = JobStore(tmp_path / "jobs.sqlite3")
    yield opened
    opened.close()


@pytest.fixture
def remote() -> Iterator[FakeRemoteServer]:
    with run_remote_server() as running:
        yield running


def send(store: JobStore, url: str, *, until: str, first_retry_s: float = 0.001) -> WebhookDelivery:
    """Send a webhook to `url` until it has this status."""
    job = Job(
        id="job_1",
        created_at=time.time(),
        task="transcribe",
        fields={},
        model="turbo",
        response_format="json",
        file_name="a.wav",
    )
    store.add(job, StorageLimits(max_jobs=1, max_bytes=1, max_own_jobs=1, max_own_bytes=1))
    message = WebhookDelivery(id="msg_1", job_id=job.id, url=f"{url}/hook", payload='{"type":"job.cancelled"}')
    store.cancel_queued(job.id, time.time(), create_delivery=lambda _: message)

    async def run() -> WebhookDelivery:
        client = RestrictedHttpClient(parse_private_networks(("127.0.0.0/8",)))
        sender = WebhookSender(store, client, create_signer(SECRET), first_retry_s=first_retry_s)
        task = asyncio.create_task(sender.run())
        try:
            async with asyncio.timeout(20):
                while (delivery := store.find_deliveries([job.id])[job.id]).status != until:
                    await asyncio.sleep(0.005)
            return delivery
        finally:
            task.cancel()
            await client.close()

    return asyncio.run(run())


def test_a_webhook_is_retried_until_the_response_is_2xx(store: JobStore, remote: FakeRemoteServer) -> None:
    remote.statuses = [500, 302, 429]
    delivery = send(store, remote.url, until="delivered")
    assert (delivery.attempts, delivery.last_error) == (4, None)
    for headers, body in remote.posts:
        create_signer(SECRET).verify(body, headers)
        assert headers["webhook-id"] == "msg_1"


def test_a_response_of_410_ends_the_delivery(store: JobStore, remote: FakeRemoteServer) -> None:
    remote.statuses = [410]
    delivery = send(store, remote.url, until="failed")
    assert (delivery.attempts, delivery.last_error) == (1, "HTTP status 410")


def test_a_webhook_fails_after_the_last_attempt(store: JobStore, remote: FakeRemoteServer) -> None:
    remote.statuses = [503] * 20
    delivery = send(store, remote.url, until="failed", first_retry_s=1e-6)
    assert delivery.attempts == len(remote.posts) == MAX_ATTEMPTS
