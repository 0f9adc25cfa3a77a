"""The interface between plans and their drivers: what a plan yields and what it is sent."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import TypeAlias

from neuron_whisper.decode.window import DecodingResult, WindowRequest
from neuron_whisper.transcript import Segment, SkippedRegion


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmitAction:
    """Decode this window; the plan continues at once. `request_id` identifies it until its result was sent."""

    request_id: int
    request: WindowRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class AwaitAction:
    """Wait for the first of these requests that is done and send (request id, DecodingResult)."""

    request_ids: frozenset[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class TranscriptSummary:
    """The last item of a plan: the whole text and its language; the probability is None if the language was given.

    The language is None where it was not given and no speech was heard to tell it by. `warnings` are sentences for the
    user; `prompt_tokens` is how many tokens of what was given as prompt were used.
    """

    text: str
    language: str | None
    language_probability: float | None
    long_form: str = "sequential"
    warnings: tuple[str, ...] = ()
    prompt_tokens: int = 0


PlanItem: TypeAlias = SubmitAction | AwaitAction | Segment | SkippedRegion | TranscriptSummary
Plan: TypeAlias = Generator[PlanItem, tuple[int, DecodingResult] | None, None]
"""After an AwaitAction the plan is sent its result, after anything else None. A TranscriptSummary comes last."""
