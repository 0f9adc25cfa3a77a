"""Work that is cancelled when its client disconnects."""

from __future__ import annotations

import asyncio

import pytest
from litestar.types.asgi_types import ReceiveMessage

from neuron_whisper.server.http.disconnect import cancel_on_disconnect
from neuron_whisper.server.http.errors import ClientDisconnected


def test_the_result_is_returned_while_the_client_is_connected() -> None:
    async def run() -> int:
        async def receive() -> ReceiveMessage:
            await asyncio.Event().wait()
            raise AssertionError

        async def work() -> int:
            return 7

        return await cancel_on_disconnect(receive, work())

    assert asyncio.run(run()) == 7


def test_a_disconnect_cancels_the_work() -> None:
    async def run() -> bool:
        is_cancelled = False
        started = asyncio.Event()

        async def receive() -> ReceiveMessage:
            await started.wait()
            return {"type": "http.disconnect"}

        async def work() -> None:
            nonlocal is_cancelled
            started.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                is_cancelled = True
                raise

        with pytest.raises(ClientDisconnected):
            await cancel_on_disconnect(receive, work())
        return is_cancelled

    assert asyncio.run(run())


def test_an_error_of_the_work_is_raised() -> None:
    async def run() -> None:
        async def receive() -> ReceiveMessage:
            await asyncio.Event().wait()
            raise AssertionError

        async def work() -> None:
            raise ValueError("x")

        await cancel_on_disconnect(receive, work())

    with pytest.raises(ValueError, match="x"):
        asyncio.run(run())
