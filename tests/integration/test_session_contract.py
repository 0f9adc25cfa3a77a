"""The contract of a Session (target/interfaces.py), run over every implementation."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from neuron_whisper.errors import DeviceError, InvalidOption
from neuron_whisper.target.interfaces import (
    RULE_TEXT,
    RULE_TIMESTAMP_MAX,
    RULE_TIMESTAMP_MIN,
    RULE_TIMESTAMP_PROB,
    Session,
    TopTokens,
)
from tests.support.session_steps import PROMPT, decode_step, encode_and_prefill, logits_step, prefill_window
from tests.support.sessions import SESSIONS, open_session, tolerance
from tests.support.tiny_program import SPECIAL, all_allowed, mel, nothing_suppressed, prefill_inputs, spec


@pytest.fixture(scope="module", params=SESSIONS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def program(kind: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the program is compiled, once for every kind."""
    return tmp_path_factory.mktemp("program")


@pytest.fixture(scope="module")
def session(kind: str, program: Path) -> Iterator[Session]:
    session = open_session(kind, spec(), program)
    yield session
    session.close()


def assert_same(kind: str, a: TopTokens, row_a: int, b: TopTokens, row_b: int) -> None:
    """The same top tokens, as many as both have: a narrow graph may return the best alone."""
    limit = tolerance(kind)
    both = np.isfinite(a.logprobs[row_a]) & np.isfinite(b.logprobs[row_b])
    assert both[0]
    if limit < 0.01:
        assert a.tokens[row_a][both].tolist() == b.tokens[row_b][both].tolist()
    elif both.all():  # near ties may swap in 16 bit
        assert a.tokens[row_a][0] in b.tokens[row_b]
    np.testing.assert_allclose(a.logprobs[row_a][both], b.logprobs[row_b][both], atol=limit or 1e-7)


def assert_top_tokens_are(
    kind: str, tokens: NDArray[np.int32], logprobs: NDArray[np.float32], all_logprobs: NDArray[np.float32]
) -> None:
    """The tokens of a row are the most probable of all (V,)."""
    limit, known = tolerance(kind) or 1e-6, np.isfinite(logprobs)
    np.testing.assert_allclose(logprobs[known], all_logprobs[tokens[known]], atol=limit)
    np.testing.assert_allclose(logprobs[known], np.sort(all_logprobs)[::-1][: known.sum()], atol=limit)


def assert_is_a_distribution(logprobs: NDArray[np.float32]) -> None:
    assert np.exp(logprobs.astype(np.float64)).sum() == pytest.approx(1, abs=1e-3)


def test_a_step_returns_what_a_longer_prompt_returns(session: Session, kind: str) -> None:
    encode_and_prefill(session, 0)
    stepped = decode_step(session, {0: 11}, 3)
    stepped = decode_step(session, {0: 12}, 4)
    again = session.prefill(0, prefill_inputs(np.array([*PROMPT, 11, 12], np.int32)))
    assert_same(kind, stepped, 0, again.top_tokens, 0)


def test_a_second_prompt_reuses_the_window(session: Session, kind: str) -> None:
    first = encode_and_prefill(session, 1)
    decode_step(session, {1: 40}, 3)
    second = session.prefill(1, prefill_inputs(PROMPT))
    assert second.top_tokens.tokens.tolist() == first.top_tokens.tokens.tolist()
    assert second.top_tokens.logprobs.tolist() == first.top_tokens.logprobs.tolist()


def test_a_padded_prompt_returns_what_one_that_fills_its_bucket_does(session: Session, kind: str) -> None:
    encode_and_prefill(session, 0)
    tokens = np.array([*PROMPT, 20], np.int32)  # fills the bucket of 4
    filled = session.prefill(0, prefill_inputs(tokens))
    session.prefill(0, prefill_inputs(tokens[:3]))
    assert_same(kind, decode_step(session, {0: 20}, 3), 0, filled.top_tokens, 0)


def test_another_slot_that_joins_changes_no_bit(session: Session) -> None:
    encode_and_prefill(session, 0)
    alone = decode_step(session, {0: 11}, 3)
    session.prefill(0, prefill_inputs(PROMPT))
    encode_and_prefill(session, 1, window=5)
    encode_and_prefill(session, 2, window=6)
    joined = decode_step(session, {0: 11, 1: 33, 2: 55}, 3)
    assert joined.tokens[0].tolist() == alone.tokens[0].tolist()
    assert joined.logprobs[0].tolist() == alone.logprobs[0].tolist()


