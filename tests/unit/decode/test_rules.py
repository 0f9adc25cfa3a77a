"""Whisper's rules: our numpy statement against openai-whisper's filters, and the graph against our statement."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from whisper.decoding import ApplyTimestampRules, SuppressBlank, SuppressTokens

from neuron_whisper.decode.options import WindowOptions
from neuron_whisper.decode.rules import TokenRules, apply_rules, build_suppression_mask, compute_rules
from neuron_whisper.graph.logit_processor import SpecialTokenIds, log_probabilities, mask_logits, top_k_tokens
from neuron_whisper.target.interfaces import MASKED_LOGIT, MASKED_LOGPROB, N_RULES, mask_logprobs
from tests.support.tiny_program import DIMS, SPECIAL, spec

BEGIN = SPECIAL.timestamp_begin


class OpenAiTokenizer:
    """As much of openai-whisper's tokenizer as its filters read."""

    eot = SPECIAL.eot
    no_timestamps = SPECIAL.no_timestamps
    timestamp_begin = BEGIN

    def encode(self, text: str) -> list[int]:
        assert text == " "
        return [SPECIAL.blank]


def openai_logprobs(
    logits: NDArray[np.float32], sampled: list[int], suppressed: list[int], options: WindowOptions
) -> NDArray[np.float32]:
    """What openai-whisper leaves of the logits after `sampled`, normalised."""
    tokenizer = OpenAiTokenizer()
    prompt = [SPECIAL.sot, SPECIAL.first_language, SPECIAL.transcribe]
    filters = [SuppressTokens(suppressed)]
    if options.suppress_blank:
        filters.insert(0, SuppressBlank(tokenizer, len(prompt)))
    if not options.without_timestamps:
        limit = options.max_initial_timestamp_s
        index = None if limit is None else round(limit / 0.02)
        filters.append(ApplyTimestampRules(tokenizer, len(prompt), index))
    left = torch.from_numpy(logits.copy()).unsqueeze(0)
    for rule in filters:
        rule.apply(left, torch.tensor([prompt + sampled]))
    return torch.log_softmax(left, -1)[0].numpy()


@st.composite
def histories(draw: st.DrawFn) -> list[int]:
    """Tokens as Whisper may have sampled them: text, and timestamps that never go back."""
    time = draw(st.integers(0, 60))
    tokens: list[int] = []
    for _ in range(draw(st.integers(0, 7))):
        if draw(st.booleans()):
            tokens.append(draw(st.integers(0, SPECIAL.eot - 1)))
        else:
            time = min(time + draw(st.integers(0, 30)), 1500)
            tokens.append(BEGIN + time)
    return tokens


windows = st.builds(
    WindowOptions,
    language=st.just("en"),
    task=st.just("transcribe"),
    suppress_blank=st.booleans(),
    without_timestamps=st.booleans(),
    max_initial_timestamp_s=st.sampled_from([None, 0.0, 1.0, 30.0]),
    suppress_tokens=st.frozensets(st.integers(0, SPECIAL.no_timestamps - 1), max_size=8).map(
        lambda s: s - {SPECIAL.eot}
    ),
)


def random_logits(seed: int, lift: float) -> NDArray[np.float32]:
    """Logits whose timestamps together are about as likely as the best text, so that the mass rule goes both ways."""
    logits = np.random.default_rng(seed).standard_normal(DIMS.n_vocab).astype(np.float32) * 2
    logits[BEGIN:] += np.float32(lift)
    return logits


@settings(max_examples=300, deadline=None)
@given(histories(), windows)
def test_a_sequence_that_grows_has_the_rules_of_its_whole(sampled: list[int], options: WindowOptions) -> None:
    book = TokenRules(SPECIAL, options)
    state = book.initial_state
    np.testing.assert_array_equal(state.row, compute_rules([], SPECIAL, options))
    for n, token in enumerate(sampled, start=1):
        state = book.advance(state, token)
        np.testing.assert_array_equal(state.row, compute_rules(sampled[:n], SPECIAL, options))


