"""Live speech without a device: what is told, in which order, and what is never taken back."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from neuron_whisper.audio.silero import SpeechStream, speech_probabilities
from neuron_whisper.decode.options import TranscribeOptions
from neuron_whisper.decode.window import DecodingResult, WindowRequest
from neuron_whisper.errors import InvalidOption, QueueFull
from neuron_whisper.live import (
    FinalText,
    LiveOptions,
    LiveStateMachine,
    PartialText,
    SpeechStarted,
    SpeechStopped,
    TextPiece,
    TurnDetection,
    UtteranceCommitted,
    UtteranceFailed,
    join_pieces,
)
from neuron_whisper.live.audio_buffer import AudioBuffer
from neuron_whisper.live.local_agreement import LocalAgreement, align_texts
from neuron_whisper.live.state_machine import Action, CancelAction, DecodeAction
from tests.support.live_speech import (
    RATE,
    derive_text,
    make_decoding_result,
    make_state_machine,
    rising_tone,
    silence,
    speech_and_silence,
)

MANUAL = LiveOptions(turn_detection=None)
QUICK = settings(
    max_examples=4, deadline=None, suppress_health_check=[HealthCheck.too_slow], phases=[Phase.explicit, Phase.generate]
)
cuts = st.lists(st.integers(200, 40_000), min_size=1, max_size=12)


def pieces(text: str) -> list[TextPiece]:
    return [TextPiece(text=f" {word}", tokens=(), logprobs=()) for word in text.split()]


def said(found: list[TextPiece]) -> str:
    return join_pieces(found)


def run(
    live: LiveStateMachine, steps: list[Action], answer: Callable[[DecodeAction], DecodingResult | Exception]
) -> list[Action]:
    """Answer every ask at once; returns what was told."""
    told: list[Action] = []
    queue = list(steps)
    while queue:
        step = queue.pop(0)
        if isinstance(step, DecodeAction):
            result = answer(step)
            if isinstance(result, Exception):
                queue += live.fail(step.request_id, result)
            else:
                queue += live.receive(step.request_id, result)
        elif not isinstance(step, CancelAction):
            told.append(step)
    return told


def own_text(ask: DecodeAction) -> DecodingResult:
    if ask.is_partial:
        return make_decoding_result(derive_text(ask.request))
    return make_decoding_result(derive_text(ask.request), until_s=min(29.0, max(0.1, ask.request.frames / 100)))


def in_pieces(samples: NDArray[np.float32], lengths: list[int]) -> list[NDArray[np.float32]]:
    """The samples cut at the lengths, over and over."""
    found, at, n = [], 0, 0
    while at < len(samples):
        length = lengths[n % len(lengths)]
        found.append(samples[at : at + length])
        at, n = at + length, n + 1
    return found


def listened(
    samples: NDArray[np.float32],
    lengths: list[int],
    options: LiveOptions | None = None,
    answer: Callable[[DecodeAction], DecodingResult | Exception] = own_text,
) -> list[Action]:
    live = make_state_machine(options)
    told: list[Action] = []
    for piece in in_pieces(samples, lengths):
        told += run(live, live.feed(piece), answer)
    return told + run(live, live.finish(), answer)


# --- agreement ------------------------------------------------------------------------------------


def test_what_two_hypotheses_agree_on_is_stable_and_the_rest_is_not() -> None:
    agreement = LocalAgreement()
    agreement.add_hypothesis(pieces("and so my fell"))
    assert said(agreement.stable) == ""
    agreement.add_hypothesis(pieces("and so my fellow Americans"))
    assert (said(agreement.stable), said(agreement.unstable)) == ("and so my", "fellow Americans")
    agreement.add_hypothesis(pieces("fellow Americans ask"))
    assert (said(agreement.stable), said(agreement.unstable)) == ("and so my fellow Americans", "ask")


def test_a_final_text_that_says_more_is_told_to_its_end() -> None:
    agreement = LocalAgreement()
    agreement.add_hypothesis(pieces("one two"))
    agreement.add_hypothesis(pieces("one two three"))
    agreement.finalize_window(pieces("One, two three four."), is_complete=True)
    assert said(agreement.stable) == "one two three four."
    assert not agreement.pending_prefix


def test_what_was_told_beyond_a_windows_end_lies_ahead_of_the_next() -> None:
    agreement = LocalAgreement()
    agreement.add_hypothesis(pieces("one two three four"))
    agreement.add_hypothesis(pieces("one two three four"))
    agreement.finalize_window(pieces("one too three"), is_complete=False)
    assert said(agreement.stable) == "one two three four"
    assert said(agreement.pending_prefix) == "four"


@pytest.mark.parametrize(
    ("told", "final", "is_all", "expected"),
    [
        ("a b c", "a x c d", False, (3, 3)),
        ("a b c d e", "a b c", False, (3, 3)),
        ("a b c d e", "a b c", True, (5, 3)),
        ("", "a b", False, (0, 0)),
        ("a b", "", True, (2, 0)),
        ("a b", "A, B.", False, (2, 2)),
        ("q r", "a b", False, (2, 2)),
    ],
)
def test_told_words_are_found_again_in_the_final_ones(
    told: str, final: str, is_all: bool, expected: tuple[int, int]
) -> None:
    assert align_texts(told.split(), final.split(), is_complete=is_all) == expected


words = st.lists(st.sampled_from(["a", "b", "c", "a,", "B"]), max_size=7).map(" ".join)


@given(st.lists(st.tuples(st.sampled_from(["hear", "settle", "settle all"]), words), max_size=12))
def test_stable_text_is_never_taken_back(moves: list[tuple[str, str]]) -> None:
    agreement = LocalAgreement()
    before = ""
    for move, text in moves:
        if move == "hear":
            agreement.add_hypothesis(pieces(text))
        else:
            agreement.finalize_window(pieces(text), is_complete=move == "settle all")
        now = said(agreement.stable)
        assert now.startswith(before)
        assert now.endswith(said(agreement.pending_prefix))
        before = now


# --- what comes in --------------------------------------------------------------------------------


@given(cuts)
@QUICK
def test_the_voice_detector_says_the_same_of_pieces_as_of_the_whole(lengths: list[int]) -> None:
    samples = rising_tone(3)
    stream = SpeechStream()
    found = np.concatenate([stream.push(piece) for piece in in_pieces(samples, lengths)])
    np.testing.assert_allclose(found, speech_probabilities(samples)[: len(found)], atol=1e-5)
    assert len(found) == len(samples) // 512


@given(st.lists(st.tuples(st.integers(0, 3000), st.integers(0, 4000)), min_size=1, max_size=20))
def test_a_tape_reads_what_was_written_and_forgets_what_was_dropped(moves: list[tuple[int, int]]) -> None:
    tape, written = AudioBuffer(), np.empty(0, np.float32)
    for length, keep in moves:
        new = np.arange(len(written), len(written) + length, dtype=np.float32)
        tape.append(new)
        written = np.concatenate([written, new])
        tape.drop_before(tape.end - keep)
        assert tape.end == len(written)
        assert tape.end - tape.start <= max(keep, 0) or tape.start == 0
        np.testing.assert_array_equal(tape.read(tape.start, tape.end), written[tape.start :])


# --- turns ----------------------------------------------------------------------------------------


def test_the_voice_detector_begins_and_ends_utterances_in_order() -> None:
    told = listened(speech_and_silence(1.5, 1.2, 1.0, 1.2), [800])
    kinds = [type(step) for step in told if not isinstance(step, PartialText)]
    one = [SpeechStarted, SpeechStopped, UtteranceCommitted, FinalText]
    assert kinds == one * 2
    started = [step for step in told if isinstance(step, SpeechStarted)]
    stopped = [step for step in told if isinstance(step, SpeechStopped)]
    assert started[0].start_s <= 0.3
    assert 2.3 <= started[1].start_s <= 2.8
    assert 1.7 <= stopped[0].end_s <= 2.4


def test_a_longer_silence_is_needed_where_it_is_asked_for() -> None:
    options = LiveOptions(turn_detection=TurnDetection(silence_duration_ms=1500))
    told = listened(speech_and_silence(1.5, 1.0, 1.0), [800], options)
    assert sum(isinstance(step, FinalText) for step in told) == 1


def test_silence_alone_tells_nothing_and_is_let_go() -> None:
    live = make_state_machine()
    for _ in range(40):
        assert live.feed(silence(0.5)) == []
    assert live.buffered_s == 0
    assert live.finish() == []


def test_a_caller_who_commits_gets_one_utterance_for_each_commit() -> None:
    live = make_state_machine(MANUAL)
    told = run(live, live.feed(rising_tone(1.0)), own_text)
    told += run(live, live.commit(), own_text)
    told += run(live, live.feed(rising_tone(0.7)), own_text)
    told += run(live, live.commit(), own_text)
    finals = [step for step in told if isinstance(step, FinalText)]
    assert [(final.start_s, final.end_s) for final in finals] == [(0.0, 1.0), (1.0, 1.7)]
    assert live.uncommitted_s == 0
    assert live.is_idle


def test_a_commit_where_nobody_spoke_has_an_empty_text_and_is_not_decoded() -> None:
    live = make_state_machine()
    run(live, live.feed(silence(2)), own_text)

    def never(ask: DecodeAction) -> DecodingResult:
        raise AssertionError("silence was decoded")

    committed, final = run(live, live.commit(), never)
    assert isinstance(committed, UtteranceCommitted)
    assert isinstance(final, FinalText)
    assert final.text == ""


def test_what_is_cleared_is_not_decoded() -> None:
    live = make_state_machine(MANUAL)
    first = live.feed(rising_tone(1.0))
    asks = [step for step in first if isinstance(step, DecodeAction)]
    steps = live.clear()
    assert [step.request_id for step in steps if isinstance(step, CancelAction)] == [ask.request_id for ask in asks]
    assert live.receive(asks[0].request_id, make_decoding_result(" late")) == []
    assert live.finish() == []
    assert live.uncommitted_s == 0


def test_options_change_with_the_next_utterance() -> None:
    live = make_state_machine(MANUAL)
    asked: list[WindowRequest] = []

    def remember(ask: DecodeAction) -> DecodingResult:
        asked.append(ask.request)
        return own_text(ask)

    run(live, live.feed(rising_tone(1.0)), remember)
    live.update(LiveOptions(turn_detection=None, transcribe=TranscribeOptions(language="de"), partial_results=False))
    run(live, live.commit(), remember)
    run(live, live.feed(rising_tone(1.0)) + live.commit(), remember)
    assert [ask.options.language for ask in asked] == [None, None, "de"][-len(asked) :]


def test_a_language_the_model_does_not_know_is_refused_where_the_session_begins() -> None:
    with pytest.raises(InvalidOption):
        make_state_machine(LiveOptions(transcribe=TranscribeOptions(language="ja")))


# --- partial text ---------------------------------------------------------------------------------


def test_one_partial_window_is_on_its_way_at_a_time() -> None:
    live = make_state_machine(MANUAL)
    asks = [step for n in range(20) for step in live.feed(rising_tone(0.25)) if isinstance(step, DecodeAction)]
    assert len(asks) == 1
    assert asks[0].is_partial
    late = [
        step
        for step in live.receive(asks[0].request_id, make_decoding_result(" a b"))
        if isinstance(step, DecodeAction)
    ]
    # it took all the five seconds: the next one comes after twice as much audio
    assert not late
    more = [step for n in range(80) for step in live.feed(rising_tone(0.25)) if isinstance(step, DecodeAction)]
    assert len(more) == 1


def test_no_partial_is_asked_while_there_is_no_room() -> None:
    live = make_state_machine(MANUAL)
    live.skips_partials = True
    assert live.feed(rising_tone(3.0)) == []
    live.skips_partials = False
    assert [step.is_partial for step in live.feed(rising_tone(0.1)) if isinstance(step, DecodeAction)] == [True]


def test_a_partial_begins_with_what_is_stable() -> None:
    live = make_state_machine(MANUAL)
    texts = iter([" one two", " one two three", " three four", " four"])
    prefixes: list[bytes] = []

    def answer(ask: DecodeAction) -> DecodingResult:
        prefixes.append(bytes(ask.request.options.prefix))
        return make_decoding_result(next(texts))

    told: list[Action] = []
    for _ in range(4):
        told += run(live, live.feed(rising_tone(0.6)), answer)
    assert prefixes == [b"", b"", b" one two", b" one two three"]
    partials = [step for step in told if isinstance(step, PartialText)]
    assert join_pieces(partials[-1].stable) == "one two three four"


def test_a_partial_that_ends_inside_a_character_waits_for_the_rest_of_it() -> None:
    live = make_state_machine(MANUAL)
    broken = make_decoding_result(" so ok")
    tokens = (*broken.tokens, 0xE6)  # the first byte of three
    steps = live.feed(rising_tone(0.6))
    (ask,) = (step for step in steps if isinstance(step, DecodeAction))
    cut = DecodingResult(
        tokens=tokens,
        text="",
        avg_logprob=-0.1,
        no_speech_prob=0,
        compression_ratio=1,
        temperature=0,
        language="en",
        language_probs={},
        token_logprobs=(-0.1,) * len(tokens),
    )
    (partial,) = live.receive(ask.request_id, cut)
    assert isinstance(partial, PartialText)
    assert join_pieces(partial.unstable) == "so"


def test_a_partial_that_fails_is_not_missed() -> None:
    told = listened(
        speech_and_silence(1.5, 1.0), [800], answer=lambda ask: QueueFull(3) if ask.is_partial else own_text(ask)
    )
    assert not any(isinstance(step, (PartialText, UtteranceFailed)) for step in told)
    assert sum(isinstance(step, FinalText) for step in told) == 1


# --- final text -----------------------------------------------------------------------------------


def test_a_final_that_fails_is_told_and_the_session_goes_on() -> None:
    errors = iter([QueueFull(3), None])

    def answer(ask: DecodeAction) -> DecodingResult | Exception:
        if ask.is_partial:
            return own_text(ask)
        return next(errors) or own_text(ask)

    told = listened(speech_and_silence(1.5, 1.2, 1.0, 1.2), [800], answer=answer)
    ends = [step for step in told if isinstance(step, (FinalText, UtteranceFailed))]
    assert [type(step) for step in ends] == [UtteranceFailed, FinalText]


def test_a_long_utterance_is_decoded_while_it_goes_on_and_its_audio_let_go() -> None:
    live = make_state_machine(LiveOptions(turn_detection=None, partial_results=False))
    most, asks = 0.0, 0

    def answer(ask: DecodeAction) -> DecodingResult:
        nonlocal asks
        asks += not ask.is_partial
        return own_text(ask)

    told: list[Action] = []
    for _ in range(50):
        told += run(live, live.feed(rising_tone(2.0)), answer)
        most = max(most, live.buffered_s)
    assert asks == 3
    assert most <= 32
    told += run(live, live.finish(), answer)
    (final,) = (step for step in told if isinstance(step, FinalText))
    assert final.end_s == 100
    assert final.text == "".join(segment.text for segment in final.segments).strip()
    times = [time for segment in final.segments for time in (segment.start_s, segment.end_s)]
    assert times == sorted(times)
    assert times[-1] <= 100


@given(cuts)
@QUICK
def test_how_samples_are_cut_changes_no_final_text(lengths: list[int]) -> None:
    samples = speech_and_silence(1.0, 0.8, 31.0, 0.7, 0.5)
    options = LiveOptions(partial_results=False)
    ours = [step for step in listened(samples, lengths, options) if isinstance(step, FinalText)]
    assert ours == [step for step in listened(samples, [len(samples)], options) if isinstance(step, FinalText)]
    assert len(ours) == 3


@given(cuts, st.randoms(use_true_random=False))
@QUICK
def test_told_text_only_grows_and_times_only_rise(lengths: list[int], random: object) -> None:
    assert isinstance(random, __import__("random").Random)
    vocabulary = [" a", " b", " c", ",", " dd"]

    def babble(ask: DecodeAction) -> DecodingResult:
        text = "".join(random.choices(vocabulary, k=random.randrange(1, 6)))
        if ask.is_partial:
            return make_decoding_result(text)
        return make_decoding_result(text, until_s=min(29.0, max(0.1, ask.request.frames / 100)))

    told = listened(speech_and_silence(1.2, 0.7, 2.0, 0.7), lengths, answer=babble)
    heard_s: dict[int, float] = {}
    stable: dict[int, str] = {}
    for step in told:
        if isinstance(step, PartialText):
            assert join_pieces(step.stable).startswith(stable.get(step.utterance, ""))
            assert step.end_s >= heard_s.get(step.utterance, 0)
            stable[step.utterance], heard_s[step.utterance] = join_pieces(step.stable), step.end_s
        if isinstance(step, FinalText):
            assert join_pieces(step.emitted).startswith(stable.get(step.utterance, ""))
            assert step.end_s >= heard_s.get(step.utterance, 0)
    finals = [step for step in told if isinstance(step, FinalText)]
    assert all(a.end_s <= b.start_s for a, b in pairwise(finals))
    for final in finals:
        times = [time for segment in final.segments for time in (segment.start_s, segment.end_s)]
        assert times == sorted(times)
        assert all(final.start_s <= time <= final.end_s + 0.02 for time in times)


def test_seconds_that_wait_are_told() -> None:
    live = make_state_machine(MANUAL)
    live.feed(rising_tone(4.0))
    assert live.buffered_s == pytest.approx(4.0)
    assert live.fed_s == pytest.approx(4.0)
    assert live.uncommitted_s == pytest.approx(4.0)
    assert RATE == 16_000
