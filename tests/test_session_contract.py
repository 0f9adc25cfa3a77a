"""What every Session promises (target/contract.py), over all of them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from neuron_whisper.errors import DeviceFault, InvalidOption
from neuron_whisper.target.contract import RULE_TEXT, RULE_TIME_FROM, RULE_TIME_TO, Choices, PrefillAnswer, Session
from tests.sessions import SESSIONS, open_session, tolerance
from tests.tiny_program import SPECIAL, all_allowed, mel, nothing_banned, spec

PROMPT = np.array([SPECIAL.sot, SPECIAL.first_language + 1, SPECIAL.transcribe], np.int32)


@pytest.fixture(scope="module", params=SESSIONS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def session(kind: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    session = open_session(kind, spec(), tmp_path_factory.mktemp("program"))
    yield session
    session.close()


def start(session: Session, slot: int, window: int = 0, prompt: np.ndarray = PROMPT) -> PrefillAnswer:
    session.encode([slot], mel(1, seed=window))
    return session.prefill(slot, prompt, 0, all_allowed(), nothing_banned())


def step(
    session: Session,
    tokens: dict[int, int | list[int]],
    position: int,
    *,
    parents: dict[int, list[int]] | None = None,
    rules: np.ndarray | None = None,
) -> Choices:
    """One token for the slots named; a list gives each beam its own."""
    rows, beams = session.spec.rows, session.spec.beams
    token = np.zeros(rows, np.int32)
    parent = np.tile(np.arange(beams, dtype=np.int32), session.spec.slots)
    positions = np.zeros(rows, np.int32)
    active = np.zeros(session.spec.slots, np.bool_)
    for slot, value in tokens.items():
        span = slice(slot * beams, (slot + 1) * beams)
        token[span], positions[span], active[slot] = value, position, True
        if parents and slot in parents:
            parent[span] = parents[slot]
    return session.decode(token, positions, parent, all_allowed(rows) if rules is None else rules, active)


def assert_same(kind: str, a: Choices, row_a: int, b: Choices, row_b: int) -> None:
    limit = tolerance(kind)
    if limit < 0.01:
        assert a.tokens[row_a].tolist() == b.tokens[row_b].tolist()
    else:  # near ties may swap in 16 bit
        assert a.tokens[row_a][0] in b.tokens[row_b]
    np.testing.assert_allclose(a.logprobs[row_a], b.logprobs[row_b], atol=limit or 1e-7)


def test_a_step_answers_what_a_longer_prompt_answers(session: Session, kind: str) -> None:
    start(session, 0)
    stepped = step(session, {0: 11}, 3)
    stepped = step(session, {0: 12}, 4)
    again = session.prefill(0, np.array([*PROMPT, 11, 12], np.int32), 0, all_allowed(), nothing_banned())
    assert_same(kind, stepped, 0, again.choices, 0)


def test_a_second_prompt_reuses_the_window(session: Session, kind: str) -> None:
    first = start(session, 1)
    step(session, {1: 40}, 3)
    second = session.prefill(1, PROMPT, 0, all_allowed(), nothing_banned())
    assert second.choices.tokens.tolist() == first.choices.tokens.tolist()
    assert second.choices.logprobs.tolist() == first.choices.logprobs.tolist()


def test_a_padded_prompt_answers_like_one_that_fills_its_bucket(session: Session, kind: str) -> None:
    start(session, 0)
    tokens = np.array([*PROMPT, 20], np.int32)  # fills the bucket of 4
    filled = session.prefill(0, tokens, 0, all_allowed(), nothing_banned())
    session.prefill(0, tokens[:3], 0, all_allowed(), nothing_banned())
    assert_same(kind, step(session, {0: 20}, 3), 0, filled.choices, 0)


def test_another_slot_that_joins_changes_no_bit(session: Session) -> None:
    start(session, 0)
    alone = step(session, {0: 11}, 3)
    session.prefill(0, PROMPT, 0, all_allowed(), nothing_banned())
    start(session, 1, window=5)
    start(session, 2, window=6)
    joined = step(session, {0: 11, 1: 33, 2: 55}, 3)
    assert joined.tokens[0].tolist() == alone.tokens[0].tolist()
    assert joined.logprobs[0].tolist() == alone.logprobs[0].tolist()


def test_a_slot_gives_the_same_answer_as_any_other(session: Session, kind: str) -> None:
    first, last = start(session, 0, window=9), start(session, 2, window=9)
    assert_same(kind, first.choices, 0, last.choices, 0)
    a, b = step(session, {0: 17}, 3), step(session, {2: 17}, 3)
    assert_same(kind, a, 0, b, 2 * session.spec.beams)


def test_a_batch_of_windows_encodes_like_one_after_another(session: Session, kind: str) -> None:
    both = mel(2, seed=3)
    session.encode([2, 0], both)
    batched = session.prefill(0, PROMPT, 0, all_allowed(), nothing_banned())
    session.encode([0], both[1:])
    single = session.prefill(0, PROMPT, 0, all_allowed(), nothing_banned())
    assert_same(kind, batched.choices, 0, single.choices, 0)


def test_an_idle_slot_keeps_its_state(session: Session, kind: str) -> None:
    start(session, 0)
    start(session, 1, window=4)
    expected = step(session, {0: 11, 1: 12}, 3)
    session.prefill(0, PROMPT, 0, all_allowed(), nothing_banned())
    session.prefill(1, PROMPT, 0, all_allowed(), nothing_banned())
    for position in (3, 4, 5):
        step(session, {0: 11}, position)
    later = step(session, {1: 12}, 3)
    assert later.logprobs[session.spec.beams].tolist() == expected.logprobs[session.spec.beams].tolist()


def test_a_beam_continues_its_parents_past(session: Session, kind: str) -> None:
    start(session, 0)
    step(session, {0: [11, 12]}, 3)
    swapped = step(session, {0: [13, 13]}, 4, parents={0: [1, 0]})
    second = session.prefill(0, np.array([*PROMPT, 12, 13], np.int32), 0, all_allowed(), nothing_banned())
    first = session.prefill(0, np.array([*PROMPT, 11, 13], np.int32), 0, all_allowed(), nothing_banned())
    assert_same(kind, swapped, 0, second.choices, 0)
    assert_same(kind, swapped, 1, first.choices, 0)


def test_both_beams_may_have_one_parent(session: Session, kind: str) -> None:
    start(session, 0)
    step(session, {0: [11, 12]}, 3)
    answers = step(session, {0: [13, 13]}, 4, parents={0: [1, 1]})
    assert answers.tokens[0].tolist() == answers.tokens[1].tolist()


def test_banned_tokens_are_never_chosen_until_the_next_prompt(session: Session) -> None:
    free = start(session, 0)
    banned = nothing_banned()
    banned[free.choices.tokens[0]] = True
    answer = session.prefill(0, PROMPT, 0, all_allowed(), banned)
    assert not banned[answer.choices.tokens[0]].any()
    assert not banned[step(session, {0: 11}, 3).tokens[0]].any()
    back = session.prefill(0, PROMPT, 0, all_allowed(), nothing_banned())
    assert back.choices.tokens.tolist() == free.choices.tokens.tolist()


def test_any_set_of_bans_holds_to_the_token(session: Session) -> None:
    session.encode([0], mel(1))
    for seed in range(4):
        allowed = np.random.default_rng(seed).choice(session.spec.dims.n_vocab, session.spec.choices, replace=False)
        banned = ~nothing_banned()
        banned[allowed] = False
        answer = session.prefill(0, PROMPT, 0, all_allowed(), banned)
        assert set(answer.choices.tokens[0].tolist()) == set(allowed.tolist())
        assert set(step(session, {0: 11}, 3).tokens[0].tolist()) == set(allowed.tolist())


def test_rules_hold_row_by_row(session: Session) -> None:
    start(session, 0)
    start(session, 1)
    rules = all_allowed(session.spec.rows)
    rules[0, RULE_TEXT] = 0
    late = SPECIAL.timestamp_begin + 40
    first_of_1 = session.spec.beams
    rules[first_of_1, :4] = 0
    rules[first_of_1, RULE_TIME_FROM], rules[first_of_1, RULE_TIME_TO] = late, late + 1
    answer = step(session, {0: 11, 1: 11}, 3, rules=rules)
    assert (answer.tokens[0] >= SPECIAL.eot).all()
    assert set(answer.tokens[first_of_1][:2].tolist()) == {late, late + 1}
    assert (answer.logprobs[first_of_1][2:] == -np.inf).all(), "only two tokens were allowed"


def test_choices_come_best_first_and_are_probabilities(session: Session) -> None:
    answer = start(session, 0)
    assert (np.diff(answer.choices.logprobs[0]) <= 0).all()
    assert 0 < np.exp(answer.choices.logprobs[0].astype(np.float64)).sum() <= 1 + 1e-5
    assert answer.choices.tokens.shape == (1, session.spec.choices)


def test_languages_are_a_distribution_and_no_speech_a_probability(session: Session) -> None:
    answer = start(session, 0)
    assert answer.language_logprobs.shape == (SPECIAL.n_languages,)
    assert np.exp(answer.language_logprobs).sum() == pytest.approx(1, abs=1e-3)
    assert 0 <= answer.no_speech_prob <= 1


def test_what_follows_the_start_of_transcript_changes_nothing_of_its_answer(session: Session, kind: str) -> None:
    start(session, 0)
    before = np.array([SPECIAL.sot_prev, 5, 6, SPECIAL.sot], np.int32)
    short = session.prefill(0, before, 3, all_allowed(), nothing_banned())
    long = session.prefill(0, np.array([*before, *PROMPT[1:]], np.int32), 3, all_allowed(), nothing_banned())
    np.testing.assert_allclose(short.language_logprobs, long.language_logprobs, atol=tolerance(kind) or 1e-7)
    assert short.no_speech_prob == pytest.approx(long.no_speech_prob, abs=1e-3)


def test_a_prompt_longer_than_every_bucket_is_refused_by_name(session: Session) -> None:
    session.encode([0], mel(1))
    with pytest.raises(InvalidOption, match="prompt: 17 is not allowed; at most 16 tokens"):
        session.prefill(0, np.zeros(17, np.int32), 0, all_allowed(), nothing_banned())


def test_alignment_weights_are_distributions_over_the_audio(session: Session) -> None:
    start(session, 0)
    weights = session.align(0, np.array([*PROMPT, 11, 12], np.int32))
    assert weights.shape == (2, 5, session.spec.dims.n_audio_ctx)
    np.testing.assert_allclose(weights.sum(-1), 1, atol=2e-2)


def test_a_closed_session_says_so(kind: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    session = open_session(kind, spec(slots=1, beams=1), tmp_path_factory.mktemp("closed"))
    session.close()
    session.close()
    with pytest.raises(DeviceFault, match="closed"):
        session.encode([0], mel(1))