def test_every_slot_returns_the_same(session: Session, kind: str) -> None:
    first, last = encode_and_prefill(session, 0, window=9), encode_and_prefill(session, 2, window=9)
    assert_same(kind, first.top_tokens, 0, last.top_tokens, 0)
    a, b = decode_step(session, {0: 17}, 3), decode_step(session, {2: 17}, 3)
    assert_same(kind, a, 0, b, 2 * session.spec.beams)


def test_a_batch_of_windows_encodes_like_one_after_another(session: Session, kind: str) -> None:
    both = mel(2, seed=3)
    session.encode([2, 0], both)
    batched = session.prefill(0, prefill_inputs(PROMPT))
    session.encode([0], both[1:])
    single = session.prefill(0, prefill_inputs(PROMPT))
    assert_same(kind, batched.top_tokens, 0, single.top_tokens, 0)


def test_an_idle_slot_keeps_its_state(session: Session, kind: str) -> None:
    encode_and_prefill(session, 0)
    encode_and_prefill(session, 1, window=4)
    expected = decode_step(session, {0: 11, 1: 12}, 3)
    session.prefill(0, prefill_inputs(PROMPT))
    session.prefill(1, prefill_inputs(PROMPT))
    for position in (3, 4, 5):
        decode_step(session, {0: 11}, position)
    later, row = decode_step(session, {1: 12}, 3), session.spec.beams
    assert later.tokens[row].tolist() == expected.tokens[row].tolist()
    # a lone slot may have a graph of its own, whose sums are rounded in another order
    np.testing.assert_allclose(later.logprobs[row], expected.logprobs[row], atol=1e-5)


def test_a_beam_continues_its_parents_past(session: Session, kind: str) -> None:
    encode_and_prefill(session, 0, beams=2)
    decode_step(session, {0: [11, 12]}, 3)
    swapped = decode_step(session, {0: [13, 13]}, 4, parents={0: [1, 0]})
    second = session.prefill(0, prefill_inputs(np.array([*PROMPT, 12, 13], np.int32)))
    first = session.prefill(0, prefill_inputs(np.array([*PROMPT, 11, 13], np.int32)))
    assert_same(kind, swapped, 0, second.top_tokens, 0)
    assert_same(kind, swapped, 1, first.top_tokens, 0)


def test_both_beams_may_have_one_parent(session: Session, kind: str) -> None:
    encode_and_prefill(session, 0, beams=2)
    decode_step(session, {0: [11, 12]}, 3)
    outputs = decode_step(session, {0: [13, 13]}, 4, parents={0: [1, 1]})
    assert outputs.tokens[0].tolist() == outputs.tokens[1].tolist()


def test_suppressed_tokens_are_not_returned_until_the_next_prompt(session: Session) -> None:
    free = encode_and_prefill(session, 0)
    suppressed = nothing_suppressed()
    suppressed[free.top_tokens.tokens[0]] = True
    output = session.prefill(0, prefill_inputs(PROMPT, suppressed=suppressed))
    assert not suppressed[output.top_tokens.tokens[0]].any()
    assert not suppressed[decode_step(session, {0: 11}, 3).tokens[0]].any()
    back = session.prefill(0, prefill_inputs(PROMPT))
    assert back.top_tokens.tokens.tolist() == free.top_tokens.tokens.tolist()


def test_any_set_of_tokens_can_be_suppressed(session: Session) -> None:
    session.encode([0], mel(1))
    for seed in range(4):
        allowed = np.random.default_rng(seed).choice(session.spec.dims.n_vocab, session.spec.choices, replace=False)
        suppressed = ~nothing_suppressed()
        suppressed[allowed] = False
        output = session.prefill(0, prefill_inputs(PROMPT, suppressed=suppressed, beams=2))
        assert set(output.top_tokens.tokens[0].tolist()) == set(allowed.tolist())
        assert set(decode_step(session, {0: 11}, 3).tokens[0].tolist()) == set(allowed.tolist())


