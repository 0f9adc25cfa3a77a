"""Token decoders: greedy, beam search and sampling, one instance for each temperature of a window. Pure.

Axes: n rows of the decoder (beams or samples), K top tokens, V vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import reduce
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from neuron_whisper.decode.rules import RuleState, TokenRules
from neuron_whisper.decode.window_options import WindowOptions
from neuron_whisper.text.special_tokens import SpecialTokens

Tokens = NDArray[np.int32]
Logprobs = NDArray[np.float32]


@dataclass(slots=True)
class TokenSequence:
    """A partial sequence: sampled tokens without the end token, each with its log-probability.

    `state` holds the rules for the next token.
    """

    state: RuleState
    tokens: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    sum_logprob: float = 0.0
    is_ended: bool = False

    def with_token(self, token: int, logprob: float, config: DecoderConfig) -> TokenSequence:
        total = self.sum_logprob + logprob
        if token == config.special.eot:
            return TokenSequence(self.state, self.tokens, self.logprobs, total, True)
        state = config.rules.advance(self.state, token)
        return TokenSequence(state, [*self.tokens, token], [*self.logprobs, logprob], total)

    def append(self, token: int, logprob: float, config: DecoderConfig) -> None:
        """As with_token, in place."""
        self.sum_logprob += logprob
        if token == config.special.eot:
            self.is_ended = True
        else:
            self.tokens.append(token)
            self.logprobs.append(logprob)
            self.state = config.rules.advance(self.state, token)

    @property
    def avg_logprob(self) -> float:
        """Average over the tokens and the end token, as in openai/whisper."""
        return self.sum_logprob / (len(self.tokens) + 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class DecoderConfig:
    """Options and rules of a decoder. A sequence of `max_tokens` ends without an end token. One thread uses `rules`.

    `prefix_tokens` are in the prompt, and the rules continue from them as if they had been sampled.
    """

    special: SpecialTokens
    options: WindowOptions
    max_tokens: int
    prefix_tokens: Sequence[int] = ()
    rules: TokenRules = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "rules", TokenRules(self.special, self.options))

    def start_sequence(self) -> TokenSequence:
        return TokenSequence(reduce(self.rules.advance, self.prefix_tokens, self.rules.initial_state))

    def score(self, sequence: TokenSequence) -> float:
        """Ranks sequences, the highest is best: openai/whisper decoding.py MaximumLikelihoodRanker."""
        return sequence.sum_logprob / self._length_divisor(len(sequence.tokens))

    def bound_score(self, sequence: TokenSequence) -> float:
        """The highest score that the sequence may end with: tokens of probability 1 may follow, up to the maximum."""
        lengths = len(sequence.tokens), self._longest(sequence)
        return max(sequence.sum_logprob / self._length_divisor(length) for length in lengths)

    def bound_avg_logprob(self, sequence: TokenSequence) -> float:
        """The highest average log-probability that the sequence may end with."""
        return sequence.sum_logprob / (self._longest(sequence) + 1)

    def _longest(self, sequence: TokenSequence) -> int:
        length = len(sequence.tokens)
        return length if sequence.is_ended else max(self.max_tokens, length)

    def _length_divisor(self, length: int) -> float:
        length, alpha = max(1, length), self.options.length_penalty
        return length if alpha is None else ((5 + length) / 6) ** alpha

    def find_contenders(self, sequences: Sequence[TokenSequence]) -> list[TokenSequence]:
        """Finds those that may be best in the end: the best that has ended, and what may overtake it, best now first.

        The score of one that has not ended may fall, so it overtakes nothing yet.
        """
        ended = max((it for it in sequences if it.is_ended), key=self.score, default=None)
        least = -math.inf if ended is None else self.score(ended)
        contenders = [it for it in sequences if it is ended or (not it.is_ended and self.bound_score(it) >= least)]
        return sorted(contenders, key=self.score, reverse=True)


class TokenDecoder(Protocol):
    """Call `begin`, then alternate `next_tokens` and `receive` (or `receive_logits`) until `best` is not None.

    All rows have one length: the token of row r goes to position prompt_length + length - 1.
    """

    rows: int
    needs_logits: bool

    @property
    def length(self) -> int:
        """Tokens sampled so far."""

    @property
    def best(self) -> TokenSequence | None: ...

    def list_contenders(self) -> list[TokenSequence]:
        """Lists the sequences so far of which one, or what it grows to, is `best` in the end; the best now first.

        None if others are still to be drawn.
        """

    def next_rules(self) -> list[NDArray[np.int32]]:
        """The rules row (N_RULES,) of each row's next token."""

    def begin(self, tokens: Tokens, logprobs: Logprobs) -> None:
        """Takes the prefill's top tokens, (K,) each."""

    def next_tokens(self) -> tuple[list[int], list[int]]:
        """(tokens, parents) by row; a token of -1 stands for the prompt's last token."""

    def receive(self, tokens: Tokens, logprobs: Logprobs) -> None:
        """Takes the top tokens of each row, (n, K)."""

    def receive_logits(self, logprobs: Logprobs) -> None:
        """Takes the log-probabilities of each row, (n, V)."""


