"""Stops uploads that pause for too long, are too slow, or come in pieces that the connection refuses."""

from __future__ import annotations

import asyncio
import time
from collections.abc import MutableMapping
from typing import Any

from litestar.types import Receive
from litestar.types.asgi_types import ReceiveMessage

from neuron_whisper.server.http.errors import RefusedBody, UploadTooSlow

RATE_GRACE_S = 10.0  # from the start of the upload, before its rate is checked
REFUSAL_KEY = "neuron_whisper.refused_body"  # of a request's state


def refuse_body(state: MutableMapping[str, Any], error: RefusedBody) -> None:
    """Let the request with this state fail when it reads on in its body. To be called by its connection."""
    state[REFUSAL_KEY] = error


def limit_upload(
    receive: Receive, state: MutableMapping[str, Any], *, idle_s: float, min_bytes_per_s: float
) -> Receive:
    """`receive` that raises UploadTooSlow when the body pauses for `idle_s` or is slower than `min_bytes_per_s`.

    It raises RefusedBody where the connection refused the body. After the body it has no limit: it then waits for the
    disconnect.
    """
    started = time.monotonic()
    received, is_over = 0, False

    async def receive_in_time() -> ReceiveMessage:
        nonlocal received, is_over
        if is_over:
            return await receive()
        try:
            async with asyncio.timeout(idle_s):
                message = await receive()
        except TimeoutError:
            raise UploadTooSlow(f"the upload paused for {idle_s:g} s") from None
        if REFUSAL_KEY in state:
            raise state[REFUSAL_KEY]
        if message["type"] != "http.request":
            is_over = True
            return message
        received += len(message["body"])
        is_over = not message.get("more_body", False)
        took_s = time.monotonic() - started
        if not is_over and took_s > RATE_GRACE_S and received < min_bytes_per_s * took_s:
            raise UploadTooSlow(f"upload slower than {min_bytes_per_s:g} bytes/s")
        return message

    return receive_in_time
