"""A live session on asyncio: events, results, cancelled and refused windows, errors."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future

import numpy as np
import pytest

from neuron_whisper.decode.window import DecodingResult, WindowRequest
from neuron_whisper.errors import InvalidOption, QueueFull
from neuron_whisper.live import FinalText, LiveEvent, LiveOptions, LiveSession, PartialText, UtteranceFailed
from tests.support.live_speech import (
    derive_text,
    make_decoding_result,
    make_state_machine,
    rising_tone,
    speech_and_silence,
)

MANUAL = LiveOptions(turn_detection=None)


class TextEngine:
    """Decodes every window at once, to a text of its own; partial windows are refused with `refuses_partials`."""

    def __init__(self, *, refuses_partials: bool = False, error: Exception | None = None) -> None:
        self.refuses_partials, self.error = refuses_partials, error

    def __call__(self, request: WindowRequest, *, is_first: bool) -> Future[DecodingResult]:
        if is_first and self.refuses_partials:
            raise QueueFull(0)
        future: Future[DecodingResult] = Future()
        if self.error is not None:
            future.set_exception(self.error)
        else:
            until_s = None if is_first else max(0.1, request.frames / 100)
            future.set_result(make_decoding_result(derive_text(request), until_s=until_s))
        return future


class PendingEngine:
    """Windows whose results never come."""

    def __init__(self) -> None:
        self.futures: list[Future[DecodingResult]] = []

    def __call__(self, request: WindowRequest, *, is_first: bool) -> Future[DecodingResult]:
        self.futures.append(Future())
        return self.futures[-1]


def transcribe(engine: TextEngine, *seconds: float, options: LiveOptions | None = None) -> list[LiveEvent]:
    async def run() -> list[LiveEvent]:
        session = LiveSession(make_state_machine(options), engine)
        await session.feed(speech_and_silence(*seconds))
        await session.finish()
        return [event async for event in session]

    return asyncio.run(run())


def test_events_end_after_the_final_text() -> None:
    events = transcribe(TextEngine(), 1.5, 1.0)
    assert isinstance(events[-1], FinalText)
    assert any(isinstance(event, PartialText) for event in events)


def test_refused_partial_windows_are_no_failure() -> None:
    events = transcribe(TextEngine(refuses_partials=True), 1.5, 1.0)
    assert [type(event) for event in events if isinstance(event, (PartialText, FinalText))] == [FinalText]


def test_a_window_that_fails_is_an_event() -> None:
    events = transcribe(TextEngine(error=QueueFull(3)), 1.5, 1.0)
    assert isinstance(events[-1], UtteranceFailed)


def test_a_bug_is_raised_where_events_are_read() -> None:
    with pytest.raises(ZeroDivisionError):
        transcribe(TextEngine(error=ZeroDivisionError()), 1.5, 1.0)


def test_closing_cancels_the_windows_and_ends_the_events() -> None:
    async def run() -> tuple[list[bool], list[LiveEvent]]:
        engine = PendingEngine()
        session = LiveSession(make_state_machine(MANUAL), engine)
        await session.feed(rising_tone(1.0))
        await session.aclose()
        await session.aclose()
        return [future.cancelled() for future in engine.futures], [event async for event in session]

    assert asyncio.run(run()) == ([True], [])


def test_feeding_waits_while_too_much_speech_waits_for_its_text() -> None:
    async def run() -> float:
        session = LiveSession(make_state_machine(MANUAL), PendingEngine(), max_buffered_s=35.0)
        feeding = asyncio.create_task(session.feed(rising_tone(60.0)))
        async with asyncio.timeout(60):
            while session.buffered_s <= 35.0:
                await asyncio.sleep(0.01)
        for _ in range(10):
            await asyncio.sleep(0.01)
        fed_s = session.fed_s
        await session.aclose()
        feeding.cancel()
        return fed_s

    assert 35.0 <= asyncio.run(run()) <= 36.0


def test_a_buffer_without_room_for_a_window_is_refused() -> None:
    with pytest.raises(InvalidOption) as refused:
        LiveSession(make_state_machine(), TextEngine(), max_buffered_s=31.0)
    assert refused.value.field == "max_buffered_s"


@pytest.mark.parametrize(
    "samples",
    [
        np.array([0.1, np.nan, 0.1], np.float32),
        np.array([0.1, -np.inf], np.float32),
        np.array([200.0, -32768.0], np.float32),
        np.array([200, -32768], np.int16),
        np.zeros((2, 160), np.float32),
    ],
)
def test_samples_that_are_no_audio_are_refused_and_the_session_goes_on(samples: np.ndarray) -> None:
    async def run() -> list[LiveEvent]:
        session = LiveSession(make_state_machine(), TextEngine())
        with pytest.raises(InvalidOption) as refused:
            await session.feed(samples)
        assert refused.value.field == "samples"
        await session.feed(speech_and_silence(1.5, 1.0))
        await session.finish()
        return [event async for event in session]

    assert isinstance(asyncio.run(run())[-1], FinalText)
