"""A window's state machine: temperature fallback, beams and samples in the slots of an engine."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import replace
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from neuron_whisper.decode.options import TEMPERATURES
from neuron_whisper.decode.window import (
    DOOM_CHECK_INTERVAL,
    EARLY_STOP_LOOP_TOKENS,
    DecodingResult,
    WindowDecoder,
    WindowRequest,
    compression_ratio,
)
from neuron_whisper.decode.window_options import WindowOptions
from neuron_whisper.engine.engine import Engine
from neuron_whisper.errors import InvalidOption
from tests.support.fake_session import FakeSession
from tests.support.tiny_program import DIMS, SPECIAL, mel, spec
from tests.unit.engine.test_engine import TIMEOUT_S, TOKENIZER


def options(**wanted: Any) -> WindowOptions:
    return WindowOptions(**{"language": "en", "task": "transcribe", **wanted})


def decoded(
    *window_options: WindowOptions, slots: int = 1, beams: int = 4, end_after: int = 12
) -> list[DecodingResult]:
    """Window n with the n-th options; all of them at once."""
    engine = Engine(FakeSession(spec(slots=slots, beams=beams), end_after=end_after), TOKENIZER)
    try:
        futures: list[Future[DecodingResult]] = [
            engine.submit(WindowRequest(mel=mel(1, seed=n)[0], options=one)) for n, one in enumerate(window_options)
        ]
        return [future.result(TIMEOUT_S) for future in futures]
    finally:
        engine.close()


def test_the_first_temperature_is_accepted_if_no_threshold_fails() -> None:
    (found,) = decoded(options(temperatures=TEMPERATURES, logprob_threshold=-50.0, compression_ratio_threshold=50.0))
    assert [attempt.temperature for attempt in found.attempts] == [0.0]
    assert found.temperature == 0.0
    assert found.attempts[0].rejection_reason == ""


def test_an_unlikely_text_is_retried_at_every_temperature() -> None:
    (found,) = decoded(options(temperatures=TEMPERATURES, logprob_threshold=0.0))
    assert [attempt.temperature for attempt in found.attempts] == list(TEMPERATURES)
    assert {attempt.rejection_reason for attempt in found.attempts} == {"avg_logprob"}
    assert found.temperature == 1.0, "the last is taken, as openai-whisper does"


def test_a_repetitive_text_is_retried_until_it_is_not() -> None:
    (greedy,) = decoded(options())
    limit = greedy.compression_ratio - 1e-6
    (found,) = decoded(options(temperatures=TEMPERATURES, compression_ratio_threshold=limit))
    assert found.attempts[0].rejection_reason == "compression_ratio"
    assert found.attempts[0].compression_ratio == greedy.compression_ratio
    assert found.attempts[-1].rejection_reason in ("", "compression_ratio")
    assert found.temperature > 0


LONG = spec(slots=1, beams=4, dims=replace(DIMS, n_text_ctx=448))


class LoopingSession(FakeSession):
    """Likes tokens 5, 6, 7, 5, 6, 7, ... best."""

    def plain_logits_after(self, slot: int, tokens: Sequence[int]) -> NDArray[np.float32]:
        return super().logits_after(slot, tokens)

    def logits_after(self, slot: int, tokens: Sequence[int]) -> NDArray[np.float32]:
        logits = super().logits_after(slot, tokens)
        logits[5 + len(tokens) % 3] += 30
        return logits


def run_window(session: FakeSession, wanted: WindowOptions) -> tuple[DecodingResult, int]:
    """The result, and how many steps it took."""
    engine = Engine(session, TOKENIZER)
    try:
        found = engine.submit(WindowRequest(mel=mel(1)[0], options=wanted)).result(TIMEOUT_S)
        return found, session.decode_calls
    finally:
        engine.close()


@pytest.mark.parametrize("search", [{}, {"beam_size": 3}, {"temperatures": (0.3, 0.6), "best_of": 3}])
def test_an_attempt_that_can_only_become_a_loop_is_given_up_but_for_the_last(search: dict[str, Any]) -> None:
    asked = {"temperatures": (0.0, 0.0), "without_timestamps": True, "compression_ratio_threshold": 2.4, **search}
    found, steps = run_window(LoopingSession(LONG, end_after=999), options(repetition_cut=False, **asked))
    longest = LONG.dims.n_text_ctx // 2
    assert len(found.tokens) == longest
    assert [it.rejection_reason for it in found.attempts] == ["compression_ratio"] * 2
    by_prefill = 0 if found.temperature else 2  # the first token of each attempt
    given_up = steps + by_prefill - longest
    last = EARLY_STOP_LOOP_TOKENS + DOOM_CHECK_INTERVAL if "beam_size" not in search else longest - DOOM_CHECK_INTERVAL
    assert EARLY_STOP_LOOP_TOKENS <= given_up <= last, "some beam tries another token for a while"


@pytest.mark.parametrize(
    "search", [{}, {"beam_size": 3}, {"temperatures": (0.8, 0.9, 1.0), "best_of": 3}, {"max_new_tokens": 140}]
)
def test_an_attempt_that_cannot_become_likely_is_given_up_and_no_other(search: dict[str, Any]) -> None:
    asked = {"temperatures": (0.0, 0.9, 1.0), "without_timestamps": True, "compression_ratio_threshold": None, **search}

    def run(**wanted: Any) -> tuple[DecodingResult, int]:
        return run_window(FakeSession(LONG, end_after=150), options(**asked, **wanted))

    whole, all_steps = run(logprob_threshold=None)
    assert whole.avg_logprob < -1.0
    accepted, steps = run(logprob_threshold=whole.avg_logprob - 0.01)
    assert (accepted.tokens, steps) == (whole.tokens, all_steps)
    rejected, steps = run(logprob_threshold=-0.5)
    assert [it.rejection_reason for it in rejected.attempts] == ["avg_logprob"] * 3
    assert len(rejected.tokens) == len(whole.tokens), "the last is taken whole"
    assert steps < 2 * all_steps
    silence, steps = run(logprob_threshold=-0.5, no_speech_threshold=0.0)
    assert silence.is_silence
    assert (silence.tokens, steps) == (whole.tokens, all_steps), "what is skipped as silence is decoded to its end"


def test_a_loop_that_would_be_taken_for_silence_so_far_is_decoded_on() -> None:
    class LateLoop(LoopingSession):
        def logits_after(self, slot: int, tokens: Sequence[int]) -> NDArray[np.float32]:
            return super().logits_after(slot, tokens) if len(tokens) > 60 else self.plain_logits_after(slot, tokens)

    asked = {"temperatures": (0.0, 1.0), "without_timestamps": True, "compression_ratio_threshold": 2.0}
    loop, early = run_window(LateLoop(LONG, end_after=999), options(**asked))
    assert loop.attempts[0].rejection_reason == "compression_ratio"
    floor = loop.attempts[0].avg_logprob * 0.8  # the average was below it then, and is above it at the end
    found, steps = run_window(
        LateLoop(LONG, end_after=999), options(**asked, no_speech_threshold=0.0, logprob_threshold=floor)
    )
    assert not found.is_silence or len(found.attempts) > 1
    assert found.attempts[0].rejection_reason == "compression_ratio"
    assert found.attempts[0].avg_logprob > floor
    assert steps > early


def test_silence_is_not_retried_though_its_text_is_unlikely() -> None:
    (found,) = decoded(options(temperatures=TEMPERATURES, logprob_threshold=0.0, no_speech_threshold=0.0))
    assert len(found.attempts) == 1
    assert found.is_silence


def test_a_likely_text_is_no_silence_at_any_no_speech_probability() -> None:
    (found,) = decoded(options(logprob_threshold=-50.0, no_speech_threshold=0.0))
    assert not found.is_silence


def test_without_the_speech_threshold_nothing_is_silence() -> None:
    (found,) = decoded(options(temperatures=(0.0, 0.2), logprob_threshold=0.0))
    assert not found.is_silence


kinds = st.sampled_from(
    [
        options(),
        options(beam_size=3),
        options(beam_size=4, patience=2.0, length_penalty=0.6),
        options(temperatures=(0.5,), best_of=3),
        options(temperatures=(0.8,), best_of=6, seed=3),
        options(temperatures=(0.0, 0.4, 1.0), logprob_threshold=0.0, beam_size=2, best_of=2),
        options(language=None),
        options(without_timestamps=True),
        options(prefix=(1, 2), hotwords=(3, 4)),
    ]
)


@settings(max_examples=25, deadline=None)
@given(st.lists(kinds, min_size=1, max_size=7), st.integers(1, 4))
def test_windows_of_every_kind_decode_together_as_they_do_alone(
    window_options: list[WindowOptions], slots: int
) -> None:
    together = decoded(*window_options, slots=slots)
    for n, one in enumerate(window_options):
        engine = Engine(FakeSession(spec(slots=1, beams=4)), TOKENIZER)
        alone = engine.submit(WindowRequest(mel=mel(1, seed=n)[0], options=one)).result(TIMEOUT_S)
        engine.close()
        assert together[n].tokens == alone.tokens
        assert together[n].attempts == alone.attempts


def test_the_best_of_more_samples_than_there_are_beams_is_drawn_in_rounds() -> None:
    window_options = options(temperatures=(0.9,), best_of=6)
    assert decoded(window_options, beams=2)[0].tokens == decoded(window_options, beams=4)[0].tokens


def test_the_same_seed_gives_the_same_text_twice_and_another_seed_another() -> None:
    window_options = options(temperatures=(1.0,), seed=7)
    assert decoded(window_options)[0].tokens == decoded(window_options)[0].tokens
    assert decoded(window_options)[0].tokens != decoded(replace(window_options, seed=8))[0].tokens


def test_more_beams_than_the_program_has_are_refused_by_name() -> None:
    with pytest.raises(InvalidOption, match="beam_size: 5 is not allowed; at most 4 with this artifact"):
        decoded(options(beam_size=5))


def test_every_token_has_its_log_probability() -> None:
    for found in decoded(options(), options(beam_size=3), options(temperatures=(0.7,))):
        assert len(found.token_logprobs) == len(found.tokens)
        assert all(logprob <= 0 for logprob in found.token_logprobs)


def test_no_more_tokens_come_than_were_asked_for() -> None:
    assert len(decoded(options(max_new_tokens=5))[0].tokens) == 5


@pytest.mark.parametrize("search", [{}, {"beam_size": 3}, {"temperatures": (0.7,), "best_of": 2}])
def test_a_text_that_reaches_the_maximum_of_tokens_has_the_finish_reason_length(search: dict[str, Any]) -> None:
    cut, whole = decoded(options(max_new_tokens=5, **search), options(**search))
    assert (cut.finish_reason, whole.finish_reason) == ("length", "stop")


def test_the_language_is_found_among_those_that_are_allowed() -> None:
    (free,) = decoded(options(language=None))
    allowed = tuple(code for code in TOKENIZER.languages if code != free.language)
    (bound,) = decoded(options(language=None, languages=allowed))
    assert bound.language == max(allowed, key=lambda code: free.language_probs[code])
    assert bound.language_probs == pytest.approx(free.language_probs)


def prompt_of(window_options: WindowOptions, buckets: tuple[int, ...] = (4, 16)) -> list[int]:
    program = replace(spec(), prompt_buckets=buckets)
    ask = WindowDecoder(window_options, TOKENIZER, program).next_request()
    return cast(list[int], ask.prompt.tolist())  # type: ignore[union-attr]


def test_a_prompt_is_hotwords_then_text_then_the_start_then_the_prefix() -> None:
    sot = [SPECIAL.sot, SPECIAL.first_language, SPECIAL.transcribe]
    assert prompt_of(options()) == sot
    assert prompt_of(options(prompt=(1, 2))) == [SPECIAL.sot_prev, 1, 2, *sot]
    assert prompt_of(options(prompt=(1, 2), hotwords=(5,))) == [SPECIAL.sot_prev, 5, 1, 2, *sot]
    assert prompt_of(options(prefix=(8, 9))) == [*sot, 8, 9]
    assert prompt_of(options(prefix=(8,), prompt=(1,), hotwords=(5,))) == [SPECIAL.sot_prev, 1, *sot, 8]


def test_an_included_prefix_begins_the_result_and_the_rules_continue_from_it() -> None:
    begin = SPECIAL.timestamp_begin
    (plain,) = decoded(options(prefix=(begin, 8, 9)))
    (included,) = decoded(options(prefix=(begin, 8, 9), include_prefix=True))
    assert plain.tokens[0] >= begin, "as in openai-whisper, the first token that is sampled is a timestamp"
    assert included.tokens[:3] == (begin, 8, 9)
    assert included.token_logprobs[:3] == (0.0, 0.0, 0.0)
    assert len(included.token_logprobs) == len(included.tokens)
    assert included.text.startswith(TOKENIZER.decode([8, 9]).strip())


@given(
    st.lists(st.integers(0, 80), max_size=40),
    st.lists(st.integers(0, 80), max_size=40),
    st.lists(st.integers(0, 80), max_size=40),
)
def test_a_prompt_always_fits_the_longest_bucket(prompt: list[int], hotwords: list[int], prefix: list[int]) -> None:
    made = prompt_of(options(prompt=prompt, hotwords=hotwords, prefix=prefix))
    assert len(made) <= 16
    assert SPECIAL.sot in made
    if prompt and not hotwords and not prefix:
        assert made[1 : made.index(SPECIAL.sot)] == prompt[-12:], "the latest text is what counts"


def test_word_times_bring_the_attention_of_the_windows_text() -> None:
    (found,) = decoded(options(word_timestamps=True), end_after=5)
    assert found.attention is not None
    n_text = sum(token < SPECIAL.eot for token in found.tokens)
    assert found.attention.shape[1] <= found.first_aligned_row + 2 + n_text
    assert np.isfinite(found.attention).all()


def test_a_program_without_alignment_refuses_word_times() -> None:
    with pytest.raises(InvalidOption, match="word_timestamps: True is not allowed"):
        WindowDecoder(options(word_timestamps=True), TOKENIZER, replace(spec(), align_buckets=()))


@pytest.mark.parametrize(("text", "repeats"), [("", False), ("ask not what", False), ("again and " * 30, True)])
def test_a_text_that_repeats_has_a_high_compression_ratio(text: str, repeats: bool) -> None:
    assert (compression_ratio(text) > 2.4) is repeats
