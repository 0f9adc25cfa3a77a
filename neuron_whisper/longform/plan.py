"""What a plan yields and what it is sent: the words that plans and their drivers speak."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import TypeAlias

from neuron_whisper.decode.window import DecodingResult, WindowRequest
from neuron_whisper.transcript import Segment, SkippedRegion

FRAMES_PER_S = 100  # mel frames


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmitAction:
    """Decode this window; the plan goes on at once. `request_id` names it until its answer was sent."""

    request_id: int
    request: WindowRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class AwaitAction:
    """The plan wants the first of these tickets that is done: it is sent (ticket, Hypothesis)."""

    request_ids: frozenset[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class TranscriptSummary:
    """What a plan knows beyond its segments when it ends. `language_probability` is None where it was given."""

    text: str
    language: str
    language_probability: float | None
    long_form: str = "sequential"


PlanItem: TypeAlias = SubmitAction | AwaitAction | Segment | SkippedRegion | TranscriptSummary
Plan: TypeAlias = Generator[PlanItem, tuple[int, DecodingResult] | None, None]
"""After an Await the plan is sent its answer, after anything else None. An Outcome comes last."""
