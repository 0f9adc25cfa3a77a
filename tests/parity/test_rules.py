"""The rules in numpy, the graph that is held to them, and openai-whisper's."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from whisper.decoding import ApplyTimestampRules, SuppressBlank, SuppressTokens

from neuron_whisper.decode.rules import apply_rules, build_suppression_mask, compute_rules
from neuron_whisper.decode.window_options import WindowOptions
from neuron_whisper.graph.layers import LayerBackend, PlainLayers
from neuron_whisper.graph.logit_processor import (
    SpecialTokenIds,
    log_probabilities,
    mask_logits,
    split_vocab,
    token_ids,
    top_k_tokens,
)
from neuron_whisper.target.interfaces import MASKED_LOGIT, MASKED_LOGPROB, mask_logprobs
from tests.support.plain_bundle import OneRankLayers
from tests.support.rule_histories import BEGIN, draw_histories, random_logits, window_options
from tests.support.tiny_program import DIMS, SPECIAL, spec


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


@settings(max_examples=300, deadline=None)
@given(draw_histories(), window_options, st.integers(0, 2**32 - 1), st.floats(-8, 2))
def test_the_numpy_rules_leave_what_openai_whisper_leaves(
    sampled: list[int], options: WindowOptions, seed: int, lift: float
) -> None:
    logits = random_logits(seed, lift)
    rules = compute_rules(sampled, SPECIAL, options)
    suppressed = build_suppression_mask(DIMS.n_vocab, SPECIAL, options)
    ours = apply_rules(logits, rules, suppressed, SPECIAL)
    theirs = openai_logprobs(logits, sampled, sorted(options.suppress_tokens), options)
    np.testing.assert_array_equal(np.isfinite(ours), np.isfinite(theirs))
    np.testing.assert_allclose(ours[np.isfinite(ours)], theirs[np.isfinite(theirs)], atol=2e-5)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.tuples(draw_histories(), window_options, st.integers(0, 2**32 - 1), st.floats(-8, 2)), min_size=1, max_size=4
    ),
    st.integers(1, 11),
    st.sampled_from([PlainLayers(DIMS, {}), OneRankLayers(DIMS, {})]),
)
def test_the_graph_chooses_what_the_numpy_rules_leave(
    rows: list[tuple[list[int], WindowOptions, int, float]], choices: int, layers: LayerBackend
) -> None:
    logits = np.stack([random_logits(seed, lift) for _, _, seed, lift in rows])
    rules = np.stack([compute_rules(sampled, SPECIAL, options) for sampled, options, _, _ in rows])
    suppressed = np.stack([build_suppression_mask(DIMS.n_vocab, SPECIAL, options) for _, options, _, _ in rows])
    tokens = SpecialTokenIds.from_spec(spec())
    added = torch.from_numpy(logits + np.where(suppressed, np.float32(MASKED_LOGIT), np.float32(0)))
    rule_rows = torch.from_numpy(rules)
    blocks = split_vocab(added, layers.vocab_blocks(len(rows)))
    ids = token_ids(*blocks.shape[1:])
    masked = mask_logits(blocks, ids, rule_rows, tokens)
    best, logprobs = top_k_tokens(layers, masked, ids, rule_rows, tokens, choices)
    everything = log_probabilities(masked, ids, rule_rows, tokens)
    for row, (_, _, _, _) in enumerate(rows):
        expected = apply_rules(logits[row], rules[row], suppressed[row], SPECIAL)
        found = logprobs[row].numpy()
        order = np.sort(expected)[::-1][:choices]
        n_allowed = int(np.isfinite(order).sum())
        np.testing.assert_allclose(found[:n_allowed], order[:n_allowed], atol=2e-5)
        np.testing.assert_allclose(expected[best[row].numpy()[:n_allowed]], order[:n_allowed], atol=2e-5)
        assert (found[n_allowed:] < MASKED_LOGPROB).all(), "what is forbidden differs from what is unlikely"
        np.testing.assert_allclose(mask_logprobs(everything[row].numpy()), expected, atol=2e-5)
