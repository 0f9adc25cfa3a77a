"""Whisper's rules and the choice of the most probable tokens, applied to logits on the device.

decode/rules does the same in numpy and is the specification. Axes: R rows, N blocks of W tokens, V = N * W the
vocabulary with its padding, K tokens. Logits are (R, N, W): a device that works on many lanes at once needs rows times
blocks to fill them (LayerBackend.vocab_blocks). No 64-bit number and no infinity is in a graph: accelerators have
neither.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from neuron_whisper.graph.layers import LayerBackend
from neuron_whisper.target.interfaces import (
    MASKED_LOGIT,
    RULE_BLANK,
    RULE_EOT,
    RULE_SPECIAL,
    RULE_TEXT,
    RULE_TIMESTAMP_MAX,
    RULE_TIMESTAMP_MIN,
    RULE_TIMESTAMP_PROB,
    ProgramSpec,
)

SMALLEST_SUM = 1e-37  # above the smallest normal float32: its logarithm is finite


@dataclass(frozen=True, slots=True)
class SpecialTokenIds:
    """The special tokens that a graph has as constants."""

    n_vocab: int
    eot: int
    first_language: int
    n_languages: int
    no_speech: int
    timestamp_begin: int
    blank: int

    @classmethod
    def from_spec(cls, spec: ProgramSpec) -> SpecialTokenIds:
        s = spec.special
        return cls(spec.dims.n_vocab, s.eot, s.first_language, s.n_languages, s.no_speech, s.timestamp_begin, s.blank)


def split_vocab(values: Tensor, blocks: int) -> Tensor:
    """(R, V) -> (R, N, W) float32, padded with zeros to whole blocks."""
    rows, vocab = values.shape
    width = -(-vocab // blocks)
    if blocks * width > vocab:
        values = torch.nn.functional.pad(values, (0, blocks * width - vocab))
    return values.reshape(rows, blocks, width).float()


def token_ids(blocks: int, width: int) -> Tensor:
    """The id of each token, (1, N, W) int32: to be made once in a graph."""
    return torch.arange(blocks * width, dtype=torch.int32).view(1, blocks, width)


def mask_logits(logits: Tensor, ids: Tensor, rules: Tensor, special_ids: SpecialTokenIds) -> Tensor:
    """logits (R, N, W) of tokens `ids`, rules (R, N_RULES) int32 -> MASKED_LOGIT where the rules forbid a token.

    Ids from n_vocab on are padding of the vocabulary and always masked.
    """
    either, both = torch.logical_or, torch.logical_and
    eot, begin, end = (_id(it) for it in (special_ids.eot, special_ids.timestamp_begin, special_ids.n_vocab))
    not_blank = either(ids != _id(special_ids.blank), _flag(rules, RULE_BLANK))
    is_special = both(ids > eot, ids < begin)
    first, last = _rule(rules, RULE_TIMESTAMP_MIN), _rule(rules, RULE_TIMESTAMP_MAX)
    is_time = both(both(ids >= begin, ids < end), both(ids >= first, ids <= last))
    allowed = either(
        either(both(both(ids < eot, _flag(rules, RULE_TEXT)), not_blank), both(ids == eot, _flag(rules, RULE_EOT))),
        either(both(is_special, _flag(rules, RULE_SPECIAL)), is_time),
    )
    return torch.where(allowed, logits, _constant(MASKED_LOGIT))


def top_k_tokens(
    layers: LayerBackend, logits: Tensor, ids: Tensor, rules: Tensor, special_ids: SpecialTokenIds, top_k: int
) -> tuple[Tensor, Tensor]:
    """The K best of (R, N, W) after the timestamp rule: (tokens int32 (R, K), log-probabilities float32 (R, K)).

    Of equal ones the lower id comes first.
    """
    masked, total = _apply_timestamp_rule(logits, ids, rules, special_ids)
    values, tokens = layers.top_k(masked, ids, top_k)
    return tokens, values - total.flatten(1)


def log_probabilities(logits: Tensor, ids: Tensor, rules: Tensor, special_ids: SpecialTokenIds) -> Tensor:
    """Those of (R, N, W) after the timestamp rule, float32 (R, n_vocab); below MASKED_LOGPROB for masked tokens."""
    masked, total = _apply_timestamp_rule(logits, ids, rules, special_ids)
    return (masked - total).flatten(1)[:, : special_ids.n_vocab]


def no_speech_probability(logits: Tensor, ids: Tensor, special_ids: SpecialTokenIds) -> Tensor:
    """(1, N, W) -> (1,): that of <|nospeech|> over the whole vocabulary."""
    known = torch.where(ids < _id(special_ids.n_vocab), logits, _constant(MASKED_LOGIT))
    top = _reduce_max(known)
    total = _reduce_sum(torch.exp(known - top)).flatten()
    chosen = logits.flatten(1)[:, special_ids.no_speech]
    return torch.exp(chosen - top.flatten()) / total


def _apply_timestamp_rule(
    logits: Tensor, ids: Tensor, rules: Tensor, special_ids: SpecialTokenIds
) -> tuple[Tensor, Tensor]:
    """(R, N, W) -> (logits masked by the timestamp rule, the logarithm of their sum of exponentials (R, 1, 1)).

    The rule (openai/whisper decoding.py ApplyTimestampRules): when the timestamps' total probability is above
    that of any other token, only timestamps stay. The logarithm is 0 where no token is allowed.
    """
    is_time = ids >= _id(special_ids.timestamp_begin)  # (1, N, W)
    time, rest = _split_at_timestamps(logits, is_time, special_ids.timestamp_begin)
    top_time, top_rest = _reduce_max(time), _reduce_max(rest)
    top = torch.maximum(top_time, top_rest)  # (R, 1, 1)
    time_sum, rest_sum = _reduce_sum(torch.exp(time - top)), _reduce_sum(torch.exp(rest - top))
    # A sum of timestamps that is lost beside a far larger term is not the largest either.
    time_logprob = top + torch.log(torch.maximum(time_sum, _constant(SMALLEST_SUM)))
    only_time = torch.logical_and(time_logprob > top_rest, _flag(rules, RULE_TIMESTAMP_PROB))
    total = top + torch.log(time_sum + torch.where(only_time, _constant(0.0), rest_sum))
    masked = torch.where(torch.logical_and(only_time, torch.logical_not(is_time)), _constant(MASKED_LOGIT), logits)
    return masked, torch.where(top < _constant(MASKED_LOGIT / 2), _constant(0.0), total)


def _split_at_timestamps(logits: Tensor, is_time: Tensor, begin: int) -> tuple[Tensor, Tensor]:
    """(R, N, W) -> (timestamps, other tokens): slices of whole rows, else all with MASKED_LOGIT for the others."""
    if logits.shape[1] == 1:
        return logits[:, :, begin:], logits[:, :, :begin]
    masked_logit = _constant(MASKED_LOGIT)
    return torch.where(is_time, logits, masked_logit), torch.where(is_time, masked_logit, logits)


def _reduce_max(logits: Tensor) -> Tensor:
    """(R, N, W) -> (R, 1, 1)"""
    return logits.amax(2, keepdim=True).amax(1, keepdim=True)


def _reduce_sum(terms: Tensor) -> Tensor:
    """(R, N, W) -> (R, 1, 1)"""
    return terms.sum(2, keepdim=True).sum(1, keepdim=True)


def _rule(rules: Tensor, column: int) -> Tensor:
    """A column of (R, N_RULES) as (R, 1, 1)."""
    return rules[:, column : column + 1].unsqueeze(2)


def _flag(rules: Tensor, column: int) -> Tensor:
    return _rule(rules, column).bool()


def _constant(value: float) -> Tensor:
    """A number of a graph's float32: a Python number would be a float64 one."""
    return torch.full((), value, dtype=torch.float32)


def _id(value: int) -> Tensor:
    """A token's id as int32: a Python number would be an int64 one."""
    return torch.full((), value, dtype=torch.int32)
