"""What a plan yields and what it is sent: the words that plans and their drivers speak."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import TypeAlias

from neuron_whisper.decode.window import Hypothesis, WindowAsk
from neuron_whisper.transcript import Dropped, Segment

FRAMES_PER_S = 100  # mel frames


@dataclass(frozen=True, slots=True, kw_only=True)
class Submit:
    """Decode this window; the plan goes on at once. `ticket` names it until its answer was sent."""

    ticket: int
    ask: WindowAsk


@dataclass(frozen=True, slots=True, kw_only=True)
class Await:
    """The plan wants the first of these tickets that is done: it is sent (ticket, Hypothesis)."""

    tickets: frozenset[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a plan knows beyond its segments when it ends. `language_probability` is None where it was given."""

    text: str
    language: str
    language_probability: float | None
    long_form: str = "sequential"


Item: TypeAlias = Submit | Await | Segment | Dropped | Outcome
Plan: TypeAlias = Generator[Item, tuple[int, Hypothesis] | None, None]
"""After an Await the plan is sent its answer, after anything else None. An Outcome comes last."""