@settings(max_examples=300, deadline=None)
@given(histories(), windows, st.integers(0, 2**32 - 1), st.floats(-8, 2))
def test_the_numpy_rules_leave_what_openai_whisper_leaves(
    sampled: list[int], options: WindowOptions, seed: int, lift: float
) -> None:
    logits = random_logits(seed, lift)
    rules = compute_rules(sampled, SPECIAL, options)
    banned = build_suppression_mask(DIMS.n_vocab, SPECIAL, options)
    ours = apply_rules(logits, rules, banned, SPECIAL)
    theirs = openai_logprobs(logits, sampled, sorted(options.suppress_tokens), options)
    np.testing.assert_array_equal(np.isfinite(ours), np.isfinite(theirs))
    np.testing.assert_allclose(ours[np.isfinite(ours)], theirs[np.isfinite(theirs)], atol=2e-5)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.tuples(histories(), windows, st.integers(0, 2**32 - 1), st.floats(-8, 2)), min_size=1, max_size=4),
    st.integers(1, 11),
)
def test_the_graph_chooses_what_the_numpy_rules_leave(
    rows: list[tuple[list[int], WindowOptions, int, float]], choices: int
) -> None:
    logits = np.stack([random_logits(seed, lift) for _, _, seed, lift in rows])
    rules = np.stack([compute_rules(sampled, SPECIAL, options) for sampled, options, _, _ in rows])
    banned = np.stack([build_suppression_mask(DIMS.n_vocab, SPECIAL, options) for _, options, _, _ in rows])
    tokens = SpecialTokenIds.from_spec(spec())
    added = torch.from_numpy(logits + np.where(banned, np.float32(MASKED_LOGIT), np.float32(0)))
    asked = torch.from_numpy(rules)
    best, logprobs = top_k_tokens(mask_logits(added, asked, tokens), asked, tokens, choices)
    everything = log_probabilities(mask_logits(added, asked, tokens), asked, tokens)
    for row, (_, _, _, _) in enumerate(rows):
        expected = apply_rules(logits[row], rules[row], banned[row], SPECIAL)
        found = logprobs[row].numpy()
        order = np.sort(expected)[::-1][:choices]
        n_allowed = int(np.isfinite(order).sum())
        np.testing.assert_allclose(found[:n_allowed], order[:n_allowed], atol=2e-5)
        np.testing.assert_allclose(expected[best[row].numpy()[:n_allowed]], order[:n_allowed], atol=2e-5)
        assert (found[n_allowed:] < MASKED_LOGPROB).all(), "what is forbidden can be told from what is unlikely"
        np.testing.assert_allclose(mask_logprobs(everything[row].numpy()), expected, atol=2e-5)


def test_a_step_takes_and_answers_less_than_1_kb_a_row() -> None:
    token, position, parent, rules = 4, 4, 4, 4 * N_RULES
    for beams in (1, 5, 10):
        choices = 1 if beams == 1 else 2 * beams + 1
        assert token + position + parent + rules + choices * 8 < 1024


@pytest.mark.parametrize(
    ("sampled", "allowed"),
    [
        ([], {BEGIN, BEGIN + 50}),  # the first token is a timestamp of at most 1 s
        ([BEGIN], {0, SPECIAL.eot}),  # text must follow it
        ([BEGIN, 5], {0, SPECIAL.eot, BEGIN + 1, BEGIN + 1500}),
        ([BEGIN, 5, BEGIN + 20], {SPECIAL.eot, BEGIN + 20, BEGIN + 1500}),  # the pair closes, or the end
        ([BEGIN, 5, BEGIN + 20, BEGIN + 20], {0, SPECIAL.eot}),
    ],
)
def test_timestamps_come_in_pairs_and_never_go_back(sampled: list[int], allowed: set[int]) -> None:
    options = WindowOptions(language="en", task="transcribe")
    rules = compute_rules(sampled, SPECIAL, options).copy()
    rules[-1] = 0  # whatever is likelier: here it is about what may be
    left = apply_rules(
        np.zeros(DIMS.n_vocab, np.float32), rules, build_suppression_mask(DIMS.n_vocab, SPECIAL, options), SPECIAL
    )
    probes = {0, SPECIAL.eot, BEGIN, BEGIN + 1, BEGIN + 20, BEGIN + 50, BEGIN + 51, BEGIN + 1500}
    assert {token for token in probes if np.isfinite(left[token])} == allowed | (
        {BEGIN + 1, BEGIN + 20}
        if not sampled
        else {BEGIN + 50, BEGIN + 51}
        if len(sampled) == 3
        else {BEGIN + 20, BEGIN + 50, BEGIN + 51}
        if len(sampled) == 2
        else set()
    )
