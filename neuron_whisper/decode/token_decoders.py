"""Attempts: one way each of decoding a window at one temperature - greedy, beam search, sampling. Pure.

Axes: n rows of the attempt (beams or samples), K choices, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import reduce
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from neuron_whisper.decode.constraints import RuleBook, RuleState
from neuron_whisper.decode.options import WindowOptions
from neuron_whisper.text.special_tokens import SpecialTokens

Tokens = NDArray[np.int32]
Logprobs = NDArray[np.float32]


@dataclass(slots=True)
class Hypo:
    """A sequence on its way: sampled tokens without the end, each with its log-probability.

    `state` says what may come next.
    """

    state: RuleState
    tokens: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    sum_logprob: float = 0.0
    is_ended: bool = False

    def with_token(self, token: int, logprob: float, limits: Limits) -> Hypo:
        total = self.sum_logprob + logprob
        if token == limits.special.eot:
            return Hypo(self.state, self.tokens, self.logprobs, total, True)
        state = limits.book.after(self.state, token)
        return Hypo(state, [*self.tokens, token], [*self.logprobs, logprob], total)

    def take(self, token: int, logprob: float, limits: Limits) -> None:
        """As with_token, in place."""
        self.sum_logprob += logprob
        if token == limits.special.eot:
            self.is_ended = True
        else:
            self.tokens.append(token)
            self.logprobs.append(logprob)
            self.state = limits.book.after(self.state, token)

    @property
    def avg_logprob(self) -> float:
        """By tokens and their end, as openai/whisper counts."""
        return self.sum_logprob / (len(self.tokens) + 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """`most_tokens` of a sequence: it ends there without an end token. One thread uses its `book`.

    `said` are tokens in the prompt that the rules go on from, as if they had been sampled.
    """

    special: SpecialTokens
    options: WindowOptions
    most_tokens: int
    said: Sequence[int] = ()
    book: RuleBook = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "book", RuleBook(self.special, self.options))

    def begun(self) -> Hypo:
        return Hypo(reduce(self.book.after, self.said, self.book.first))

    def score(self, hypo: Hypo) -> float:
        """What the best sequence has most of: openai/whisper decoding.py MaximumLikelihoodRanker."""
        length = max(1, len(hypo.tokens))
        alpha = self.options.length_penalty
        return hypo.sum_logprob / (length if alpha is None else ((5 + length) / 6) ** alpha)


class Attempt(Protocol):
    """Alternate `step` and `receive` (or `receive_logits`) until `best` is there; before that comes `begin`.

    All rows are of one length: the token of row r goes to position prompt_length + length - 1.
    """

    rows: int
    wants_logits: bool

    @property
    def length(self) -> int:
        """Tokens sampled so far."""

    @property
    def best(self) -> Hypo | None: ...

    def rules(self) -> list[NDArray[np.int32]]:
        """What may come next, by row."""

    def begin(self, tokens: Tokens, logprobs: Logprobs) -> None:
        """The prompt's answer, (K,) each."""

    def step(self) -> tuple[list[int], list[int]]:
        """(tokens, parents) by row; a token of -1 stands for the prompt's last one."""

    def receive(self, tokens: Tokens, logprobs: Logprobs) -> None:
        """The best choices of each row, (n, K)."""

    def receive_logits(self, logprobs: Logprobs) -> None:
        """The log-probabilities of each row, (n, V)."""


class Greedy:
    """The likeliest token each time."""

    rows = 1
    wants_logits = False

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._hypo = limits.begun()

    @property
    def length(self) -> int:
        return len(self._hypo.tokens)

    @property
    def best(self) -> Hypo | None:
        is_done = self._hypo.is_ended or self.length >= self._limits.most_tokens
        return self._hypo if is_done else None

    @property
    def sampled(self) -> Sequence[int]:
        return self._hypo.tokens

    def give_up(self) -> Hypo:
        return self._hypo

    def rules(self) -> list[NDArray[np.int32]]:
        return [self._hypo.state.row]

    def begin(self, tokens: Tokens, logprobs: Logprobs) -> None:
        self._hypo.take(int(tokens[0]), float(logprobs[0]), self._limits)

    def step(self) -> tuple[list[int], list[int]]:
        return [self._hypo.tokens[-1]], [0]

    def receive(self, tokens: Tokens, logprobs: Logprobs) -> None:
        self.begin(tokens[0], logprobs[0])

    def receive_logits(self, logprobs: Logprobs) -> None:
        raise AssertionError("greedy decoding asks for choices")


