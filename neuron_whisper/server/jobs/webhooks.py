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

from neuron_whisper.errors import InvalidOption, UrlFailed
from neuron_whisper.server.jobs.entities import Delivery
from neuron_whisper.server.jobs.outbound import Outbound
from neuron_whisper.server.jobs.store import JobStore

log = logging.getLogger(__name__)

SECRET_PREFIX = "whsec_"  # noqa: S105  # what a secret begins with, not a secret
LEAST_SECRET_BYTES, MOST_SECRET_BYTES = 24, 64  # standardwebhooks.com
MOST_ATTEMPTS = 8
GROWTH = 4.0  # each wait is so many times the one before: 5 s, 20 s, ... 5.7 h
ANSWER_S = 20.0
AT_ONCE = 8
LONGEST_LOOK_S = 60.0


def secret_of(text: str) -> bytes:
    """The key in "whsec_<base64>". Raises InvalidOption, which does not repeat it."""
    try:
        key = base64.b64decode(text.removeprefix(SECRET_PREFIX), validate=True)
    except binascii.Error:
        key = b""
    if not LEAST_SECRET_BYTES <= len(key) <= MOST_SECRET_BYTES:
        raise InvalidOption(
            "webhook_secret", "***", f"{SECRET_PREFIX} and {LEAST_SECRET_BYTES} to {MOST_SECRET_BYTES} bytes in base64"
        )
    return key


def signature(secret: bytes, message_id: str, timestamp: int, payload: bytes) -> str:
    """v1,<base64 of HMAC-SHA256 over id.timestamp.payload>"""
    signed = b"%s.%d.%s" % (message_id.encode(), timestamp, payload)
    return f"v1,{base64.b64encode(hmac.new(secret, signed, hashlib.sha256).digest()).decode()}"


class WebhookSender:
    """Sends what the store holds, a few at once, in one task. `first_wait_s` is before the second attempt."""

    def __init__(self, store: JobStore, outbound: Outbound, secret: bytes, *, first_wait_s: float) -> None:
        self._store, self._outbound, self._secret, self._first_wait_s = store, outbound, secret, first_wait_s
        self._changed = asyncio.Event()

    def look(self) -> None:
        """There may be something new to send."""
        self._changed.set()

    async def run(self) -> None:
        """Until it is cancelled."""
        while True:
            self._changed.clear()
            try:
                wait_s = await self._send_due()
            except Exception:  # a full disk, say: what was sent may be sent again
                log.exception("webhooks wait")
                wait_s = LONGEST_LOOK_S
            try:
                async with asyncio.timeout(wait_s):
                    await self._changed.wait()
            except TimeoutError:
                pass

    async def _send_due(self) -> float:
        """Seconds until the next one is due."""
        pending = await asyncio.to_thread(self._store.pending_deliveries)
        now = time.time()
        longest_s = 1.1 * self._first_wait_s * GROWTH ** (MOST_ATTEMPTS - 2)
        # one that is due later than any is: the clock was set back
        due = [delivery for delivery in pending if not now < delivery.next_at <= now + longest_s]
        for delivery in await asyncio.gather(*(self._sent(delivery) for delivery in due[:AT_ONCE])):
            await asyncio.to_thread(self._store.change_delivery, delivery)
        if due:
            return 0.0
        return min(LONGEST_LOOK_S, pending[0].next_at - now) if pending else LONGEST_LOOK_S

    async def _sent(self, delivery: Delivery) -> Delivery:
        """What became of one attempt."""
        payload, timestamp = delivery.payload.encode(), int(time.time())
        headers = {
            "content-type": "application/json",
            "webhook-id": delivery.id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": signature(self._secret, delivery.id, timestamp, payload),
        }
        failure, is_gone = "", False
        try:
            async with (
                asyncio.timeout(ANSWER_S),
                self._outbound.send("POST", delivery.url, headers=headers, content=payload) as response,
            ):
                if not 200 <= response.status < 300:
                    failure, is_gone = f"it answered {response.status}", response.status == 410
        except UrlFailed as error:
            failure = error.reason
        except TimeoutError:
            failure = "it did not answer in time"
        attempts = delivery.attempts + 1
        log.info("webhook id=%s job=%s attempt=%d %s", delivery.id, delivery.job_id, attempts, failure or "delivered")
        if not failure:
            return replace(delivery, status="delivered", attempts=attempts, last_error=None)
        if is_gone or attempts >= MOST_ATTEMPTS:
            return replace(delivery, status="given_up", attempts=attempts, last_error=failure)
        wait_s = self._first_wait_s * GROWTH ** (attempts - 1) * random.uniform(0.9, 1.1)  # noqa: S311  # not a secret
        return replace(delivery, attempts=attempts, last_error=failure, next_at=time.time() + wait_s)