def test_rules_hold_row_by_row(session: Session) -> None:
    encode_and_prefill(session, 0, beams=2)
    encode_and_prefill(session, 1, beams=2)
    rules = all_allowed(session.spec.rows)
    rules[0, RULE_TEXT] = 0
    late = SPECIAL.timestamp_begin + 40
    first_of_1 = session.spec.beams
    rules[first_of_1, :4] = 0
    rules[first_of_1, RULE_TIMESTAMP_MIN], rules[first_of_1, RULE_TIMESTAMP_MAX] = late, late + 1
    output = decode_step(session, {0: 11, 1: 11}, 3, rules=rules)
    assert (output.tokens[0] >= SPECIAL.eot).all()
    assert set(output.tokens[first_of_1][:2].tolist()) == {late, late + 1}
    assert (output.logprobs[first_of_1][2:] == -np.inf).all(), "only two tokens were allowed"


def test_top_tokens_come_best_first_with_probabilities(session: Session) -> None:
    output = encode_and_prefill(session, 0)
    assert (np.diff(output.top_tokens.logprobs[0]) <= 0).all()
    assert 0 < np.exp(output.top_tokens.logprobs[0].astype(np.float64)).sum() <= 1 + 1e-5
    assert output.top_tokens.tokens.shape == (1, session.spec.choices)


def test_languages_are_a_distribution_and_no_speech_a_probability(session: Session) -> None:
    output = encode_and_prefill(session, 0)
    assert output.language_logprobs.shape == (SPECIAL.n_languages,)
    assert np.exp(output.language_logprobs).sum() == pytest.approx(1, abs=1e-3)
    assert 0 <= output.no_speech_prob <= 1


def test_tokens_after_the_start_of_transcript_do_not_change_its_output(session: Session, kind: str) -> None:
    encode_and_prefill(session, 0)
    before = np.array([SPECIAL.sot_prev, 5, 6, SPECIAL.sot], np.int32)
    short = session.prefill(0, prefill_inputs(before, sot_index=3))
    long = session.prefill(0, prefill_inputs(np.array([*before, *PROMPT[1:]], np.int32), sot_index=3))
    np.testing.assert_allclose(short.language_logprobs, long.language_logprobs, atol=tolerance(kind) or 1e-7)
    assert short.no_speech_prob == pytest.approx(long.no_speech_prob, abs=1e-3)


def test_a_prompt_longer_than_every_bucket_is_refused_by_name(session: Session) -> None:
    session.encode([0], mel(1))
    with pytest.raises(InvalidOption, match="prompt: 17 is not allowed; at most 16 tokens"):
        session.prefill(0, prefill_inputs(np.zeros(17, np.int32)))


@pytest.mark.parametrize("beams", [0, -1, 3])
def test_more_or_fewer_beams_than_the_program_has_are_refused_by_name(session: Session, beams: int) -> None:
    encode_and_prefill(session, 0)
    expected = decode_step(session, {0: 11}, 3)
    prefill_window(session, 0)
    with pytest.raises(InvalidOption, match=f"beams: {beams} is not allowed; a whole number from 1 to 2"):
        session.prefill(0, prefill_inputs(PROMPT, suppressed=~nothing_suppressed(), beams=beams))
    assert decode_step(session, {0: 11}, 3).tokens[0].tolist() == expected.tokens[0].tolist(), "the slot is what it was"


def test_rows_that_are_not_in_use_return_nothing(session: Session) -> None:
    encode_and_prefill(session, 0)
    encode_and_prefill(session, 1, beams=2)
    encode_and_prefill(session, 2, beams=2)
    tokens: dict[int, int | list[int]] = {0: 11, 1: [12, 13]}
    output = decode_step(session, tokens, 3, parents={0: [1, 1]})
    everything = logits_step(session, tokens, 4, parents={0: [1, 1]})
    unused = [1, 4, 5]  # slot 0 has one row, slot 2 does not take part
    assert not output.tokens[unused].any()
    assert (output.logprobs[unused] == -np.inf).all()
    assert (everything[unused] == -np.inf).all()
    used = [0, 2, 3]
    assert np.isfinite(output.logprobs[used, 0]).all()
    assert np.isfinite(everything[used]).all()
    assert everything.shape == (session.spec.rows, session.spec.dims.n_vocab)
    assert everything.dtype == output.logprobs.dtype == np.float32
    later = logits_step(session, {0: 14}, 5)
    assert np.isfinite(later[0]).any()
    assert (later[1:] == -np.inf).all(), "nothing is left of the step before"


