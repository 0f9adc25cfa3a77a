"""Requests in flight, drain and abort."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from typing import Any

import pytest

from neuron_whisper.errors import ClientBusy, EngineDraining, QueueFull
from neuron_whisper.server import ServerSettings
from neuron_whisper.server.http.api_keys import Client
from neuron_whisper.server.http.request_context import RequestContext, current_request
from neuron_whisper.server.state import ServerState
from neuron_whisper.transcriber import Transcriber


def run_with_state(transcriber: Transcriber, scenario: Any, **settings: Any) -> None:
    async def run() -> None:
        state = ServerState(transcriber, ServerSettings(vad_filter=False, **settings))
        try:
            await scenario(state)
        finally:
            state.close()

    asyncio.run(run())


def start(work: Coroutine[Any, Any, None], client: str = "a") -> asyncio.Task[None]:
    """A task with a request context of its own."""

    async def serve() -> None:
        context = RequestContext(id="req_1", started=time.perf_counter(), client=Client(id=client))
        current_request.set(context)
        await work

    return asyncio.ensure_future(serve())


def test_a_request_is_in_flight_while_it_is_tracked(transcriber: Transcriber) -> None:
    async def scenario(state: ServerState) -> None:
        assert state.idle.is_set()
        with state.track_request():
            assert (state.in_flight, state.idle.is_set()) == (1, False)
        assert (state.in_flight, state.idle.is_set()) == (0, True)

    run_with_state(transcriber, scenario)


def test_a_draining_server_rejects_requests(transcriber: Transcriber) -> None:
    async def scenario(state: ServerState) -> None:
        state.drain_started.set()
        with pytest.raises(EngineDraining), state.track_request():
            pass

    run_with_state(transcriber, scenario)


def test_aborted_requests_end_with_draining_and_others_with_cancellation(transcriber: Transcriber) -> None:
    async def scenario(state: ServerState) -> None:
        async def work() -> None:
            with state.track_request():
                await asyncio.Event().wait()

        cancelled = start(work())
        await asyncio.sleep(0)
        cancelled.cancel()
        with pytest.raises(asyncio.CancelledError):
            await cancelled
        aborted = start(work())
        await asyncio.sleep(0)
        state.abort_requests()
        with pytest.raises(EngineDraining):
            await aborted
        assert state.idle.is_set()

    run_with_state(transcriber, scenario)


def test_a_client_is_held_to_its_limit(transcriber: Transcriber) -> None:
    async def scenario(state: ServerState) -> None:
        async def work(seconds: float) -> None:
            with state.track_request():
                await asyncio.sleep(seconds)

        first = start(work(60), "a")
        await asyncio.sleep(0)
        with pytest.raises(ClientBusy):
            await start(work(0), "a")
        await start(work(0), "b")
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        await start(work(0), "a")

    run_with_state(transcriber, scenario, max_requests_per_client=1)


def test_a_full_queue_says_at_least_the_expected_wait(transcriber: Transcriber) -> None:
    async def scenario(state: ServerState) -> None:
        async def work() -> None:
            with state.track_request():
                raise QueueFull(4, retry_after_s=2.0)

        with pytest.raises(QueueFull) as caught:
            await start(work())
        assert caught.value.retry_after_s >= max(2.0, state.admission.wait_s)

    run_with_state(transcriber, scenario)
