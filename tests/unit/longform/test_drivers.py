"""Plans run_to_end for threads and for asyncio: the same events, failures, cancelled windows."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future

import pytest

from neuron_whisper.decode.window import DecodingResult, WindowRequest
from neuron_whisper.errors import DeviceError
from neuron_whisper.longform import Plan
from neuron_whisper.longform.batched import decode_batched
from neuron_whisper.longform.clip_context import PromptState
from neuron_whisper.longform.drivers import TranscriptEvent, arun_plan, run_plan
from tests.support.plans import (
    ScriptedDecoder,
    make_clip_context,
    two_segments,
)


def test_asyncio_and_threads_give_the_same_events() -> None:
    def plan() -> Plan:
        return decode_batched(
            make_clip_context(60, vad_filter=False),
            PromptState(language="en"),
            [(0, 2000), (2500, 5000)],
            concurrency=2,
        )

    async def gathered() -> list[TranscriptEvent]:
        return [item async for item in arun_plan(plan(), ScriptedDecoder(two_segments))]

    assert asyncio.run(gathered()) == list(run_plan(plan(), ScriptedDecoder(two_segments)))


class PendingDecoder:
    """Windows whose answers never come, but the first where it is a failure."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.futures: list[Future[DecodingResult]] = []

    def __call__(self, request: WindowRequest, *, is_first: bool) -> Future[DecodingResult]:
        future: Future[DecodingResult] = Future()
        if self.error is not None and not self.futures:
            future.set_exception(self.error)
        self.futures.append(future)
        return future


def plan_three_regions() -> Plan:
    clip_data = make_clip_context(60, vad_filter=False, condition_on_previous_text=False)
    return decode_batched(clip_data, PromptState(language="en"), [(0, 900), (1000, 1900), (2000, 2500)], concurrency=3)


def test_a_window_that_fails_ends_the_clip_and_cancels_its_others() -> None:
    engine = PendingDecoder(DeviceError("gone"))
    with pytest.raises(DeviceError, match="gone"):
        list(run_plan(plan_three_regions(), engine))
    assert [future.cancelled() for future in engine.futures] == [False, True, True]


def test_a_task_that_is_cancelled_cancels_its_windows() -> None:
    engine = PendingDecoder()

    async def cancelled() -> None:
        async def consume() -> None:
            async for _ in arun_plan(plan_three_regions(), engine):
                pass

        task = asyncio.ensure_future(consume())
        async with asyncio.timeout(60):
            while len(engine.futures) < 3:
                await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancelled())
    assert all(future.cancelled() for future in engine.futures)