class BeamSearch:
    """Follows openai/whisper decoding.py BeamSearchDecoder and MaximumLikelihoodRanker.

    Each step the `rows` best continuations of all beams stay; those that end are put aside until there are
    beam_size * patience of them.
    """

    wants_logits = False

    def __init__(self, limits: Limits) -> None:
        beam_size = limits.options.beam_size
        assert beam_size is not None
        self._limits, self.rows = limits, beam_size
        self._most_ended = round(beam_size * (limits.options.patience or 1.0))
        self._beams: list[Hypo] = [limits.begun()]
        self._parents: list[int] = [0]
        self._ended: list[Hypo] = []

    @property
    def length(self) -> int:
        return len(self._beams[0].tokens) if self._beams else 0

    @property
    def best(self) -> Hypo | None:
        is_done = not self._beams or len(self._ended) >= self._most_ended or self.length >= self._limits.most_tokens
        return max(self._candidates(), key=self._limits.score) if is_done else None

    def _candidates(self) -> list[Hypo]:
        """What ended; filled up with the best that did not, where too few did."""
        missing = max(0, self.rows - len(self._ended))
        rest = sorted(self._beams, key=lambda beam: beam.sum_logprob, reverse=True)
        return [*self._ended, *rest[:missing]] or [self._limits.begun()]

    def rules(self) -> list[NDArray[np.int32]]:
        return [beam.state.row for beam in self._beams]

    def begin(self, tokens: Tokens, logprobs: Logprobs) -> None:
        self._extend(tokens[None], logprobs[None])

    def step(self) -> tuple[list[int], list[int]]:
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
        chosen, told = tokens[:n, :k].ravel()[order].tolist(), logprobs[:n, :k].ravel()[order].tolist()
        beams: list[Hypo] = []
        parents: list[int] = []
        ended: list[Hypo] = []
        for parent, token, logprob in zip((order // width).tolist(), chosen, told, strict=True):
            made = self._beams[parent].with_token(token, logprob, self._limits)
            if made.is_ended:
                ended.append(made)
                continue
            beams.append(made)
            parents.append(parent)
            if len(beams) == self.rows:
                break
        self._ended += ended[: max(0, self._most_ended - len(self._ended))]
        self._beams, self._parents = beams, parents

    def receive_logits(self, logprobs: Logprobs) -> None:
        raise AssertionError("beam search asks for choices")


class Sampling:
    """The best of `best_of` sequences drawn at a temperature, up to `rows` of them side by side.

    Every sequence draws from a generator of its own, so that it does not matter beside which others it is drawn.
    """

    wants_logits = True

    def __init__(self, limits: Limits, temperature: float, *, rows: int, seed: Sequence[int]) -> None:
        best_of = limits.options.best_of or 1
        self.rows = min(rows, best_of)
        self._limits, self._temperature = limits, temperature
        self._waiting = [np.random.default_rng([*seed, number]) for number in range(best_of)]
        self._done: list[Hypo] = []
        self._best: Hypo | None = None
        self._begin_round()

    def _begin_round(self) -> None:
        self._draws, self._waiting = self._waiting[: self.rows], self._waiting[self.rows :]
        self._hypos = [self._limits.begun() for _ in self._draws]
        self._steps = 0

    @property
    def length(self) -> int:
        return self._steps

    @property
    def best(self) -> Hypo | None:
        return self._best

    def rules(self) -> list[NDArray[np.int32]]:
        return [hypo.state.row for hypo in self._hypos]

    def begin(self, tokens: Tokens, logprobs: Logprobs) -> None:
        """Nothing is drawn from the best choices alone: the prompt's last token is asked again."""

    def step(self) -> tuple[list[int], list[int]]:
        # a sequence that ended goes on beside the others, and nobody reads what it is answered
        return [hypo.tokens[-1] if hypo.tokens else -1 for hypo in self._hypos], list(range(len(self._hypos)))

    def receive(self, tokens: Tokens, logprobs: Logprobs) -> None:
        raise AssertionError("sampling asks for log-probabilities")

    def receive_logits(self, logprobs: Logprobs) -> None:
        self._steps += 1
        for hypo, draw, row in zip(self._hypos, self._draws, logprobs, strict=False):
            if not hypo.is_ended:
                token = sample(row, self._temperature, float(draw.random()))
                hypo.take(token, float(row[token]), self._limits)
        if all(hypo.is_ended for hypo in self._hypos) or self._steps >= self._limits.most_tokens:
            self._done += self._hypos
            if self._waiting:
                self._begin_round()
            else:
                self._best = max(self._done, key=self._limits.score)


def sample(logprobs: Logprobs, temperature: float, chance: float) -> int:
    """The token at `chance` (0 to 1) of the distribution exp(logprobs / temperature); never one at -inf."""
    scaled = logprobs.astype(np.float64) / temperature
    mass = np.cumsum(np.exp(scaled - scaled.max()))
    token = int(np.searchsorted(mass, chance * mass[-1], side="right"))
    return min(token, int(np.flatnonzero(np.isfinite(logprobs))[-1]))
