"""Live speech without a device: what is events, in which order, and what is never taken back."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuron_whisper.decode.options import TranscribeOptions
from neuron_whisper.decode.window import DecodingResult, WindowRequest
from neuron_whisper.errors import InvalidOption, QueueFull
from neuron_whisper.live import (
    FinalText,
    LiveOptions,
    PartialText,
    SpeechStarted,
    SpeechStopped,
    TurnDetection,
    UtteranceCommitted,
    UtteranceFailed,
    join_pieces,
)
from neuron_whisper.live.state_machine import Action, CancelAction, DecodeAction
from tests.support.live_runs import FEW_EXAMPLES, cuts, decode_to_own_text, run_actions, transcribe_live
from tests.support.live_speech import (
    RATE,
    make_decoding_result,
    make_state_machine,
    rising_tone,
    silence,
    speech_and_silence,
)

MANUAL = LiveOptions(turn_detection=None)


# --- turns ----------------------------------------------------------------------------------------


def test_the_voice_detector_begins_and_ends_utterances_in_order() -> None:
    events = transcribe_live(speech_and_silence(1.5, 1.2, 1.0, 1.2), [800])
    kinds = [type(action) for action in events if not isinstance(action, PartialText)]
    one = [SpeechStarted, SpeechStopped, UtteranceCommitted, FinalText]
    assert kinds == one * 2
    started = [action for action in events if isinstance(action, SpeechStarted)]
    stopped = [action for action in events if isinstance(action, SpeechStopped)]
    assert started[0].start_s <= 0.3
    assert 2.3 <= started[1].start_s <= 2.8
    assert 1.7 <= stopped[0].end_s <= 2.4


def test_turn_detection_waits_for_its_silence() -> None:
    options = LiveOptions(turn_detection=TurnDetection(silence_duration_ms=1500))
    events = transcribe_live(speech_and_silence(1.5, 1.0, 1.0), [800], options)
    assert sum(isinstance(action, FinalText) for action in events) == 1


def test_silence_alone_emits_nothing_and_is_discarded() -> None:
    live = make_state_machine()
    for _ in range(40):
        assert live.feed(silence(0.5)) == []
    assert live.buffered_s == 0
    assert live.finish() == []


def test_a_caller_who_commits_gets_one_utterance_for_each_commit() -> None:
    live = make_state_machine(MANUAL)
    events = run_actions(live, live.feed(rising_tone(1.0)), decode_to_own_text)
    events += run_actions(live, live.commit(), decode_to_own_text)
    events += run_actions(live, live.feed(rising_tone(0.7)), decode_to_own_text)
    events += run_actions(live, live.commit(), decode_to_own_text)
    finals = [action for action in events if isinstance(action, FinalText)]
    assert [(final.start_s, final.end_s) for final in finals] == [(0.0, 1.0), (1.0, 1.7)]
    assert live.uncommitted_s == 0
    assert live.is_idle


def test_a_commit_of_silence_has_an_empty_text_and_is_not_decoded() -> None:
    live = make_state_machine()
    run_actions(live, live.feed(silence(2)), decode_to_own_text)

    def never(decode: DecodeAction) -> DecodingResult:
        raise AssertionError("silence was decoded")

    committed, final = run_actions(live, live.commit(), never)
    assert isinstance(committed, UtteranceCommitted)
    assert isinstance(final, FinalText)
    assert final.text == ""


def test_cleared_audio_is_not_decoded() -> None:
    live = make_state_machine(MANUAL)
    first = live.feed(rising_tone(1.0))
    decodes = [action for action in first if isinstance(action, DecodeAction)]
    actions = live.clear()
    assert [action.request_id for action in actions if isinstance(action, CancelAction)] == [
        decode.request_id for decode in decodes
    ]
    assert live.receive(decodes[0].request_id, make_decoding_result(" late")) == []
    assert live.finish() == []
    assert live.uncommitted_s == 0


def test_options_change_with_the_next_utterance() -> None:
    live = make_state_machine(MANUAL)
    requests: list[WindowRequest] = []

    def remember(decode: DecodeAction) -> DecodingResult:
        requests.append(decode.request)
        return decode_to_own_text(decode)

    run_actions(live, live.feed(rising_tone(1.0)), remember)
    live.update(LiveOptions(turn_detection=None, transcribe=TranscribeOptions(language="de"), partial_results=False))
    run_actions(live, live.commit(), remember)
    run_actions(live, live.feed(rising_tone(1.0)) + live.commit(), remember)
    assert [decode.options.language for decode in requests] == [None, None, "de"][-len(requests) :]


def test_a_language_the_model_does_not_know_is_refused_when_the_session_begins() -> None:
    with pytest.raises(InvalidOption):
        make_state_machine(LiveOptions(transcribe=TranscribeOptions(language="ja")))


# --- partial text ---------------------------------------------------------------------------------


def test_one_partial_request_is_in_progress_at_a_time() -> None:
    live = make_state_machine(MANUAL)
    decodes = [action for n in range(20) for action in live.feed(rising_tone(0.25)) if isinstance(action, DecodeAction)]
    assert len(decodes) == 1
    assert decodes[0].is_partial
    late = [
        action
        for action in live.receive(decodes[0].request_id, make_decoding_result(" a b"))
        if isinstance(action, DecodeAction)
    ]
    # it took all the five seconds: the next one comes after twice as much audio
    assert not late
    more = [action for n in range(80) for action in live.feed(rising_tone(0.25)) if isinstance(action, DecodeAction)]
    assert len(more) == 1


def test_no_partial_is_requested_while_partials_are_skipped() -> None:
    live = make_state_machine(MANUAL)
    live.skips_partials = True
    assert live.feed(rising_tone(3.0)) == []
    live.skips_partials = False
    assert [action.is_partial for action in live.feed(rising_tone(0.1)) if isinstance(action, DecodeAction)] == [True]


def test_a_partial_begins_with_what_is_stable() -> None:
    live = make_state_machine(MANUAL)
    texts = iter([" one two", " one two three", " three four", " four"])
    prefixes: list[bytes] = []

    def answer(decode: DecodeAction) -> DecodingResult:
        prefixes.append(bytes(decode.request.options.prefix))
        return make_decoding_result(next(texts))

    events: list[Action] = []
    for _ in range(4):
        events += run_actions(live, live.feed(rising_tone(0.6)), answer)
    assert prefixes == [b"", b"", b" one two", b" one two three"]
    partials = [action for action in events if isinstance(action, PartialText)]
    assert join_pieces(partials[-1].stable) == "one two three four"


def test_a_partial_that_ends_inside_a_character_waits_for_the_rest_of_it() -> None:
    live = make_state_machine(MANUAL)
    broken = make_decoding_result(" so ok")
    tokens = (*broken.tokens, 0xE6)  # the first byte of three
    actions = live.feed(rising_tone(0.6))
    (decode,) = (action for action in actions if isinstance(action, DecodeAction))
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
    (partial,) = live.receive(decode.request_id, cut)
    assert isinstance(partial, PartialText)
    assert join_pieces(partial.unstable) == "so"


def test_a_failed_partial_is_no_event() -> None:
    events = transcribe_live(
        speech_and_silence(1.5, 1.0),
        [800],
        answer=lambda decode: QueueFull(3) if decode.is_partial else decode_to_own_text(decode),
    )
    assert not any(isinstance(action, (PartialText, UtteranceFailed)) for action in events)
    assert sum(isinstance(action, FinalText) for action in events) == 1


# --- final text -----------------------------------------------------------------------------------


def test_a_failed_utterance_is_an_event_and_the_session_continues() -> None:
    errors = iter([QueueFull(3), None])

    def answer(decode: DecodeAction) -> DecodingResult | Exception:
        if decode.is_partial:
            return decode_to_own_text(decode)
        return next(errors) or decode_to_own_text(decode)

    events = transcribe_live(speech_and_silence(1.5, 1.2, 1.0, 1.2), [800], answer=answer)
    ends = [action for action in events if isinstance(action, (FinalText, UtteranceFailed))]
    assert [type(action) for action in ends] == [UtteranceFailed, FinalText]


def test_a_long_utterance_is_decoded_while_it_is_open_and_its_audio_discarded() -> None:
    live = make_state_machine(LiveOptions(turn_detection=None, partial_results=False))
    most, decodes = 0.0, 0

    def answer(decode: DecodeAction) -> DecodingResult:
        nonlocal decodes
        decodes += not decode.is_partial
        return decode_to_own_text(decode)

    events: list[Action] = []
    for _ in range(50):
        events += run_actions(live, live.feed(rising_tone(2.0)), answer)
        most = max(most, live.buffered_s)
    assert decodes == 3
    assert most <= 32
    events += run_actions(live, live.finish(), answer)
    (final,) = (action for action in events if isinstance(action, FinalText))
    assert final.end_s == 100
    assert final.text == "".join(segment.text for segment in final.segments).strip()
    times = [time for segment in final.segments for time in (segment.start_s, segment.end_s)]
    assert times == sorted(times)
    assert times[-1] <= 100


@given(cuts)
@FEW_EXAMPLES
def test_the_sizes_of_samples_change_no_final_text(lengths: list[int]) -> None:
    samples = speech_and_silence(1.0, 0.8, 31.0, 0.7, 0.5)
    options = LiveOptions(partial_results=False)
    ours = [action for action in transcribe_live(samples, lengths, options) if isinstance(action, FinalText)]
    assert ours == [
        action for action in transcribe_live(samples, [len(samples)], options) if isinstance(action, FinalText)
    ]
    assert len(ours) == 3


@given(cuts, st.randoms(use_true_random=False))
@FEW_EXAMPLES
def test_emitted_text_only_grows_and_times_only_rise(lengths: list[int], random: object) -> None:
    assert isinstance(random, __import__("random").Random)
    vocabulary = [" a", " b", " c", ",", " dd"]

    def babble(decode: DecodeAction) -> DecodingResult:
        text = "".join(random.choices(vocabulary, k=random.randrange(1, 6)))
        if decode.is_partial:
            return make_decoding_result(text)
        return make_decoding_result(text, until_s=min(29.0, max(0.1, decode.request.frames / 100)))

    events = transcribe_live(speech_and_silence(1.2, 0.7, 2.0, 0.7), lengths, answer=babble)
    end_s_of: dict[int, float] = {}
    stable: dict[int, str] = {}
    for action in events:
        if isinstance(action, PartialText):
            assert join_pieces(action.stable).startswith(stable.get(action.utterance, ""))
            assert action.end_s >= end_s_of.get(action.utterance, 0)
            stable[action.utterance], end_s_of[action.utterance] = join_pieces(action.stable), action.end_s
        if isinstance(action, FinalText):
            assert join_pieces(action.emitted).startswith(stable.get(action.utterance, ""))
            assert action.end_s >= end_s_of.get(action.utterance, 0)
    finals = [action for action in events if isinstance(action, FinalText)]
    assert all(a.end_s <= b.start_s for a, b in pairwise(finals))
    for final in finals:
        times = [time for segment in final.segments for time in (segment.start_s, segment.end_s)]
        assert times == sorted(times)
        assert all(final.start_s <= time <= final.end_s + 0.02 for time in times)


def test_waiting_seconds_are_counted() -> None:
    live = make_state_machine(MANUAL)
    live.feed(rising_tone(4.0))
    assert live.buffered_s == pytest.approx(4.0)
    assert live.fed_s == pytest.approx(4.0)
    assert live.uncommitted_s == pytest.approx(4.0)
    assert RATE == 16_000
