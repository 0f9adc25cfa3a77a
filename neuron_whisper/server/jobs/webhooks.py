"""Webhooks that tell of jobs which ended: signed as standardwebhooks.com says, and sent until they arrive.

A message is sent at least once. Its id stays the same, so that its receiver can tell a second one.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import hmac
import logging
import random
import time
from dataclasses import replace

from neuron_whisper.errors import InvalidOption, UrlFetchFailed
from neuron_whisper.server.jobs.entities import WebhookDelivery
from neuron_whisper.server.jobs.outbound import RestrictedHttpClient
from neuron_whisper.server.jobs.store import JobStore

log = logging.getLogger(__name__)

SECRET_PREFIX = "whsec_"  # noqa: S105  # what a secret begins with, not a secret
MIN_SECRET_BYTES, MAX_SECRET_BYTES = 24, 64  # standardwebhooks.com
MAX_ATTEMPTS = 8
BACKOFF_FACTOR = 4.0  # each wait is so many times the one before: 5 s, 20 s, ... 5.7 h
RESPONSE_TIMEOUT_S = 20.0
MAX_CONCURRENT_SENDS = 8
MAX_POLL_INTERVAL_S = 60.0


def decode_secret(text: str) -> bytes:
    """The key in "whsec_<base64>". Raises InvalidOption, which does not repeat it."""
    try:
        key = base64.b64decode(text.removeprefix(SECRET_PREFIX), validate=True)
    except binascii.Error:
        key = b""
    if not MIN_SECRET_BYTES <= len(key) <= MAX_SECRET_BYTES:
        raise InvalidOption(
            "webhook_secret", "***", f"{SECRET_PREFIX} and {MIN_SECRET_BYTES} to {MAX_SECRET_BYTES} bytes in base64"
        )
    return key


def sign(secret: bytes, message_id: str, timestamp: int, payload: bytes) -> str:
    """v1,<base64 of HMAC-SHA256 over id.timestamp.payload>"""
    signed = b"%s.%d.%s" % (message_id.encode(), timestamp, payload)
    return f"v1,{base64.b64encode(hmac.new(secret, signed, hashlib.sha256).digest()).decode()}"


class WebhookSender:
    """Sends what the store holds, a few at once, in one task. `first_retry_s` is before the second attempt."""

    def __init__(
        self, store: JobStore, http_client: RestrictedHttpClient, secret: bytes, *, first_retry_s: float
    ) -> None:
        self._store, self._http_client, self._secret, self._first_retry_s = store, http_client, secret, first_retry_s
        self._wake_event = asyncio.Event()

    def wake(self) -> None:
        """There may be something new to send."""
        self._wake_event.set()

    async def run(self) -> None:
        """Until it is cancelled."""
        while True:
            self._wake_event.clear()
            try:
                wait_s = await self._send_due()
            except Exception:  # a full disk, say: what was sent may be sent again
                log.exception("webhooks wait")
                wait_s = MAX_POLL_INTERVAL_S
            try:
                async with asyncio.timeout(wait_s):
                    await self._wake_event.wait()
            except TimeoutError:
                pass

    async def _send_due(self) -> float:
        """Seconds until the next one is due."""
        pending = await asyncio.to_thread(self._store.list_pending_deliveries)
        now = time.time()
        longest_s = 1.1 * self._first_retry_s * BACKOFF_FACTOR ** (MAX_ATTEMPTS - 2)
        # one that is due later than any is: the clock was set back
        due = [delivery for delivery in pending if not now < delivery.next_at <= now + longest_s]
        for delivery in await asyncio.gather(*(self._send(delivery) for delivery in due[:MAX_CONCURRENT_SENDS])):
            await asyncio.to_thread(self._store.update_delivery, delivery)
        if due:
            return 0.0
        return min(MAX_POLL_INTERVAL_S, pending[0].next_at - now) if pending else MAX_POLL_INTERVAL_S

    async def _send(self, delivery: WebhookDelivery) -> WebhookDelivery:
        """What became of one attempt."""
        payload, timestamp = delivery.payload.encode(), int(time.time())
        headers = {
            "content-type": "application/json",
            "webhook-id": delivery.id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": sign(self._secret, delivery.id, timestamp, payload),
        }
        failure, is_gone = "", False
        try:
            async with (
                asyncio.timeout(RESPONSE_TIMEOUT_S),
                self._http_client.send("POST", delivery.url, headers=headers, content=payload) as response,
            ):
                if not 200 <= response.status < 300:
                    failure, is_gone = f"it answered {response.status}", response.status == 410
        except UrlFetchFailed as error:
            failure = error.reason
        except TimeoutError:
            failure = "it did not answer in time"
        attempts = delivery.attempts + 1
        log.info("webhook id=%s job=%s attempt=%d %s", delivery.id, delivery.job_id, attempts, failure or "delivered")
        if not failure:
            return replace(delivery, status="delivered", attempts=attempts, last_error=None)
        if is_gone or attempts >= MAX_ATTEMPTS:
            return replace(delivery, status="given_up", attempts=attempts, last_error=failure)
        wait_s = self._first_retry_s * BACKOFF_FACTOR ** (attempts - 1) * random.uniform(0.9, 1.1)  # noqa: S311  # not a secret
        return replace(delivery, attempts=attempts, last_error=failure, next_at=time.time() + wait_s)