class GreedyDecoder:
    """Takes the likeliest token at each step."""

    rows = 1
    needs_logits = False

    def __init__(self, config: DecoderConfig) -> None:
        self._config = config
        self._sequence = config.start_sequence()

    @property
    def length(self) -> int:
        return len(self._sequence.tokens)

    @property
    def best(self) -> TokenSequence | None:
        is_done = self._sequence.is_ended or self.length >= self._config.max_tokens
        return self._sequence if is_done else None

    def list_contenders(self) -> list[TokenSequence]:
        return [self._sequence]

    def next_rules(self) -> list[NDArray[np.int32]]:
        return [self._sequence.state.row]

    def begin(self, tokens: Tokens, logprobs: Logprobs) -> None:
        self._sequence.append(int(tokens[0]), float(logprobs[0]), self._config)

    def next_tokens(self) -> tuple[list[int], list[int]]:
        return [self._sequence.tokens[-1]], [0]

    def receive(self, tokens: Tokens, logprobs: Logprobs) -> None:
        self.begin(tokens[0], logprobs[0])

    def receive_logits(self, logprobs: Logprobs) -> None:
        raise AssertionError("greedy decoding takes top tokens")


class BeamSearchDecoder:
    """Follows openai/whisper decoding.py BeamSearchDecoder and MaximumLikelihoodRanker.

    Each step keeps the `rows` best continuations of all beams; finished sequences are collected until there are
    beam_size * patience of them.
    """

    needs_logits = False

    def __init__(self, config: DecoderConfig) -> None:
        beam_size = config.options.beam_size
        assert beam_size is not None
        self._config, self.rows = config, beam_size
        self._max_ended = round(beam_size * (config.options.patience or 1.0))
        self._beams: list[TokenSequence] = [config.start_sequence()]
        self._parents: list[int] = [0]
        self._ended: list[TokenSequence] = []

    @property
    def length(self) -> int:
        return len(self._beams[0].tokens) if self._beams else 0

    @property
    def best(self) -> TokenSequence | None:
        is_done = not self._beams or len(self._ended) >= self._max_ended or self.length >= self._config.max_tokens
        return max(self._collect_candidates(), key=self._config.score) if is_done else None

    def _collect_candidates(self) -> list[TokenSequence]:
        """Finished sequences, filled up with the best unfinished ones if there are too few."""
        missing = max(0, self.rows - len(self._ended))
        rest = sorted(self._beams, key=lambda beam: beam.sum_logprob, reverse=True)
        return [*self._ended, *rest[:missing]] or [self._config.start_sequence()]

    def list_contenders(self) -> list[TokenSequence]:
        return self._config.find_contenders([*self._ended, *self._beams])

    def next_rules(self) -> list[NDArray[np.int32]]:
        return [beam.state.row for beam in self._beams]

    def begin(self, tokens: Tokens, logprobs: Logprobs) -> None:
        self._extend(tokens[None], logprobs[None])

    def next_tokens(self) -> tuple[list[int], list[int]]:
        return [beam.tokens[-1] for beam in self._beams], self._parents

    def receive(self, tokens: Tokens, logprobs: Logprobs) -> None:
        self._extend(tokens, logprobs)

    def _extend(self, tokens: Tokens, logprobs: Logprobs) -> None:
        n, k = len(self._beams), self.rows + 1
        sums = np.array([beam.sum_logprob for beam in self._beams])
        scores = (sums[:, None] + logprobs[:n, :k]).ravel()
        order = np.argsort(-scores, kind="stable")
        order = order[np.isfinite(scores[order])]
        width = scores.size // n
        ordered_tokens = tokens[:n, :k].ravel()[order].tolist()
        ordered_logprobs = logprobs[:n, :k].ravel()[order].tolist()
        beams: list[TokenSequence] = []
        parents: list[int] = []
        ended: list[TokenSequence] = []
        for parent, token, logprob in zip((order // width).tolist(), ordered_tokens, ordered_logprobs, strict=True):
            extended = self._beams[parent].with_token(token, logprob, self._config)
            if extended.is_ended:
                ended.append(extended)
                continue
            beams.append(extended)
            parents.append(parent)
            if len(beams) == self.rows:
                break
        self._ended += ended[: max(0, self._max_ended - len(self._ended))]
        self._beams, self._parents = beams, parents

    def receive_logits(self, logprobs: Logprobs) -> None:
        raise AssertionError("beam search takes top tokens")


class SamplingDecoder:
    """Draws `best_of` sequences at a temperature, up to `rows` of them at a time, and returns the best.

    Every sequence has its own random generator, so that its tokens do not depend on the others drawn with it.
    """

    needs_logits = True

    def __init__(self, config: DecoderConfig, temperature: float, *, rows: int, seed: Sequence[int]) -> None:
        best_of = config.options.best_of or 1
        self.rows = min(rows, best_of)
        self._config, self._temperature = config, temperature
        self._pending_generators = [np.random.default_rng([*seed, number]) for number in range(best_of)]
        self._done: list[TokenSequence] = []
        self._best: TokenSequence | None = None
        self._begin_round()

    def _begin_round(self) -> None:
        self._generators, self._pending_generators = (
            self._pending_generators[: self.rows],
            self._pending_generators[self.rows :],
        )
        self._sequences = [self._config.start_sequence() for _ in self._generators]
        self._steps = 0

    @property
    def length(self) -> int:
        return self._steps

    @property
    def best(self) -> TokenSequence | None:
        return self._best

    def list_contenders(self) -> list[TokenSequence]:
        if self._pending_generators:
            return []
        return self._config.find_contenders([*self._done, *self._sequences])

    def next_rules(self) -> list[NDArray[np.int32]]:
        return [sequence.state.row for sequence in self._sequences]

    def begin(self, tokens: Tokens, logprobs: Logprobs) -> None:
        """Draws nothing: the top tokens are not the whole distribution, so the prompt's last token is run again."""

    def next_tokens(self) -> tuple[list[int], list[int]]:
        # a finished sequence keeps its row until the round ends; its output is ignored
        return [sequence.tokens[-1] if sequence.tokens else -1 for sequence in self._sequences], list(
            range(len(self._sequences))
        )

    def receive(self, tokens: Tokens, logprobs: Logprobs) -> None:
        raise AssertionError("sampling takes log-probabilities")

    def receive_logits(self, logprobs: Logprobs) -> None:
        self._steps += 1
        for sequence, generator, row in zip(self._sequences, self._generators, logprobs, strict=False):
            if not sequence.is_ended:
                token = sample(row, self._temperature, float(generator.random()))
                sequence.append(token, float(row[token]), self._config)
        if all(sequence.is_ended for sequence in self._sequences) or self._steps >= self._config.max_tokens:
            self._done += self._sequences
            if self._pending_generators:
                self._begin_round()
            else:
                self._best = max(self._done, key=self._config.score)


def sample(logprobs: Logprobs, temperature: float, quantile: float) -> int:
    """Picks the token at `quantile` (0 to 1) of the distribution exp(logprobs / temperature); never one at -inf."""
    scaled = logprobs.astype(np.float64) / temperature
    mass = np.cumsum(np.exp(scaled - scaled.max()))
    token = int(np.searchsorted(mass, quantile * mass[-1], side="right"))
    return min(token, int(np.flatnonzero(np.isfinite(logprobs))[-1]))
