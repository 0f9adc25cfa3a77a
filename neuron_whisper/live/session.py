"""LiveSession: a LiveStateMachine driven for asyncio; windows go to an engine, answers come back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuron_whisper.audio.clip import SAMPLE_RATE, WINDOW_S
from neuron_whisper.decode.window import DecodingResult
from neuron_whisper.errors import InvalidOption, NeuronWhisperError
from neuron_whisper.live.events import LiveEvent
from neuron_whisper.live.options import LiveOptions
from neuron_whisper.live.state_machine import Action, CancelAction, DecodeAction, LiveStateMachine
from neuron_whisper.longform.drivers import SubmitWindow

MAX_EVENTS = 256  # that nobody has taken yet, before `feed` waits for somebody to
FEED_SAMPLES = SAMPLE_RATE // 2


class LiveSession:
    """Feed it from one task and iterate over its events in another. For one event loop.

    `feed` waits while more than `max_buffered_s` of speech wait for their final text: what is fed faster than it
    is decoded is slowed down, nothing is lost and memory is bounded. The events end after `finish`, or `aclose`.
    A call that is cancelled is done all the same.
    """

    def __init__(
        self,
        state_machine: LiveStateMachine,
        submit: SubmitWindow,
        *,
        max_buffered_s: float = 60.0,
        is_busy: Callable[[], bool] = lambda: False,
    ) -> None:
        """`is_busy`: whether the engine has no room for partial text. Raises InvalidOption."""
        if not max_buffered_s > WINDOW_S + 1:
            raise InvalidOption("most_buffered_s", max_buffered_s, f"more than {WINDOW_S + 1:g}: a window has to fit")
        self._state_machine, self._submit = state_machine, submit
        self._max_buffered_s, self._is_busy = max_buffered_s, is_busy
        self._lock = asyncio.Lock()  # the plan works in threads, one at a time
        self._progress = asyncio.Event()
        self._decode_tasks: dict[int, asyncio.Task[None]] = {}
        self._running_calls: set[asyncio.Task[None]] = set()
        self._events: asyncio.Queue[LiveEvent | None] = asyncio.Queue()
        self._is_finishing = self._is_closed = False
        self._error: Exception | None = None

    @property
    def fed_s(self) -> float:
        return self._state_machine.fed_s

    @property
    def buffered_s(self) -> float:
        return self._state_machine.buffered_s

    @property
    def uncommitted_s(self) -> float:
        """Seconds since the last utterance ended."""
        return self._state_machine.uncommitted_s

    async def feed(self, samples: NDArray[np.float32]) -> None:
        """Samples at 16 kHz, any number of them."""
        for start in range(0, len(samples), FEED_SAMPLES):
            while not self._is_closed and (
                self._state_machine.buffered_s > self._max_buffered_s or self._events.qsize() > MAX_EVENTS
            ):
                self._progress.clear()
                await self._progress.wait()
            self._state_machine.skips_partials = self._is_busy()
            await self._call(self._state_machine.feed, samples[start : start + FEED_SAMPLES])

    async def update(self, options: LiveOptions) -> None:
        """Other options, from the next utterance on. Raises InvalidOption."""
        await self._call(self._state_machine.update, options)

    async def commit(self) -> None:
        """End the utterance here."""
        await self._call(self._state_machine.commit)

    async def clear(self) -> None:
        """Forget what is not committed."""
        await self._call(self._state_machine.clear)

    async def finish(self) -> None:
        """Nothing more will be fed: commit what was said; the events end after its final text."""
        await self._call(self._finish)

    def _finish(self) -> list[Action]:
        self._is_finishing = True  # in its turn: no answer before it may take the plan for done
        return self._state_machine.finish()

    async def __aiter__(self) -> AsyncIterator[LiveEvent]:
        while (event := await self._events.get()) is not None:
            self._progress.set()
            yield event
        if self._error is not None:
            raise self._error

    async def aclose(self) -> None:
        """Give up what is being decoded; its slots are free at the engine's next step. Idempotent."""
        self._is_closed = True
        self._progress.set()
        answers = list(self._decode_tasks.values())
        for answer in answers:
            answer.cancel()
        await asyncio.gather(*answers, *self._running_calls, return_exceptions=True)
        self._events.put_nowait(None)

    # --- the plan ---------------------------------------------------------------------------------

    async def _call(self, call: Callable[..., list[Action]], *arguments: Any) -> None:
        """One call of the plan's, and what it wants done."""
        # a thread cannot be cancelled, and no other may be in the plan beside it
        doing = asyncio.create_task(self._call_exclusively(call, *arguments))
        self._running_calls.add(doing)
        doing.add_done_callback(self._running_calls.discard)
        await asyncio.shield(doing)

    async def _call_exclusively(self, call: Callable[..., list[Action]], *arguments: Any) -> None:
        async with self._lock:
            # spectrograms and the voice detector take milliseconds, which the event loop has not
            steps = await asyncio.to_thread(call, *arguments)
            while steps and not self._is_closed:
                steps = self._perform(steps)
            self._progress.set()
            if self._is_finishing and self._state_machine.is_idle and not self._is_closed:
                self._is_closed = True
                self._events.put_nowait(None)

    def _perform(self, actions: list[Action]) -> list[Action]:
        """Do the steps; returns those that came of windows that were refused."""
        more: list[Action] = []
        for step in actions:
            match step:
                case DecodeAction():
                    try:
                        # what was begun is not refused half-way, but partial text can be done without
                        future = self._submit(step.request, is_first=step.is_partial)
                    except NeuronWhisperError as error:
                        more += self._state_machine.fail(step.request_id, error)
                        continue
                    answer = asyncio.create_task(self._await_result(step.request_id, future))
                    self._decode_tasks[step.request_id] = answer
                    answer.add_done_callback(partial(self._forget_task, step.request_id))
                case CancelAction():
                    if (running := self._decode_tasks.pop(step.request_id, None)) is not None:
                        running.cancel()
                case _:
                    self._events.put_nowait(step)
        return more

    def _forget_task(self, request_id: int, task: asyncio.Task[None]) -> None:
        self._decode_tasks.pop(request_id, None)

    async def _await_result(self, request_id: int, future: Future[DecodingResult]) -> None:
        try:
            try:
                hypothesis = await asyncio.wrap_future(future)
            except NeuronWhisperError as error:
                await self._call(self._state_machine.fail, request_id, error)
            else:
                await self._call(self._state_machine.receive, request_id, hypothesis)
        except Exception as error:  # a fault of ours: who iterates is told, instead of waiting for ever
            self._error, self._is_closed = error, True
            self._progress.set()
            self._events.put_nowait(None)
