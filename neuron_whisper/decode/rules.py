"""Whisper's rules for the next token in numpy: the specification of graph/logit_processor.py.

Follows openai/whisper decoding.py: SuppressBlank, SuppressTokens, ApplyTimestampRules.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neuron_whisper.decode.window_options import WindowOptions
from neuron_whisper.target.interfaces import (
    N_RULES,
    RULE_BLANK,
    RULE_EOT,
    RULE_SPECIAL,
    RULE_TEXT,
    RULE_TIMESTAMP_MAX,
    RULE_TIMESTAMP_MIN,
    RULE_TIMESTAMP_PROB,
)
from neuron_whisper.text.special_tokens import TIMESTAMP_STEP_S, SpecialTokens

ALLOW_ALL_RULES = np.array([1, 1, 1, 1, 0, np.iinfo(np.int32).max, 0], np.int32)
"""Everything is allowed: for a prompt that only detects the language."""


def build_suppression_mask(n_vocab: int, special: SpecialTokens, options: WindowOptions) -> NDArray[np.bool_]:
    """Builds (n_vocab,): True for tokens suppressed through the whole window."""
    suppressed = np.zeros(n_vocab, np.bool_)
    suppressed[list(options.suppress_tokens)] = True
    if not options.without_timestamps:
        suppressed[special.no_timestamps] = True
    return suppressed


def compute_rules(sampled: Sequence[int], special: SpecialTokens, options: WindowOptions) -> NDArray[np.int32]:
    """Computes the rules row (N_RULES,) for the token after `sampled`, the window's tokens without the prompt.

    [] -> a timestamp of at most max_initial_timestamp_s; ["<|0.00|>"] -> text or the end, no timestamp ...
    """
    rules = np.zeros(N_RULES, np.int32)
    is_first = not sampled
    begin = special.timestamp_begin
    rules[[RULE_TEXT, RULE_EOT, RULE_SPECIAL, RULE_BLANK]] = 1
    rules[RULE_TIMESTAMP_MIN], rules[RULE_TIMESTAMP_MAX] = begin, special.timestamp_end
    if is_first and options.suppress_blank:
        rules[[RULE_BLANK, RULE_EOT]] = 0
    if options.without_timestamps:
        return rules
    rules[RULE_TIMESTAMP_PROB] = 1
    if is_first:
        rules[[RULE_TEXT, RULE_EOT, RULE_SPECIAL]] = 0
        if options.max_initial_timestamp_s is not None:
            rules[RULE_TIMESTAMP_MAX] = begin + round(options.max_initial_timestamp_s / TIMESTAMP_STEP_S)
        return rules
    last_is_time = sampled[-1] >= begin
    pair_is_closed = len(sampled) < 2 or sampled[-2] >= begin
    last_time = next((token for token in reversed(sampled) if token >= begin), None)
    if last_time is not None:
        # timestamps never decrease; a segment must not end where it begins
        opens = last_is_time and not pair_is_closed
        rules[RULE_TIMESTAMP_MIN] = last_time if opens else last_time + 1
    if last_is_time:
        if pair_is_closed:
            rules[RULE_TIMESTAMP_MAX] = begin - 1  # none: text must follow a pair
        else:
            rules[RULE_TEXT] = 0  # the second timestamp of the pair, or the end
    return rules


@dataclass(frozen=True, slots=True)
class RuleState:
    """How a sequence ends, as far as the rules depend on it. `row` is compute_rules of it: shared, read-only."""

    row: NDArray[np.int32]
    ends_in_timestamp: bool
    last_timestamp: int | None


class TokenRules:
    """Caches compute_rules for sequences that grow by one token at a time. Used by one thread.

    The rules depend only on a sequence's last timestamp and on whether its last two tokens are timestamps, so a
    short sequence stands for all with the same ending: text after text changes nothing.
    """

    def __init__(self, special: SpecialTokens, options: WindowOptions) -> None:
        self._special, self._options = special, options
        self._begin = special.timestamp_begin
        self._states: dict[tuple[int, ...], RuleState] = {}
        self.initial_state = self._find_state(())

    def advance(self, state: RuleState, token: int) -> RuleState:
        """The state after `token` is added to a sequence in `state`."""
        if token >= self._begin:
            follows_text = state is not self.initial_state and not state.ends_in_timestamp
            return self._find_state((0, token) if follows_text else (token,))
        if state is self.initial_state or state.ends_in_timestamp:
            return self._find_state((0,) if state.last_timestamp is None else (state.last_timestamp, 0))
        return state

    def _find_state(self, ending: tuple[int, ...]) -> RuleState:
        found = self._states.get(ending)
        if found is None:
            times = [token for token in ending if token >= self._begin]
            found = self._states[ending] = RuleState(
                compute_rules(ending, self._special, self._options),
                ends_in_timestamp=bool(ending) and ending[-1] >= self._begin,
                last_timestamp=times[-1] if times else None,
            )
        return found


def apply_rules(
    logits: NDArray[np.float32], rules: NDArray[np.int32], suppressed: NDArray[np.bool_], special: SpecialTokens
) -> NDArray[np.float32]:
    """Turns logits (V,) into log-probabilities (V,), -inf where forbidden. V is the vocabulary without padding."""
    ids = np.arange(len(logits))
    allowed = np.zeros(len(logits), np.bool_)
    allowed[: special.eot] = bool(rules[RULE_TEXT])
    if not rules[RULE_BLANK]:
        allowed[special.blank] = False
    allowed[special.eot] = bool(rules[RULE_EOT])
    allowed[special.eot + 1 : special.timestamp_begin] = bool(rules[RULE_SPECIAL])
    is_time = ids >= special.timestamp_begin
    allowed |= is_time & (ids >= rules[RULE_TIMESTAMP_MIN]) & (ids <= rules[RULE_TIMESTAMP_MAX])
    allowed &= ~suppressed
    logprobs = _log_softmax(np.where(allowed, logits, -np.inf))
    if rules[RULE_TIMESTAMP_PROB] and _logsumexp(logprobs[is_time]) > logprobs[~is_time].max():
        logprobs = _log_softmax(np.where(is_time, logprobs, -np.inf))
    return logprobs.astype(np.float32)


def _logsumexp(values: NDArray[np.floating]) -> float:
    top = values.max()
    return -np.inf if top == -np.inf else float(top + np.log(np.exp(values - top).sum()))


def _log_softmax(values: NDArray[np.floating]) -> NDArray[np.floating]:
    total = _logsumexp(values)
    return values if total == -np.inf else values - total
