"""Whisper's rules for the next token, in numpy: the specification that graph/answer.py is held to.

Follows openai/whisper decoding.py: SuppressBlank, SuppressTokens, ApplyTimestampRules.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neuron_whisper.decode.options import WindowOptions
from neuron_whisper.target.interfaces import (
    N_RULES,
    RULE_BLANK,
    RULE_END,
    RULE_MASS,
    RULE_SPECIAL,
    RULE_TEXT,
    RULE_TIME_FROM,
    RULE_TIME_TO,
)
from neuron_whisper.text.special_tokens import TIMESTAMP_STEP_S, SpecialTokens

NO_RULES = np.array([1, 1, 1, 1, 0, np.iinfo(np.int32).max, 0], np.int32)
"""Everything is allowed: the answer of a prompt that only detects the language."""


def banned_mask(n_vocab: int, special: SpecialTokens, options: WindowOptions) -> NDArray[np.bool_]:
    """(n_vocab,) tokens that stay forbidden through the window."""
    banned = np.zeros(n_vocab, np.bool_)
    banned[list(options.suppressed)] = True
    if not options.without_timestamps:
        banned[special.no_timestamps] = True
    return banned


def next_rules(sampled: Sequence[int], special: SpecialTokens, options: WindowOptions) -> NDArray[np.int32]:
    """The rules row (N_RULES,) for the token after `sampled`, the window's tokens so far without the prompt.

    [] -> a timestamp of at most max_initial_timestamp_s; ["<|0.00|>"] -> text or the end, no timestamp ...
    """
    rules = np.zeros(N_RULES, np.int32)
    is_first = not sampled
    begin = special.timestamp_begin
    rules[[RULE_TEXT, RULE_END, RULE_SPECIAL, RULE_BLANK]] = 1
    rules[RULE_TIME_FROM], rules[RULE_TIME_TO] = begin, special.timestamp_end
    if is_first and options.suppress_blank:
        rules[[RULE_BLANK, RULE_END]] = 0
    if options.without_timestamps:
        return rules
    rules[RULE_MASS] = 1
    if is_first:
        rules[[RULE_TEXT, RULE_END, RULE_SPECIAL]] = 0
        if options.max_initial_timestamp_s is not None:
            rules[RULE_TIME_TO] = begin + round(options.max_initial_timestamp_s / TIMESTAMP_STEP_S)
        return rules
    last_is_time = sampled[-1] >= begin
    pair_is_closed = len(sampled) < 2 or sampled[-2] >= begin
    last_time = next((token for token in reversed(sampled) if token >= begin), None)
    if last_time is not None:
        # never back; a segment that begins must not end where it begins
        opens = last_is_time and not pair_is_closed
        rules[RULE_TIME_FROM] = last_time if opens else last_time + 1
    if last_is_time:
        if pair_is_closed:
            rules[RULE_TIME_TO] = begin - 1  # none: text must follow a pair
        else:
            rules[RULE_TEXT] = 0  # the second of the pair, or the end
    return rules


@dataclass(frozen=True, slots=True)
class RuleState:
    """How a sequence ends, as far as the rules care. `row` is next_rules of it: shared, not to be written to."""

    row: NDArray[np.int32]
    ends_in_time: bool
    last_time: int | None


class RuleBook:
    """next_rules of sequences that grow by one token at a time, without a look back. Used by one thread.

    The rules see no more of a sequence than its last timestamp and whether the last two tokens are timestamps, so
    a short sequence stands for all that end alike: text after text changes nothing.
    """

    def __init__(self, special: SpecialTokens, options: WindowOptions) -> None:
        self._special, self._options = special, options
        self._begin = special.timestamp_begin
        self._states: dict[tuple[int, ...], RuleState] = {}
        self.first = self._state(())

    def after(self, state: RuleState, token: int) -> RuleState:
        """The state of a sequence in `state` with the token added."""
        if token >= self._begin:
            follows_text = state is not self.first and not state.ends_in_time
            return self._state((0, token) if follows_text else (token,))
        if state is self.first or state.ends_in_time:
            return self._state((0,) if state.last_time is None else (state.last_time, 0))
        return state

    def _state(self, like: tuple[int, ...]) -> RuleState:
        found = self._states.get(like)
        if found is None:
            times = [token for token in like if token >= self._begin]
            found = self._states[like] = RuleState(
                next_rules(like, self._special, self._options),
                ends_in_time=bool(like) and like[-1] >= self._begin,
                last_time=times[-1] if times else None,
            )
        return found


def apply_rules(
    logits: NDArray[np.float32], rules: NDArray[np.int32], banned: NDArray[np.bool_], special: SpecialTokens
) -> NDArray[np.float32]:
    """logits (V,) -> log-probabilities (V,), -inf where forbidden. V is the true vocabulary."""
    ids = np.arange(len(logits))
    allowed = np.zeros(len(logits), np.bool_)
    allowed[: special.eot] = bool(rules[RULE_TEXT])
    if not rules[RULE_BLANK]:
        allowed[special.blank] = False
    allowed[special.eot] = bool(rules[RULE_END])
    allowed[special.eot + 1 : special.timestamp_begin] = bool(rules[RULE_SPECIAL])
    is_time = ids >= special.timestamp_begin
    allowed |= is_time & (ids >= rules[RULE_TIME_FROM]) & (ids <= rules[RULE_TIME_TO])
    allowed &= ~banned
    logprobs = _log_softmax(np.where(allowed, logits, -np.inf))
    if rules[RULE_MASS] and _logsumexp(logprobs[is_time]) > logprobs[~is_time].max():
        logprobs = _log_softmax(np.where(is_time, logprobs, -np.inf))
    return logprobs.astype(np.float32)


def _logsumexp(values: NDArray[np.floating]) -> float:
    top = values.max()
    return -np.inf if top == -np.inf else float(top + np.log(np.exp(values - top).sum()))


def _log_softmax(values: NDArray[np.floating]) -> NDArray[np.floating]:
    total = _logsumexp(values)
    return values if total == -np.inf else values - total