@pytest.mark.parametrize("beams", [1, 2])
def test_a_step_chooses_the_likeliest_of_all_tokens(session: Session, kind: str, beams: int) -> None:
    encode_and_prefill(session, 0, beams=beams)
    tokens: dict[int, int | list[int]] = {0: [11, 12]}
    chosen = decode_step(session, tokens, 3)
    everything = logits_step(session, tokens, 3)  # writes the same row again
    for row in range(beams):
        assert_is_a_distribution(everything[row])
        assert_top_tokens_are(kind, chosen.tokens[row], chosen.logprobs[row], everything[row])


@pytest.mark.parametrize("beams", [1, 2])
def test_the_prompts_last_token_fed_again_returns_what_the_prompt_returned(
    session: Session, kind: str, beams: int
) -> None:
    first = encode_and_prefill(session, 1, window=8, beams=beams).top_tokens
    everything = logits_step(session, {1: int(PROMPT[-1])}, len(PROMPT) - 1)
    for row in range(2, 2 + beams):
        assert_top_tokens_are(kind, first.tokens[0], first.logprobs[0], everything[row])
    then = decode_step(session, {1: 11}, 3)
    prefill_window(session, 1, beams=beams)
    assert_same(kind, then, 2, decode_step(session, {1: 11}, 3), 2)


def test_a_logits_step_extends_the_past_as_a_decode_step_does(session: Session, kind: str) -> None:
    encode_and_prefill(session, 0, beams=2)
    logits_step(session, {0: [11, 12]}, 3)
    stepped = decode_step(session, {0: [13, 13]}, 4, parents={0: [1, 0]})
    for row, token in ((0, 12), (1, 11)):
        longer = prefill_window(session, 0, np.array([*PROMPT, token, 13], np.int32))
        assert_same(kind, stepped, row, longer.top_tokens, 0)


def test_logits_follow_parents(session: Session, kind: str) -> None:
    encode_and_prefill(session, 0, beams=2)
    decode_step(session, {0: [11, 12]}, 3)
    swapped = logits_step(session, {0: [13, 13]}, 4, parents={0: [1, 0]})
    for row, token in ((0, 12), (1, 11)):
        longer = prefill_window(session, 0, np.array([*PROMPT, token, 13], np.int32), beams=2).top_tokens
        assert_top_tokens_are(kind, longer.tokens[0], longer.logprobs[0], swapped[row])


def test_beams_go_on_from_parents_that_moved_more_than_once(session: Session, kind: str) -> None:
    encode_and_prefill(session, 1, beams=2)
    decode_step(session, {1: [11, 12]}, 3)
    decode_step(session, {1: [13, 14]}, 4, parents={1: [1, 1]})  # 12 13, 12 14
    decode_step(session, {1: [15, 16]}, 5, parents={1: [1, 0]})  # 12 14 15, 12 13 16
    last = decode_step(session, {1: [17, 18]}, 6, parents={1: [0, 0]})  # 12 14 15 17, 12 14 15 18
    for row, token in ((2, 17), (3, 18)):
        longer = prefill_window(session, 1, np.array([*PROMPT, 12, 14, 15, token], np.int32))
        assert_same(kind, last, row, longer.top_tokens, 0)


def test_logits_are_over_tokens_that_rules_and_suppression_allow(session: Session) -> None:
    session.encode([0], mel(1))
    suppressed = nothing_suppressed()
    suppressed[20:40] = True
    session.prefill(0, prefill_inputs(PROMPT, suppressed=suppressed, beams=2))
    rules = all_allowed(session.spec.rows)
    rules[1, RULE_TEXT] = 0
    rules[1, RULE_TIMESTAMP_MIN], rules[1, RULE_TIMESTAMP_MAX] = SPECIAL.timestamp_begin, SPECIAL.timestamp_begin + 9
    everything = logits_step(session, {0: 11}, 3, rules=rules)
    expected = np.ones_like(everything[:2], np.bool_)
    expected[:, 20:40] = expected[1, : SPECIAL.eot] = expected[1, SPECIAL.timestamp_begin + 10 :] = False
    np.testing.assert_array_equal(np.isfinite(everything[:2]), expected)
    for row in (0, 1):
        assert_is_a_distribution(everything[row])


