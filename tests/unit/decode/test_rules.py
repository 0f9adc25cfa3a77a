"""Whisper's rules: our numpy statement against openai-whisper's filters, and the graph against our statement."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings

from neuron_whisper.decode.rules import TokenRules, apply_rules, build_suppression_mask, compute_rules
from neuron_whisper.decode.window_options import WindowOptions
from neuron_whisper.target.interfaces import N_RULES
from tests.support.rule_histories import BEGIN, draw_histories, window_options
from tests.support.tiny_program import DIMS, SPECIAL


@settings(max_examples=300, deadline=None)
@given(draw_histories(), window_options)
def test_the_rules_of_a_growing_sequence_are_those_of_the_whole(sampled: list[int], options: WindowOptions) -> None:
    book = TokenRules(SPECIAL, options)
    state = book.initial_state
    np.testing.assert_array_equal(state.row, compute_rules([], SPECIAL, options))
    for n, token in enumerate(sampled, start=1):
        state = book.advance(state, token)
        np.testing.assert_array_equal(state.row, compute_rules(sampled[:n], SPECIAL, options))


def test_a_step_sends_and_receives_less_than_1_kb_a_row() -> None:
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
