"""Sends the webhooks of ended jobs: signed as standardwebhooks.com specifies, and retried until they are received.

A message is sent at least once. Its id stays the same, so that the receiver can drop duplicates.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import logging
import random
import time
from dataclasses import replace
from datetime import UTC, datetime

from standardwebhooks import Webhook

from neuron_whisper.errors import InvalidOption, UrlFetchFailed
from neuron_whisper.server.jobs.entities import WebhookDelivery
from neuron_whisper.server.jobs.outbound import RestrictedHttpClient
from neuron_whisper.server.jobs.store import JobStore

log = logging.getLogger(__name__)

SECRET_PREFIX = "whsec_"  # noqa: S105  # the prefix of every secret
MIN_SECRET_BYTES, MAX_SECRET_BYTES = 24, 64  # standardwebhooks.com
MAX_ATTEMPTS = 8
BACKOFF_FACTOR = 4.0  # from one wait to the next: 5 s, 20 s, ... 5.7 h
RESPONSE_TIMEOUT_S = 20.0
MAX_CONCURRENT_SENDS = 8
MAX_POLL_INTERVAL_S = 60.0


def create_signer(secret: str) -> Webhook:
    """Signer for a secret "whsec_<base64>". Raises InvalidOption, which does not repeat the secret."""
    try:
        key = base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
    except binascii.Error:
        key = b""
    if not MIN_SECRET_BYTES <= len(key) <= MAX_SECRET_BYTES:
        raise InvalidOption(
            "webhook_secret",
            "***",
            f"use {SECRET_PREFIX} followed by {MIN_SECRET_BYTES} to {MAX_SECRET_BYTES} bytes in base64",
        )
    return Webhook(key)


class WebhookSender:
    """Sends the pending webhooks of the store, a few concurrently, in one task.

    `first_retry_s` is the wait before the second attempt. Without a `signer` no webhook is sent: those of an earlier
    configuration stay pending.
    """

    def __init__(
        self, store: JobStore, http_client: RestrictedHttpClient, signer: Webhook | None, *, first_retry_s: float
    ) -> None:
        self._store, self._http_client, self._signer, self._first_retry_s = store, http_client, signer, first_retry_s
        self._wake_event = asyncio.Event()

    def wake(self) -> None:
        """Look for pending webhooks now."""
        self._wake_event.set()

    async def run(self) -> None:
        """Send webhooks until the task is cancelled."""
        while self._signer is not None:
            self._wake_event.clear()
            try:
                wait_s = await self._send_due(self._signer)
            except Exception:  # a full disk, for example; a webhook that was sent may be sent again
                log.exception("webhooks not sent retry_s=%g", MAX_POLL_INTERVAL_S)
                wait_s = MAX_POLL_INTERVAL_S
            try:
                async with asyncio.timeout(wait_s):
                    await self._wake_event.wait()
            except TimeoutError:
                pass

    async def _send_due(self, signer: Webhook) -> float:
        """Send the due webhooks and return the seconds until the next one is due."""
        pending = await asyncio.to_thread(self._store.list_pending_deliveries)
        now = time.time()
        max_wait_s = 1.1 * self._first_retry_s * BACKOFF_FACTOR ** (MAX_ATTEMPTS - 2)
        # due later than any can be: the clock was set back
        due = [delivery for delivery in pending if not now < delivery.next_at <= now + max_wait_s]
        for delivery in await asyncio.gather(
            *(self._send(delivery, signer) for delivery in due[:MAX_CONCURRENT_SENDS])
        ):
            await asyncio.to_thread(self._store.update_delivery, delivery)
        if due:
            return 0.0
        return min(MAX_POLL_INTERVAL_S, pending[0].next_at - now) if pending else MAX_POLL_INTERVAL_S

    async def _send(self, delivery: WebhookDelivery, signer: Webhook) -> WebhookDelivery:
        """Make one attempt and return the delivery with its outcome."""
        timestamp = int(time.time())
        headers = {
            "content-type": "application/json",
            "webhook-id": delivery.id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": signer.sign(delivery.id, datetime.fromtimestamp(timestamp, UTC), delivery.payload),
        }
        failure, is_gone = "", False
        try:
            async with (
                asyncio.timeout(RESPONSE_TIMEOUT_S),
                self._http_client.send(
                    "POST", delivery.url, headers=headers, content=delivery.payload.encode()
                ) as response,
            ):
                if not 200 <= response.status < 300:
                    failure, is_gone = f"HTTP status {response.status}", response.status == 410
        except UrlFetchFailed as error:
            failure = error.reason
        except TimeoutError:
            failure = "no response in time"
        attempts = delivery.attempts + 1
        log.info(
            "webhook sent id=%s job=%s attempt=%d error=%r", delivery.id, delivery.job_id, attempts, failure or None
        )
        if not failure:
            return replace(delivery, status="delivered", attempts=attempts, last_error=None)
        if is_gone or attempts >= MAX_ATTEMPTS:
            return replace(delivery, status="failed", attempts=attempts, last_error=failure)
        wait_s = self._first_retry_s * BACKOFF_FACTOR ** (attempts - 1) * random.uniform(0.9, 1.1)  # noqa: S311  # not a secret
        return replace(delivery, attempts=attempts, last_error=failure, next_at=time.time() + wait_s)
