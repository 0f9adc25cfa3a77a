"""Whisper's rules and the choice of the most probable tokens, applied to logits on the device.

decode/rules does the same in numpy and is the specification. Axes: R rows, V padded vocabulary, K tokens.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

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


def mask_logits(logits: Tensor, rules: Tensor, special_ids: SpecialTokenIds) -> Tensor:
    """logits (R, V), rules (R, N_RULES) int -> logits with MASKED_LOGIT for tokens that the rules forbid.

    Ids from n_vocab on are padding of the vocabulary and always masked.
    """
    ids = torch.arange(logits.shape[1], dtype=torch.int32).unsqueeze(0)  # (1, V)
    flag = [rules[:, column : column + 1] for column in range(rules.shape[1])]  # (R, 1) each
    is_text, is_time = ids < special_ids.eot, (ids >= special_ids.timestamp_begin) & (ids < special_ids.n_vocab)
    is_special = (ids > special_ids.eot) & (ids < special_ids.timestamp_begin)
    allowed = (
        (is_text & (flag[RULE_TEXT] > 0) & ((ids != special_ids.blank) | (flag[RULE_BLANK] > 0)))
        | ((ids == special_ids.eot) & (flag[RULE_EOT] > 0))
        | (is_special & (flag[RULE_SPECIAL] > 0))
        | (is_time & (ids >= flag[RULE_TIMESTAMP_MIN]) & (ids <= flag[RULE_TIMESTAMP_MAX]))
    )
    return torch.where(allowed, logits, MASKED_LOGIT)


def top_k_tokens(logits: Tensor, rules: Tensor, special_ids: SpecialTokenIds, top_k: int) -> tuple[Tensor, Tensor]:
    """The K best of (R, V) after the timestamp rule: (tokens int32 (R, K), log-probabilities float32 (R, K))."""
    masked, total = _apply_timestamp_rule(logits, rules, special_ids)
    values, indices = _top_k(masked, top_k)
    return indices.to(torch.int32), values - total


def log_probabilities(logits: Tensor, rules: Tensor, special_ids: SpecialTokenIds) -> Tensor:
    """Those of (R, V) after the timestamp rule, float32 (R, n_vocab); below MASKED_LOGPROB for masked tokens."""
    masked, total = _apply_timestamp_rule(logits, rules, special_ids)
    return masked[:, : special_ids.n_vocab] - total


def _apply_timestamp_rule(logits: Tensor, rules: Tensor, special_ids: SpecialTokenIds) -> tuple[Tensor, Tensor]:
    """(R, V) -> (logits masked by the timestamp rule, the logarithm of their sum of exponentials (R, 1)).

    The rule (openai/whisper decoding.py ApplyTimestampRules): when the timestamps' total probability is above
    that of any other token, only timestamps stay. The logarithm is 0 where no token is allowed.
    """
    begin = special_ids.timestamp_begin
    time = logits[:, begin:]
    rest = logits[:, :begin]
    top_rest, top_time = rest.amax(1, keepdim=True), time.amax(1, keepdim=True)
    time_sum = torch.exp(time - top_time).sum(1, keepdim=True)
    time_logprob = top_time + torch.log(time_sum)
    only_time = (time_logprob > top_rest) & (rules[:, RULE_TIMESTAMP_PROB : RULE_TIMESTAMP_PROB + 1] > 0)
    top = torch.maximum(torch.where(only_time, top_time, top_rest), top_time)
    rest_sum = torch.where(only_time, 0.0, torch.exp(rest - top).sum(1, keepdim=True))
    total = top + torch.log(rest_sum + time_sum * torch.exp(top_time - top))
    ids = torch.arange(logits.shape[1], dtype=torch.int32).unsqueeze(0)
    masked = torch.where(only_time & (ids < begin), MASKED_LOGIT, logits)
    return masked, torch.where(top < MASKED_LOGIT / 2, 0.0, total)


def _top_k(values: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k largest of (R, V), found among the k blocks with the largest maxima.

    A top-k over the whole vocabulary costs more than the rest of a decode step on a CPU; the k largest lie in
    these k blocks.
    """
    rows, vocab = values.shape
    side = math.isqrt(vocab - 1) + 1
    padded = torch.nn.functional.pad(values, (0, side * side - vocab), value=2 * MASKED_LOGIT)
    blocks = padded.view(rows, side, side)
    k = min(k, side)
    best_blocks = torch.topk(blocks.amax(2), k, dim=1).indices  # (R, k)
    inside = torch.gather(blocks, 1, best_blocks.unsqueeze(2).expand(rows, k, side)).reshape(rows, k * side)
    ids = best_blocks.unsqueeze(2) * side + torch.arange(side)
    top, where = torch.topk(inside, k, dim=1)
    return top, torch.gather(ids.reshape(rows, k * side), 1, where)
