"""LiveSession: a LivePlan driven for asyncio; windows go to an engine, answers come back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuron_whisper.audio.clip import SAMPLE_RATE, WINDOW_S
from neuron_whisper.decode.window import Hypothesis
from neuron_whisper.errors import InvalidOption, NeuronWhisperError
from neuron_whisper.live.events import Event
from neuron_whisper.live.options import LiveOptions
from neuron_whisper.live.state_machine import Ask, Cancel, LivePlan, Step
from neuron_whisper.longform.drivers import Submitter

MOST_EVENTS = 256  # that nobody has taken yet, before `feed` waits for somebody to
PIECE_SAMPLES = SAMPLE_RATE // 2


class LiveSession:
    """Feed it from one task and iterate over its events in another. For one event loop.

    `feed` waits while more than `most_buffered_s` of speech wait for their final text: what is fed faster than it
    is decoded is slowed down, nothing is lost and memory is bounded. The events end after `finish`, or `aclose`.
    A call that is cancelled is done all the same.
    """

    def __init__(
        self,
        plan: LivePlan,
        submit: Submitter,
        *,
        most_buffered_s: float = 60.0,
        is_busy: Callable[[], bool] = lambda: False,
    ) -> None:
        """`is_busy`: whether the engine has no room for partial text. Raises InvalidOption."""
        if not most_buffered_s > WINDOW_S + 1:
            raise InvalidOption("most_buffered_s", most_buffered_s, f"more than {WINDOW_S + 1:g}: a window has to fit")
        self._plan, self._submit = plan, submit
        self._most_buffered_s, self._is_busy = most_buffered_s, is_busy
        self._turn = asyncio.Lock()  # the plan works in threads, one at a time
        self._progress = asyncio.Event()
        self._answers: dict[int, asyncio.Task[None]] = {}
        self._doing: set[asyncio.Task[None]] = set()
        self._events: asyncio.Queue[Event | None] = asyncio.Queue()
        self._is_finishing = self._is_closed = False
        self._broken: Exception | None = None

    @property
    def fed_s(self) -> float:
        return self._plan.fed_s

    @property
    def buffered_s(self) -> float:
        return self._plan.buffered_s

    @property
    def uncommitted_s(self) -> float:
        """Seconds since the last utterance ended."""
        return self._plan.uncommitted_s

    async def feed(self, samples: NDArray[np.float32]) -> None:
        """Samples at 16 kHz, any number of them."""
        for start in range(0, len(samples), PIECE_SAMPLES):
            while not self._is_closed and (
                self._plan.buffered_s > self._most_buffered_s or self._events.qsize() > MOST_EVENTS
            ):
                self._progress.clear()
                await self._progress.wait()
            self._plan.skips_partials = self._is_busy()
            await self._do(self._plan.feed, samples[start : start + PIECE_SAMPLES])

    async def update(self, options: LiveOptions) -> None:
        """Other options, from the next utterance on. Raises InvalidOption."""
        await self._do(self._plan.update, options)

    async def commit(self) -> None:
        """End the utterance here."""
        await self._do(self._plan.commit)

    async def clear(self) -> None:
        """Forget what is not committed."""
        await self._do(self._plan.clear)

    async def finish(self) -> None:
        """Nothing more will be fed: commit what was said; the events end after its final text."""
        await self._do(self._finish)

    def _finish(self) -> list[Step]:
        self._is_finishing = True  # in its turn: no answer before it may take the plan for done
        return self._plan.finish()

    async def __aiter__(self) -> AsyncIterator[Event]:
        while (event := await self._events.get()) is not None:
            self._progress.set()
            yield event
        if self._broken is not None:
            raise self._broken

    async def aclose(self) -> None:
        """Give up what is being decoded; its slots are free at the engine's next step. Idempotent."""
        self._is_closed = True
        self._progress.set()
        answers = list(self._answers.values())
        for answer in answers:
            answer.cancel()
        await asyncio.gather(*answers, *self._doing, return_exceptions=True)
        self._events.put_nowait(None)

    # --- the plan ---------------------------------------------------------------------------------

    async def _do(self, call: Callable[..., list[Step]], *arguments: Any) -> None:
        """One call of the plan's, and what it wants done."""
        # a thread cannot be cancelled, and no other may be in the plan beside it
        doing = asyncio.create_task(self._in_turn(call, *arguments))
        self._doing.add(doing)
        doing.add_done_callback(self._doing.discard)
        await asyncio.shield(doing)

    async def _in_turn(self, call: Callable[..., list[Step]], *arguments: Any) -> None:
        async with self._turn:
            # spectrograms and the voice detector take milliseconds, which the event loop has not
            steps = await asyncio.to_thread(call, *arguments)
            while steps and not self._is_closed:
                steps = self._take(steps)
            self._progress.set()
            if self._is_finishing and self._plan.is_idle and not self._is_closed:
                self._is_closed = True
                self._events.put_nowait(None)

    def _take(self, steps: list[Step]) -> list[Step]:
        """Do the steps; returns those that came of windows that were refused."""
        more: list[Step] = []
        for step in steps:
            match step:
                case Ask():
                    try:
                        # what was begun is not refused half-way, but partial text can be done without
                        future = self._submit(step.ask, is_first=step.is_partial)
                    except NeuronWhisperError as error:
                        more += self._plan.fail(step.ticket, error)
                        continue
                    answer = asyncio.create_task(self._answer(step.ticket, future))
                    self._answers[step.ticket] = answer
                    answer.add_done_callback(partial(self._forget, step.ticket))
                case Cancel():
                    if (running := self._answers.pop(step.ticket, None)) is not None:
                        running.cancel()
                case _:
                    self._events.put_nowait(step)
        return more

    def _forget(self, ticket: int, answer: asyncio.Task[None]) -> None:
        self._answers.pop(ticket, None)

    async def _answer(self, ticket: int, future: Future[Hypothesis]) -> None:
        try:
            try:
                hypothesis = await asyncio.wrap_future(future)
            except NeuronWhisperError as error:
                await self._do(self._plan.fail, ticket, error)
            else:
                await self._do(self._plan.receive, ticket, hypothesis)
        except Exception as error:  # a fault of ours: who iterates is told, instead of waiting for ever
            self._broken, self._is_closed = error, True
            self._progress.set()
            self._events.put_nowait(None)
