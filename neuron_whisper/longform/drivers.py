"""Drivers of plans: windows go to an engine, answers come back, for threads and for asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator
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


def run_plan(plan: Plan, submit: SubmitWindow) -> Iterator[TranscriptEvent]:
    """What the plan tells, as it comes. What is still being decoded when this ends early is cancelled.

    Raises what `submit` and its futures raise.
    """
    running: dict[int, Future[DecodingResult]] = {}
    answer: PlanInput = None
    is_first = True
    try:
        while (item := _next_item(plan, answer)) is not None:
            answer = None
            match item:
                case SubmitAction():
                    running[item.request_id] = submit(item.request, is_first=is_first)
                    is_first = False
                case AwaitAction():
                    wait([running[ticket] for ticket in item.request_ids], return_when=FIRST_COMPLETED)
                    ticket = min(ticket for ticket in item.request_ids if running[ticket].done())
                    answer = ticket, running.pop(ticket).result()
                case _:
                    yield item
    finally:
        for future in running.values():
            future.cancel()


async def arun_plan(plan: Plan, submit: SubmitWindow) -> AsyncGenerator[TranscriptEvent]:
    """As drive. Cancelling the task that waits frees the slots at the engine's next step."""
    running: dict[int, asyncio.Future[DecodingResult]] = {}
    answer: PlanInput = None
    is_first = True
    try:
        # the plan's own work between windows (text of tokens, times of words) runs in a thread, in one go
        while items := await asyncio.to_thread(_run_until_await, plan, answer):
            answer = None
            for item in items:
                match item:
                    case SubmitAction():
                        running[item.request_id] = asyncio.wrap_future(submit(item.request, is_first=is_first))
                        is_first = False
                    case AwaitAction():
                        await asyncio.wait(
                            [running[ticket] for ticket in item.request_ids], return_when=FIRST_COMPLETED
                        )
                        ticket = min(ticket for ticket in item.request_ids if running[ticket].done())
                        answer = ticket, running.pop(ticket).result()
                    case _:
                        yield item
    finally:
        for future in running.values():  # cancelling these cancels the engine's, too
            if not future.cancel() and not future.cancelled():
                future.exception()  # looked at, so that nobody complains that it was not


def _next_item(plan: Plan, plan_input: PlanInput) -> PlanItem | None:
    """What the plan yields next, None at its end."""
    try:
        return plan.send(plan_input)
    except StopIteration:
        return None


def _run_until_await(plan: Plan, plan_input: PlanInput) -> list[PlanItem]:
    """What the plan yields until it waits, the Await last, or ends; nothing once it has ended."""
    items: list[PlanItem] = []
    while (item := _next_item(plan, plan_input)) is not None:
        plan_input = None
        items.append(item)
        if isinstance(item, AwaitAction):
            break
    return items
