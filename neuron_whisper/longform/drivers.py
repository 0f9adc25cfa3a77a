"""Run plans on an engine, for threads and for asyncio: windows are submitted, results are sent back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Generator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from typing import Protocol, TypeAlias

from neuron_whisper.decode.window import DecodingResult, WindowRequest
from neuron_whisper.longform import AwaitAction, Plan, PlanItem, SubmitAction, TranscriptSummary
from neuron_whisper.transcript import Segment, SkippedRegion

TranscriptEvent: TypeAlias = Segment | SkippedRegion | TranscriptSummary
PlanInput: TypeAlias = tuple[int, DecodingResult] | None


class SubmitWindow(Protocol):
    """Engine.submit."""

    def __call__(self, request: WindowRequest, *, is_first: bool) -> Future[DecodingResult]: ...


def run_plan(plan: Plan, submit: SubmitWindow) -> Generator[TranscriptEvent]:
    """Runs the plan and yields its events as they come. Closing it early cancels the windows being decoded.

    Raises the errors of `submit` and of its futures.
    """
    running: dict[int, Future[DecodingResult]] = {}
    plan_input: PlanInput = None
    is_first = True
    try:
        while (item := _next_item(plan, plan_input)) is not None:
            plan_input = None
            match item:
                case SubmitAction():
                    running[item.request_id] = submit(item.request, is_first=is_first)
                    is_first = False
                case AwaitAction():
                    wait([running[request_id] for request_id in item.request_ids], return_when=FIRST_COMPLETED)
                    request_id = min(request_id for request_id in item.request_ids if running[request_id].done())
                    plan_input = request_id, running.pop(request_id).result()
                case _:
                    yield item
    finally:
        for future in running.values():
            future.cancel()


async def arun_plan(plan: Plan, submit: SubmitWindow) -> AsyncGenerator[TranscriptEvent]:
    """As run_plan. Cancelling the waiting task frees the slots at the engine's next step."""
    running: dict[int, asyncio.Future[DecodingResult]] = {}
    plan_input: PlanInput = None
    is_first = True
    try:
        # the plan's own work between windows (text of tokens, times of words) runs in a thread, in one go
        while items := await asyncio.to_thread(_run_until_await, plan, plan_input):
            plan_input = None
            for item in items:
                match item:
                    case SubmitAction():
                        running[item.request_id] = asyncio.wrap_future(submit(item.request, is_first=is_first))
                        is_first = False
                    case AwaitAction():
                        await asyncio.wait(
                            [running[request_id] for request_id in item.request_ids], return_when=FIRST_COMPLETED
                        )
                        request_id = min(request_id for request_id in item.request_ids if running[request_id].done())
                        plan_input = request_id, running.pop(request_id).result()
                    case _:
                        yield item
    finally:
        for future in running.values():  # cancelling these cancels the engine's, too
            if not future.cancel() and not future.cancelled():
                future.exception()  # retrieved, or asyncio logs that it never was


def _next_item(plan: Plan, plan_input: PlanInput) -> PlanItem | None:
    """Runs the plan to its next item; None at its end."""
    try:
        return plan.send(plan_input)
    except StopIteration:
        return None


def _run_until_await(plan: Plan, plan_input: PlanInput) -> list[PlanItem]:
    """Runs the plan until it waits or ends: its items, an AwaitAction last; empty once it has ended."""
    items: list[PlanItem] = []
    while (item := _next_item(plan, plan_input)) is not None:
        plan_input = None
        items.append(item)
        if isinstance(item, AwaitAction):
            break
    return items
