"""LiveSession: runs a LiveStateMachine on an engine, for asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuron_whisper.audio.clip import SAMPLE_RATE, WINDOW_S
from neuron_whisper.audio.levels import MAX_FLOAT_LEVEL, find_peak
from neuron_whisper.decode.window import DecodingResult
from neuron_whisper.errors import InvalidOption, NeuronWhisperError
from neuron_whisper.live.events import LiveEvent
from neuron_whisper.live.options import LiveOptions
from neuron_whisper.live.state_machine import Action, CancelAction, DecodeAction, LiveStateMachine
from neuron_whisper.longform.drivers import SubmitWindow

MAX_EVENTS = 256  # unread events at which `feed` waits for the reader
FEED_SAMPLES = SAMPLE_RATE // 2


class LiveSession:
    """Feed it from one task and iterate over its events in another. For one event loop.

    `feed` waits while more than `max_buffered_s` of speech have no final text yet, which slows down a caller that
    feeds faster than windows are decoded: nothing is lost and memory is bounded. The events end after `finish` or
    `aclose`. A cancelled call is completed in the background.
    """

    def __init__(
        self,
        state_machine: LiveStateMachine,
        submit: SubmitWindow,
        *,
        max_buffered_s: float = 60.0,
        is_busy: Callable[[], bool] = lambda: False,
    ) -> None:
        """`is_busy`: whether partial text must be skipped because the engine is busy. Raises InvalidOption."""
        if not max_buffered_s > WINDOW_S + 1:
            raise InvalidOption("max_buffered_s", max_buffered_s, f"more than {WINDOW_S + 1:g}: a window must fit")
        self._state_machine, self._submit = state_machine, submit
        self._max_buffered_s, self._is_busy = max_buffered_s, is_busy
        self._lock = asyncio.Lock()  # the state machine runs in threads, one call at a time
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
        """Takes samples at 16 kHz, any number of them. Raises InvalidOption for what is no mono audio."""
        _check_samples(samples)
        for start in range(0, len(samples), FEED_SAMPLES):
            while not self._is_closed and (
                self._state_machine.buffered_s > self._max_buffered_s or self._events.qsize() > MAX_EVENTS
            ):
                self._progress.clear()
                await self._progress.wait()
            self._state_machine.skips_partials = self._is_busy()
            await self._call(self._state_machine.feed, samples[start : start + FEED_SAMPLES])

    async def update(self, options: LiveOptions) -> None:
        """Changes the options, from the next utterance on. Raises InvalidOption."""
        await self._call(self._state_machine.update, options)

    async def commit(self) -> None:
        """Ends the utterance here."""
        await self._call(self._state_machine.commit)

    async def clear(self) -> None:
        """Discards all audio that is not committed."""
        await self._call(self._state_machine.clear)

    async def finish(self) -> None:
        """Ends the input: commits what is left; the events end after its final text."""
        await self._call(self._finish)

    def _finish(self) -> list[Action]:
        self._is_finishing = True  # set under the lock: an earlier result must not end the session
        return self._state_machine.finish()

    async def __aiter__(self) -> AsyncIterator[LiveEvent]:
        while (event := await self._events.get()) is not None:
            self._progress.set()
            yield event
        if self._error is not None:
            raise self._error

    async def aclose(self) -> None:
        """Cancels the windows being decoded; their slots are free at the engine's next action. Idempotent."""
        self._is_closed = True
        self._progress.set()
        tasks = list(self._decode_tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, *self._running_calls, return_exceptions=True)
        self._events.put_nowait(None)

    # --- the state machine ------------------------------------------------------------------------

    async def _call(self, call: Callable[..., list[Action]], *arguments: Any) -> None:
        """Calls the state machine and performs its actions."""
        # a thread cannot be cancelled, and no other call may run at the same time
        running = asyncio.create_task(self._call_exclusively(call, *arguments))
        self._running_calls.add(running)
        running.add_done_callback(self._running_calls.discard)
        await asyncio.shield(running)

    async def _call_exclusively(self, call: Callable[..., list[Action]], *arguments: Any) -> None:
        async with self._lock:
            # spectrograms and the voice detector take milliseconds: too long for the event loop
            actions = await asyncio.to_thread(call, *arguments)
            while actions and not self._is_closed:
                actions = self._perform(actions)
            self._progress.set()
            if self._is_finishing and self._state_machine.is_idle and not self._is_closed:
                self._is_closed = True
                self._events.put_nowait(None)

    def _perform(self, actions: list[Action]) -> list[Action]:
        """Performs the actions; returns those that follow from windows that were refused."""
        follow_ups: list[Action] = []
        for action in actions:
            match action:
                case DecodeAction():
                    try:
                        # windows of an utterance are never refused, but partial results may be
                        future = self._submit(action.request, is_first=action.is_partial)
                    except NeuronWhisperError as error:
                        follow_ups += self._state_machine.fail(action.request_id, error)
                        continue
                    task = asyncio.create_task(self._await_result(action.request_id, future))
                    self._decode_tasks[action.request_id] = task
                    task.add_done_callback(partial(self._forget_task, action.request_id))
                case CancelAction():
                    if (running := self._decode_tasks.pop(action.request_id, None)) is not None:
                        running.cancel()
                case _:
                    self._events.put_nowait(action)
        return follow_ups

    def _forget_task(self, request_id: int, task: asyncio.Task[None]) -> None:
        self._decode_tasks.pop(request_id, None)

    async def _await_result(self, request_id: int, future: Future[DecodingResult]) -> None:
        try:
            try:
                result = await asyncio.wrap_future(future)
            except NeuronWhisperError as error:
                await self._call(self._state_machine.fail, request_id, error)
            else:
                await self._call(self._state_machine.receive, request_id, result)
        except Exception as error:  # a bug here: raise it in the reader, which would wait for ever
            self._error, self._is_closed = error, True
            self._progress.set()
            self._events.put_nowait(None)


def _check_samples(samples: NDArray[np.float32]) -> None:
    if samples.ndim != 1 or samples.dtype.kind != "f":
        what = f"{samples.dtype} array of shape {samples.shape}"
        raise InvalidOption("samples", what, "mono samples of float32: an array of one dimension")
    peak = find_peak(samples)
    if not peak <= MAX_FLOAT_LEVEL:  # NaN is not, either
        raise InvalidOption("samples", peak, "finite samples of about -1 to 1; 16-bit integers are divided by 32768")