def test_only_timestamps_are_left_where_together_they_are_likelier_than_any_other_token(
    session: Session, kind: str
) -> None:
    encode_and_prefill(session, 0)
    free = logits_step(session, {0: 11}, 3)[0].astype(np.float64)
    begin = SPECIAL.timestamp_begin
    time = np.log(np.exp(free[begin:]).sum())
    assert time > free[:begin].max() + 0.1, "1,501 timestamps of a random model outweigh any one token"
    rules = all_allowed(session.spec.rows)
    rules[:, RULE_TIMESTAMP_PROB] = 1
    left = logits_step(session, {0: 11}, 3, rules=rules)[0]
    assert (left[:begin] == -np.inf).all()
    np.testing.assert_allclose(left[begin:], free[begin:] - time, atol=tolerance(kind) or 1e-5)


def test_logits_of_a_row_where_no_token_is_allowed_are_all_masked(session: Session) -> None:
    encode_and_prefill(session, 0)
    session.prefill(0, prefill_inputs(PROMPT, suppressed=~nothing_suppressed()))
    assert (logits_step(session, {0: 11}, 3)[0] == -np.inf).all()
    assert (decode_step(session, {0: 11}, 3).logprobs[0] == -np.inf).all()


def test_narrow_and_wide_slots_in_one_call_return_what_they_return_alone(session: Session, kind: str) -> None:
    """Slot 0 narrow, 1 wide, 2 narrow: each alone, then all at once, by decode and by logits."""
    widths = {0: 1, 1: 2, 2: 1}
    script: list[tuple[dict[int, int | list[int]], dict[int, list[int]]]] = [
        ({0: 11, 1: [12, 13], 2: 14}, {}),
        ({0: 21, 1: [22, 23], 2: 24}, {0: [1, 1], 1: [1, 0]}),
        ({0: 31, 1: [32, 33], 2: 34}, {1: [0, 0], 2: [1, 0]}),
    ]

    def play(slots: list[int]) -> list[tuple[TopTokens, NDArray[np.float32]]]:
        for slot in slots:
            encode_and_prefill(session, slot, window=slot, beams=widths[slot])
        outputs = []
        for position, (tokens, parents) in enumerate(script, 3):
            own_tokens: dict[int, int | list[int]] = {slot: tokens[slot] for slot in slots}
            chosen = decode_step(session, own_tokens, position, parents=parents)
            outputs.append((chosen, logits_step(session, own_tokens, position)))
        return outputs

    together = play([0, 1, 2])
    for slot, width in widths.items():
        for (chosen, everything), (chosen_alone, everything_alone) in zip(together, play([slot]), strict=True):
            for row in range(2 * slot, 2 * slot + width):
                assert_same(kind, chosen, row, chosen_alone, row)
                np.testing.assert_allclose(everything[row], everything_alone[row], atol=tolerance(kind) or 1e-7)


@pytest.mark.parametrize("tries", [[1, 2, 1], [2, 1, 2]])
def test_a_retry_in_another_width_returns_the_same(session: Session, kind: str, tries: list[int]) -> None:
    session.encode([2], mel(1, seed=6))
    outputs = []
    for beams in tries:
        outputs.append(prefill_window(session, 2, beams=beams).top_tokens)
        decode_step(session, {2: [11, 40]}, 3)
        assert_same(kind, outputs[0], 0, outputs[-1], 0)
        row = 4 + beams - 1
        stepped = decode_step(session, {2: 12}, 4, parents={2: [0, 0]})
        longer = prefill_window(session, 2, np.array([*PROMPT, 11, 12], np.int32))
        assert_same(kind, stepped, row, longer.top_tokens, 0)


def test_alignment_weights_are_distributions_over_the_audio(session: Session) -> None:
    encode_and_prefill(session, 0)
    weights = session.align(0, np.array([*PROMPT, 11, 12], np.int32))
    assert weights.shape == (2, 5, session.spec.dims.n_audio_ctx)
    np.testing.assert_allclose(weights.sum(-1), 1, atol=2e-2)


def test_a_closed_session_raises_device_error_and_reads_no_file(
    session: Session, kind: str, program: Path, tmp_path: Path
) -> None:
    copy = shutil.copytree(program, tmp_path / "copy")
    closed = open_session(kind, spec(), copy)
    closed.close()
    closed.close()
    shutil.rmtree(copy)
    calls = (
        lambda: closed.encode([0], mel(1)),
        lambda: prefill_window(closed, 0),
        lambda: prefill_window(closed, 0, np.zeros(16, np.int32), beams=2),
        lambda: decode_step(closed, {0: 11}, 3),
        lambda: logits_step(closed, {0: 11}, 3),
        lambda: closed.align(0, PROMPT),
    )
    for call in calls:
        with pytest.raises(DeviceError, match="closed"):
            call()
