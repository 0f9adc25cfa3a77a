"""Drivers of plans: windows go to an engine, answers come back, for threads and for asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from typing import Protocol, TypeAlias

from neuron_whisper.decode.window import Hypothesis, WindowAsk
from neuron_whisper.longform import Await, Item, Outcome, Plan, Submit
from neuron_whisper.transcript import Dropped, Segment

Told: TypeAlias = Segment | Dropped | Outcome
Answer: TypeAlias = tuple[int, Hypothesis] | None


class Submitter(Protocol):
    """Engine.submit."""

    def __call__(self, ask: WindowAsk, *, is_first: bool) -> Future[Hypothesis]: ...


def drive(plan: Plan, submit: Submitter) -> Iterator[Told]:
    """What the plan tells, as it comes. What is still being decoded when this ends early is cancelled.

    Raises what `submit` and its futures raise.
    """
    running: dict[int, Future[Hypothesis]] = {}
    answer: Answer = None
    is_first = True
    try:
        while (item := _next(plan, answer)) is not None:
            answer = None
            match item:
                case Submit():
                    running[item.ticket] = submit(item.ask, is_first=is_first)
                    is_first = False
                case Await():
                    wait([running[ticket] for ticket in item.tickets], return_when=FIRST_COMPLETED)
                    ticket = min(ticket for ticket in item.tickets if running[ticket].done())
                    answer = ticket, running.pop(ticket).result()
                case _:
                    yield item
    finally:
        for future in running.values():
            future.cancel()


async def adrive(plan: Plan, submit: Submitter) -> AsyncGenerator[Told]:
    """As drive. Cancelling the task that waits frees the slots at the engine's next step."""
    running: dict[int, asyncio.Future[Hypothesis]] = {}
    answer: Answer = None
    is_first = True
    try:
        # the plan's own work between windows (text of tokens, times of words) runs in a thread, in one go
        while items := await asyncio.to_thread(_until_it_waits, plan, answer):
            answer = None
            for item in items:
                match item:
                    case Submit():
                        running[item.ticket] = asyncio.wrap_future(submit(item.ask, is_first=is_first))
                        is_first = False
                    case Await():
                        await asyncio.wait([running[ticket] for ticket in item.tickets], return_when=FIRST_COMPLETED)
                        ticket = min(ticket for ticket in item.tickets if running[ticket].done())
                        answer = ticket, running.pop(ticket).result()
                    case _:
                        yield item
    finally:
        for future in running.values():  # cancelling these cancels the engine's, too
            if not future.cancel() and not future.cancelled():
                future.exception()  # looked at, so that nobody complains that it was not


def _next(plan: Plan, answer: Answer) -> Item | None:
    """What the plan yields next, None at its end."""
    try:
        return plan.send(answer)
    except StopIteration:
        return None


def _until_it_waits(plan: Plan, answer: Answer) -> list[Item]:
    """What the plan yields until it waits, the Await last, or ends; nothing once it has ended."""
    items: list[Item] = []
    while (item := _next(plan, answer)) is not None:
        answer = None
        items.append(item)
        if isinstance(item, Await):
            break
    return items
