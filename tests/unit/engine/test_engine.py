"""The engine: slots kept full, tokens independent of other windows, cancel, drain, device errors."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import replace
from typing import cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from neuron_whisper.decode.window import DecodingResult, WindowRequest
from neuron_whisper.decode.window_options import WindowOptions
from neuron_whisper.engine.engine import Engine
from neuron_whisper.errors import DecodingFailed, DeviceError, EngineDraining, InvalidOption, QueueFull
from neuron_whisper.target.interfaces import ProgramSpec, StepInputs, TopTokens
from neuron_whisper.text.tokenizer import Tokenizer
from tests.support.fake_session import FakeSession
from tests.support.tiny_program import DIMS, SPECIAL, TEXT_TOKENS, mel, spec

TIMEOUT_S = 30


class FakeTokenizer:
    """A text of one letter per token, over the small vocabulary."""

    special = SPECIAL
    languages = ("en", "zh", "de", "es", "ru")
    n_vocab = DIMS.n_vocab

    def sot_sequence(self, language: str | None, task: str, timestamps: bool) -> tuple[int, ...]:
        assert language in self.languages
        task_token = SPECIAL.transcribe if task == "transcribe" else SPECIAL.translate
        ends = () if timestamps else (SPECIAL.no_timestamps,)
        return (SPECIAL.sot, SPECIAL.first_language + self.languages.index(language), task_token, *ends)

    def decode(self, tokens: list[int]) -> str:
        return "".join(chr(ord("0") + token) for token in tokens if token < TEXT_TOKENS)


TOKENIZER = cast(Tokenizer, FakeTokenizer())


def window_request(seed: int, *, prompt: tuple[int, ...] = (), language: str | None = "en") -> WindowRequest:
    options = WindowOptions(language=language, task="transcribe", prompt=prompt)
    return WindowRequest(mel=mel(1, seed=seed)[0], options=options)


@contextmanager
def running_engine(session: FakeSession, queue_limit: int = 64) -> Iterator[Engine]:
    engine = Engine(session, TOKENIZER, queue_limit=queue_limit)
    try:
        yield engine
    finally:
        session.gate.set()
        engine.close()


def decode_alone(window: WindowRequest) -> DecodingResult:
    """What a window decodes to on an engine of its own."""
    with running_engine(FakeSession(spec(slots=1, beams=1))) as single_engine:
        return single_engine.submit(window).result(TIMEOUT_S)


def test_a_window_is_decoded_to_text_with_its_numbers() -> None:
    result = decode_alone(window_request(1))
    assert result.tokens[0] >= SPECIAL.timestamp_begin
    assert SPECIAL.eot not in result.tokens
    assert result.avg_logprob < 0
    assert result.language == "en"
    assert result.language_probs == {}


def test_the_language_is_detected_when_none_is_given() -> None:
    result = decode_alone(window_request(3, language=None))
    assert sum(result.language_probs.values()) == pytest.approx(1, abs=1e-4)
    assert result.language == max(result.language_probs, key=lambda code: result.language_probs[code])


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 50), st.lists(st.integers(0, 80), max_size=6)), min_size=1, max_size=9),
    st.integers(1, 4),
)
def test_windows_joined_at_different_steps_have_the_same_tokens(
    windows: list[tuple[int, list[int]]], slots: int
) -> None:
    requests = [window_request(seed, prompt=tuple(prompt)) for seed, prompt in windows]
    with running_engine(FakeSession(spec(slots=slots, beams=1))) as shared:
        together = [future.result(TIMEOUT_S) for future in [shared.submit(window) for window in requests]]
    assert [result.tokens for result in together] == [decode_alone(window).tokens for window in requests]


def test_slots_are_kept_full_while_windows_wait() -> None:
    session = FakeSession(spec(slots=3, beams=1))
    session.gate.clear()
    with running_engine(session) as shared:
        futures = [shared.submit(window_request(seed)) for seed in range(9)]
        session.gate.set()
        for future in futures:
            future.result(TIMEOUT_S)
    assert max(session.active_per_step) == 3
    busy = [active for active in session.active_per_step if active == 3]
    assert len(busy) > len(session.active_per_step) / 2


def test_waiting_windows_are_encoded_in_batches() -> None:
    session = FakeSession(spec(slots=3, beams=1))
    session.gate.clear()
    with running_engine(session) as shared:
        futures = [shared.submit(window_request(seed)) for seed in range(7)]
        session.gate.set()
        for future in futures:
            future.result(TIMEOUT_S)
    assert max(session.encoded_batches) == session.spec.encode_batch == 2
    assert sum(session.encoded_batches) == 7


def block_in_slot(session: FakeSession, shared: Engine) -> Future[DecodingResult]:
    """A window that sits in a slot and waits at the gate."""
    session.gate.clear()
    blocked = shared.submit(window_request(0))
    session.wait_for_step()
    return blocked


def test_a_full_queue_refuses_by_name_and_number() -> None:
    session = FakeSession(spec(slots=1, beams=1))
    with running_engine(session, queue_limit=2) as shared:
        blocked = block_in_slot(session, shared)
        waiting = [shared.submit(window_request(seed)) for seed in (1, 2)]
        with pytest.raises(QueueFull, match="2 windows are waiting"):
            shared.submit(window_request(3))
        later = shared.submit(window_request(4), is_first=False)
        session.gate.set()
        assert all(future.result(TIMEOUT_S).text for future in (blocked, *waiting, later))


def test_a_cancelled_window_frees_its_slot_at_the_next_step() -> None:
    session = FakeSession(spec(slots=1, beams=1), end_after=40)
    with running_engine(session) as shared:
        blocked = block_in_slot(session, shared)
        assert blocked.cancel()
        steps = session.decode_calls
        after = shared.submit(window_request(7))
        session.gate.set()
        assert after.result(TIMEOUT_S).tokens == decode_tokens(7, end_after=40)
        assert shared.status.decoding == 0
    assert steps == 0


def decode_tokens(seed: int, end_after: int) -> tuple[int, ...]:
    with running_engine(FakeSession(spec(slots=1, beams=1), end_after=end_after)) as single_engine:
        return single_engine.submit(window_request(seed)).result(TIMEOUT_S).tokens


def test_a_cancelled_window_that_waits_is_never_encoded() -> None:
    session = FakeSession(spec(slots=1, beams=1))
    with running_engine(session) as shared:
        blocked = block_in_slot(session, shared)
        waiting = shared.submit(window_request(1))
        waiting.cancel()
        session.gate.set()
        blocked.result(TIMEOUT_S)
        assert shared.drain(TIMEOUT_S)
    assert session.encoded_batches == [1]


def test_a_cancelled_window_that_waits_leaves_its_place_to_another_at_once() -> None:
    session = FakeSession(spec(slots=1, beams=1))
    session.gate.clear()
    with running_engine(session, queue_limit=1) as running:
        first = running.submit(window_request(1))
        session.wait_for_step()
        assert running.submit(window_request(2)).cancel()
        assert running.status.waiting == 0
        last = running.submit(window_request(3))  # a queue of one would have been full
        session.gate.set()
        assert first.result(TIMEOUT_S).tokens
        assert last.result(TIMEOUT_S).tokens
        assert running.status.stats.cancelled == 1


def test_what_was_done_is_counted_and_a_call_that_runs_is_seen_from_outside() -> None:
    session = FakeSession(spec(slots=2, beams=1))
    session.gate.clear()
    with running_engine(session) as running:
        futures = [running.submit(window_request(seed)) for seed in range(3)]
        session.wait_for_step()  # which the gate holds
        earlier = running.status.device_call_s
        assert running.status.device_call_s > earlier
        session.gate.set()
        tokens = sum(len(future.result(TIMEOUT_S).tokens) for future in futures)
        status = running.status
    counts = status.stats
    assert (status.completed, status.slots, status.device_call_s) == (3, 2, 0.0)
    assert sum(counts.encode_s.counts) == len(session.encoded_batches)
    assert sum(counts.prefill_s.counts) == sum(counts.wait_s.counts) == 3
    assert sum(counts.step_s.counts) == sum(counts.rows.counts) == status.steps == session.decode_calls
    assert counts.rows.total == sum(session.active_per_step)
    assert counts.tokens == tokens


def test_drain_finishes_what_is_there_and_takes_nothing_new() -> None:
    session = FakeSession(spec(slots=2, beams=1))
    with running_engine(session) as shared:
        futures = [shared.submit(window_request(seed)) for seed in range(5)]
        assert shared.drain(TIMEOUT_S)
        assert all(future.done() and future.result().text for future in futures)
        with pytest.raises(EngineDraining):
            shared.submit(window_request(9))


def test_drain_returns_false_when_it_took_too_long() -> None:
    session = FakeSession(spec(slots=1, beams=1))
    with running_engine(session) as shared:
        block_in_slot(session, shared)
        assert not shared.drain(0.01)


def test_closing_fails_what_is_not_done() -> None:
    session = FakeSession(spec(slots=1, beams=1), end_after=1000)
    with running_engine(session) as shared:
        blocked = block_in_slot(session, shared)
        waiting = shared.submit(window_request(1))
        closing = threading.Thread(target=shared.close)
        closing.start()
        session.gate.set()
        closing.join(TIMEOUT_S)
        for future in (blocked, waiting):
            with pytest.raises(EngineDraining):
                future.result(TIMEOUT_S)
    assert session.is_closed


def test_a_device_error_fails_every_window_and_ends_the_engine() -> None:
    session = FakeSession(spec(slots=2, beams=1), fault_at=3)
    session.gate.clear()  # no device error before every window is there
    errors: list[DeviceError] = []
    shared = Engine(session, TOKENIZER, on_device_error=errors.append)
    futures = [shared.submit(window_request(seed)) for seed in range(4)]
    session.gate.set()
    for future in futures:
        with pytest.raises(DeviceError, match="does not answer"):
            future.result(TIMEOUT_S)
    shared.close()
    assert [str(error) for error in errors] == ["the device does not answer"]
    assert session.is_closed
    with pytest.raises(DeviceError):
        shared.submit(window_request(1))


# --- one fault is one window's ----------------------------------------------------------------------


class FaultySession(FakeSession):
    """A device that returns NaN for the windows whose mel begins with MARK, or raises `error` at a step."""

    MARK = 77.0

    def __init__(self, program: ProgramSpec, *, error: Exception | None = None) -> None:
        super().__init__(program)
        self._error = error
        self._marked: set[int] = set()

    def encode(self, slots: Sequence[int], mel: NDArray[np.float32]) -> None:
        super().encode(slots, mel)
        for slot, window in zip(slots, mel, strict=True):
            (self._marked.add if window[0, 0] == self.MARK else self._marked.discard)(slot)

    def logits_after(self, slot: int, tokens: Sequence[int]) -> NDArray[np.float32]:
        logits = super().logits_after(slot, tokens)
        is_step = len(tokens) > self._prompt_length[slot]
        return np.full_like(logits, np.nan) if slot in self._marked and is_step else logits

    def decode(self, inputs: StepInputs) -> TopTokens:
        if self._error is not None:
            raise self._error
        return super().decode(inputs)


def marked_request(seed: int) -> WindowRequest:
    marked = mel(1, seed=seed)[0]
    marked[0, 0] = FaultySession.MARK
    return WindowRequest(mel=marked, options=window_request(0).options)


def test_a_window_whose_output_is_no_number_fails_alone_and_its_slot_is_not_used_again() -> None:
    session = FaultySession(spec(slots=2, beams=1))
    session.gate.clear()  # both kinds are in a step together
    with running_engine(session) as shared:
        bad, *good = [shared.submit(window) for window in (marked_request(0), *map(window_request, (1, 2, 3)))]
        session.gate.set()
        with pytest.raises(DecodingFailed):
            bad.result(TIMEOUT_S)
        found = [future.result(TIMEOUT_S).tokens for future in good]
        assert shared.device_error is None
    assert found == [decode_alone(window_request(seed)).tokens for seed in (1, 2, 3)]
    assert session.active_per_step[-1] == 1


@pytest.mark.parametrize("temperatures", [(0.0,), (0.7,)])
def test_a_device_that_returns_no_number_in_any_slot_is_given_up(temperatures: tuple[float, ...]) -> None:
    with running_engine(FaultySession(spec(slots=2, beams=1))) as shared:
        for seed in range(2):
            options = replace(window_request(0).options, temperatures=temperatures)
            with pytest.raises(DecodingFailed):
                shared.submit(replace(marked_request(seed), options=options)).result(TIMEOUT_S)
        with pytest.raises(DeviceError):
            shared.submit(window_request(1)).result(TIMEOUT_S)
        assert shared.device_error is not None


def test_a_window_that_the_code_cannot_decode_fails_alone() -> None:
    session = FakeSession(spec(slots=2, beams=1))
    session.gate.clear()
    with running_engine(session) as shared:
        unknown = shared.submit(window_request(0, language="xx"))  # FakeTokenizer asserts
        too_long = shared.submit(window_request(0, prompt=("seven",)))  # type: ignore[arg-type]  # as a bug would
        good = [shared.submit(window_request(seed)) for seed in (1, 2)]
        session.gate.set()
        for future in (unknown, too_long):
            with pytest.raises(DecodingFailed):
                future.result(TIMEOUT_S)
        assert [future.result(TIMEOUT_S).tokens for future in good] == [
            decode_alone(window_request(seed)).tokens for seed in (1, 2)
        ]
        assert shared.drain(TIMEOUT_S)
        assert shared.device_error is None


@pytest.mark.parametrize("error", [MemoryError(), ValueError("shape"), DeviceError("lost")])
def test_whatever_a_device_call_raises_is_the_devices(error: Exception) -> None:
    errors: list[DeviceError] = []
    shared = Engine(FaultySession(spec(slots=1, beams=1), error=error), TOKENIZER, on_device_error=errors.append)
    with pytest.raises(DeviceError):
        shared.submit(window_request(1)).result(TIMEOUT_S)
    shared.close()
    assert len(errors) == 1


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_mel_with_a_value_that_is_no_number_is_refused_by_name(value: float) -> None:
    with running_engine(FakeSession(spec(slots=1, beams=1))) as shared:
        wrong = window_request(1)
        wrong.mel[3, 7] = value
        with pytest.raises(InvalidOption) as refused:
            shared.submit(wrong)
        assert refused.value.field == "mel"
        with pytest.raises(InvalidOption):
            shared.submit(replace(window_request(1), mel=window_request(1).mel.astype(np.float64)))
        assert shared.submit(window_request(1)).result(TIMEOUT_S).tokens


def test_a_window_with_a_mel_of_another_model_is_refused_by_name() -> None:
    with running_engine(FakeSession(spec(slots=1, beams=1))) as shared:
        wrong = WindowRequest(mel=np.zeros((128, 3000), np.float32), options=window_request(0).options)
        with pytest.raises(InvalidOption, match=r"mel: \(128, 3000\) is not allowed; shape \(80, 48\)"):
            shared.submit(wrong)
