"""The device answers a question: Whisper's rules and the choice of the best tokens, on logits.

decode/rules states the same in numpy and is the specification. Axes: R rows, V padded vocabulary, K choices.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from neuron_whisper.target.interfaces import (
    OFF,
    RULE_BLANK,
    RULE_END,
    RULE_MASS,
    RULE_SPECIAL,
    RULE_TEXT,
    RULE_TIME_FROM,
    RULE_TIME_TO,
    ProgramSpec,
)


@dataclass(frozen=True, slots=True)
class AnswerTokens:
    """The special tokens that the graph knows."""

    n_vocab: int
    eot: int
    first_language: int
    n_languages: int
    no_speech: int
    timestamp_begin: int
    blank: int

    @classmethod
    def of(cls, spec: ProgramSpec) -> AnswerTokens:
        s = spec.special
        return cls(spec.dims.n_vocab, s.eot, s.first_language, s.n_languages, s.no_speech, s.timestamp_begin, s.blank)


def allowed_logits(logits: Tensor, rules: Tensor, tokens: AnswerTokens) -> Tensor:
    """logits (R, V), the slot's bans added; rules (R, N_RULES) int -> what the rules forbid is at OFF.

    Ids from n_vocab on are the vocabulary's padding and always forbidden.
    """
    ids = torch.arange(logits.shape[1], dtype=torch.int32).unsqueeze(0)  # (1, V)
    flag = [rules[:, column : column + 1] for column in range(rules.shape[1])]  # (R, 1) each
    is_text, is_time = ids < tokens.eot, (ids >= tokens.timestamp_begin) & (ids < tokens.n_vocab)
    is_special = (ids > tokens.eot) & (ids < tokens.timestamp_begin)
    allowed = (
        (is_text & (flag[RULE_TEXT] > 0) & ((ids != tokens.blank) | (flag[RULE_BLANK] > 0)))
        | ((ids == tokens.eot) & (flag[RULE_END] > 0))
        | (is_special & (flag[RULE_SPECIAL] > 0))
        | (is_time & (ids >= flag[RULE_TIME_FROM]) & (ids <= flag[RULE_TIME_TO]))
    )
    return torch.where(allowed, logits, OFF)


def best_tokens(logits: Tensor, rules: Tensor, tokens: AnswerTokens, choices: int) -> tuple[Tensor, Tensor]:
    """The K best of (R, V) after the timestamp-mass rule: (tokens int32 (R, K), log-probabilities float32 (R, K))."""
    left, total = _settled(logits, rules, tokens)
    values, indices = _top(left, choices)
    return indices.to(torch.int32), values - total


def log_probabilities(logits: Tensor, rules: Tensor, tokens: AnswerTokens) -> Tensor:
    """Of all of (R, V) after the timestamp-mass rule, float32 (R, n_vocab); what is forbidden is far below."""
    left, total = _settled(logits, rules, tokens)
    return left[:, : tokens.n_vocab] - total


def _settled(logits: Tensor, rules: Tensor, tokens: AnswerTokens) -> tuple[Tensor, Tensor]:
    """(R, V) -> (what the timestamp-mass rule leaves, the logarithm of its sum of exponentials (R, 1)).

    The rule (openai/whisper decoding.py ApplyTimestampRules): when the timestamps' total probability is above
    that of any other token, only timestamps stay. The logarithm is 0 where nothing is allowed.
    """
    begin = tokens.timestamp_begin
    time = logits[:, begin:]
    rest = logits[:, :begin]
    top_rest, top_time = rest.amax(1, keepdim=True), time.amax(1, keepdim=True)
    time_sum = torch.exp(time - top_time).sum(1, keepdim=True)
    time_mass = top_time + torch.log(time_sum)
    only_time = (time_mass > top_rest) & (rules[:, RULE_MASS : RULE_MASS + 1] > 0)
    top = torch.maximum(torch.where(only_time, top_time, top_rest), top_time)
    rest_sum = torch.where(only_time, 0.0, torch.exp(rest - top).sum(1, keepdim=True))
    total = top + torch.log(rest_sum + time_sum * torch.exp(top_time - top))
    ids = torch.arange(logits.shape[1], dtype=torch.int32).unsqueeze(0)
    left = torch.where(only_time & (ids < begin), OFF, logits)
    return left, torch.where(top < OFF / 2, 0.0, total)


def _top(values: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k largest of (R, V): by block maxima, then inside the best k blocks.

    A top-k over the whole vocabulary costs more than the rest of a decode step on a CPU; the k largest lie in
    the k blocks with the largest maxima.
    """
    rows, vocab = values.shape
    side = math.isqrt(vocab - 1) + 1
    padded = torch.nn.functional.pad(values, (0, side * side - vocab), value=2 * OFF)
    blocks = padded.view(rows, side, side)
    k = min(k, side)
    best_blocks = torch.topk(blocks.amax(2), k, dim=1).indices  # (R, k)
    inside = torch.gather(blocks, 1, best_blocks.unsqueeze(2).expand(rows, k, side)).reshape(rows, k * side)
    ids = best_blocks.unsqueeze(2) * side + torch.arange(side)
    top, where = torch.topk(inside, k, dim=1)
    return top, torch.gather(ids.reshape(rows, k * side), 1, where)
