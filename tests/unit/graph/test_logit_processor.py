"""Rules and top tokens on the device; tests/parity/test_rules.py holds them to openai-whisper's filters."""

from __future__ import annotations

import pytest
import torch

from neuron_whisper.graph.layers import LayerBackend, PlainLayers
from neuron_whisper.graph.logit_processor import (
    SpecialTokenIds,
    log_probabilities,
    mask_logits,
    no_speech_probability,
    split_vocab,
    token_ids,
    top_k_tokens,
)
from neuron_whisper.target.interfaces import MASKED_LOGIT, MASKED_LOGPROB, RULE_TEXT, RULE_TIMESTAMP_PROB
from tests.support.plain_bundle import OneRankLayers
from tests.support.tiny_program import DIMS, SPECIAL, all_allowed, spec

IDS = SpecialTokenIds.from_spec(spec())
LAYERS: tuple[LayerBackend, ...] = (PlainLayers(DIMS, {}), OneRankLayers(DIMS, {}))  # whole rows, and blocks of them


def random_logits(rows: int = 2) -> torch.Tensor:
    return torch.randn(rows, IDS.n_vocab, generator=torch.Generator().manual_seed(1))


@pytest.fixture(params=LAYERS, ids=["whole", "blocks"])
def layers(request: pytest.FixtureRequest) -> LayerBackend:
    found: LayerBackend = request.param
    return found


def split(layers: LayerBackend, logits: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(logits (R, N, W), their ids)"""
    blocks = split_vocab(logits, layers.vocab_blocks(len(logits)))
    return blocks, token_ids(*blocks.shape[1:])


def test_masked_logits_are_those_that_the_rules_forbid(layers: LayerBackend) -> None:
    rules = torch.from_numpy(all_allowed(2))
    rules[1, RULE_TEXT] = 0
    logits = random_logits()
    masked = mask_logits(*split(layers, logits), rules, IDS).flatten(1)[:, : IDS.n_vocab]
    assert torch.equal(masked[0], logits[0])
    assert (masked[1, : SPECIAL.eot] == MASKED_LOGIT).all()
    assert torch.equal(masked[1, SPECIAL.eot :], logits[1, SPECIAL.eot :])


def test_padding_of_the_vocabulary_is_masked(layers: LayerBackend) -> None:
    padded = torch.nn.functional.pad(random_logits(), (0, 3), value=50.0)
    masked = mask_logits(*split(layers, padded), torch.from_numpy(all_allowed(2)), IDS)
    assert (masked.flatten(1)[:, IDS.n_vocab :] == MASKED_LOGIT).all()


@pytest.mark.parametrize("top_k", [1, 5, 11])
def test_top_tokens_are_those_of_a_sort(layers: LayerBackend, top_k: int) -> None:
    logits, rules = random_logits(), torch.from_numpy(all_allowed(2))
    blocks, ids = split(layers, logits)
    tokens, logprobs = top_k_tokens(layers, mask_logits(blocks, ids, rules, IDS), ids, rules, IDS, top_k)
    expected = torch.log_softmax(logits, -1).topk(top_k)
    assert torch.equal(tokens, expected.indices.to(torch.int32))
    torch.testing.assert_close(logprobs, expected.values)


def test_only_timestamps_are_left_when_they_are_together_the_most_probable(layers: LayerBackend) -> None:
    logits, rules = torch.zeros(2, IDS.n_vocab), torch.from_numpy(all_allowed(2))
    rules[1, RULE_TIMESTAMP_PROB] = 1
    blocks, ids = split(layers, logits)
    free, ruled = log_probabilities(mask_logits(blocks, ids, rules, IDS), ids, rules, IDS)
    assert (free > MASKED_LOGPROB).all()
    assert (ruled[: SPECIAL.timestamp_begin] < MASKED_LOGPROB).all()
    assert ruled[SPECIAL.timestamp_begin :].exp().sum() == pytest.approx(1, abs=1e-5)


def test_timestamps_far_below_the_text_leave_finite_numbers(layers: LayerBackend) -> None:
    """Their sum of exponentials is lost beside the text's: 0, whose logarithm is not finite."""
    logits, rules = torch.zeros(1, IDS.n_vocab), torch.from_numpy(all_allowed(1))
    logits[:, SPECIAL.timestamp_begin :] = -200
    rules[0, RULE_TIMESTAMP_PROB] = 1
    blocks, ids = split(layers, logits)
    logprobs = log_probabilities(mask_logits(blocks, ids, rules, IDS), ids, rules, IDS)
    torch.testing.assert_close(logprobs, torch.log_softmax(logits, -1))


def test_no_speech_is_a_probability_over_the_whole_vocabulary(layers: LayerBackend) -> None:
    padded = torch.nn.functional.pad(random_logits(1), (0, 3), value=50.0)
    expected = torch.softmax(padded[:, : IDS.n_vocab], -1)[:, IDS.no_speech]
    torch.testing.assert_close(no_speech_probability(*split(layers, padded), IDS), expected)
