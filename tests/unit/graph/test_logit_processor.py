"""Rules and top tokens on the device; tests/parity/test_rules.py holds them to openai-whisper's filters."""

from __future__ import annotations

import pytest
import torch

from neuron_whisper.graph.logit_processor import SpecialTokenIds, log_probabilities, mask_logits, top_k_tokens
from neuron_whisper.target.interfaces import MASKED_LOGIT, MASKED_LOGPROB, RULE_TEXT, RULE_TIMESTAMP_PROB
from tests.support.tiny_program import SPECIAL, all_allowed, spec

IDS = SpecialTokenIds.from_spec(spec())


def random_logits(rows: int = 2) -> torch.Tensor:
    return torch.randn(rows, IDS.n_vocab, generator=torch.Generator().manual_seed(1))


def test_masked_logits_are_those_that_the_rules_forbid() -> None:
    rules = torch.from_numpy(all_allowed(2))
    rules[1, RULE_TEXT] = 0
    logits = random_logits()
    masked = mask_logits(logits, rules, IDS)
    assert torch.equal(masked[0], logits[0])
    assert (masked[1, : SPECIAL.eot] == MASKED_LOGIT).all()
    assert torch.equal(masked[1, SPECIAL.eot :], logits[1, SPECIAL.eot :])


def test_padding_of_the_vocabulary_is_masked() -> None:
    padded = torch.nn.functional.pad(random_logits(), (0, 3), value=50.0)
    assert (mask_logits(padded, torch.from_numpy(all_allowed(2)), IDS)[:, IDS.n_vocab :] == MASKED_LOGIT).all()


@pytest.mark.parametrize("top_k", [1, 5, 11])
def test_top_tokens_are_those_of_a_sort(top_k: int) -> None:
    logits, rules = random_logits(), torch.from_numpy(all_allowed(2))
    tokens, logprobs = top_k_tokens(logits, rules, IDS, top_k)
    expected = torch.log_softmax(logits, -1).topk(top_k)
    assert torch.equal(tokens, expected.indices.to(torch.int32))
    torch.testing.assert_close(logprobs, expected.values)


def test_only_timestamps_are_left_when_they_are_together_the_most_probable() -> None:
    logits, rules = torch.zeros(2, IDS.n_vocab), torch.from_numpy(all_allowed(2))
    rules[1, RULE_TIMESTAMP_PROB] = 1
    free, ruled = log_probabilities(logits, rules, IDS)
    assert (free > MASKED_LOGPROB).all()
    assert (ruled[: SPECIAL.timestamp_begin] < MASKED_LOGPROB).all()
    assert ruled[SPECIAL.timestamp_begin :].exp().sum() == pytest.approx(1, abs=1e-5)
