"""A request's body as it comes in: one that stops or trickles is given up."""

from __future__ import annotations

import asyncio
import time

from litestar.types import Receive
from litestar.types.asgi_types import ReceiveMessage

from neuron_whisper.server.http.errors import UploadTooSlow

RATE_GRACE_S = 10.0  # of the whole upload, before its rate is looked at


def limit_slow_upload(receive: Receive, *, idle_s: float, min_bytes_per_s: float) -> Receive:
    """`receive`, which raises UploadTooSlow while a body is awaited that stops for `idle_s` or is slower than that.

    After the body it is what it was: a disconnect may take as long as it likes.
    """
    began = time.monotonic()
    received, is_over = 0, False

    async def receive_in_time() -> ReceiveMessage:
        nonlocal received, is_over
        if is_over:
            return await receive()
        try:
            async with asyncio.timeout(idle_s):
                message = await receive()
        except TimeoutError:
            raise UploadTooSlow(f"nothing of the request came for {idle_s:g} seconds") from None
        if message["type"] != "http.request":
            is_over = True
            return message
        received += len(message["body"])
        is_over = not message.get("more_body", False)
        took = time.monotonic() - began
        if not is_over and took > RATE_GRACE_S and received < min_bytes_per_s * took:
            raise UploadTooSlow(f"the request comes at less than {min_bytes_per_s:g} bytes a second")
        return message

    return receive_in_time
