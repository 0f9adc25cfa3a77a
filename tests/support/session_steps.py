"""Prompts and steps for tests of sessions."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from neuron_whisper.target.interfaces import PrefillOutput, Session, StepInputs, TopTokens
from tests.support.tiny_program import SPECIAL, all_allowed, mel, prefill_inputs

PROMPT = np.array([SPECIAL.sot, SPECIAL.first_language + 1, SPECIAL.transcribe], np.int32)


def encode_and_prefill(
    session: Session, slot: int, window: int = 0, prompt: NDArray[np.int32] = PROMPT, beams: int = 1
) -> PrefillOutput:
    session.encode([slot], mel(1, seed=window))
    return prefill_window(session, slot, prompt, beams=beams)


def prefill_window(session: Session, slot: int, prompt: NDArray[np.int32] = PROMPT, *, beams: int = 1) -> PrefillOutput:
    """Run the prompt on a slot whose window is encoded."""
    return session.prefill(slot, prefill_inputs(prompt, beams=beams))


def step_inputs(
    session: Session,
    tokens: dict[int, int | list[int]],
    position: int,
    *,
    parents: dict[int, list[int]] | None = None,
    rules: NDArray[np.int32] | None = None,
) -> StepInputs:
    """One token for each slot in `tokens`; a list has one for each beam."""
    rows, beams = session.spec.rows, session.spec.beams
    inputs = StepInputs(
        tokens=np.zeros(rows, np.int32),
        positions=np.zeros(rows, np.int32),
        parents=np.tile(np.arange(beams, dtype=np.int32), session.spec.slots),
        rules=all_allowed(rows) if rules is None else rules,
        active=np.zeros(session.spec.slots, np.bool_),
    )
    for slot, value in tokens.items():
        span = slice(slot * beams, (slot + 1) * beams)
        inputs.tokens[span], inputs.positions[span], inputs.active[slot] = value, position, True
        if parents and slot in parents:
            inputs.parents[span] = parents[slot]
    return inputs


def decode_step(
    session: Session,
    tokens: dict[int, int | list[int]],
    position: int,
    *,
    parents: dict[int, list[int]] | None = None,
    rules: NDArray[np.int32] | None = None,
) -> TopTokens:
    return session.decode(step_inputs(session, tokens, position, parents=parents, rules=rules))


def logits_step(
    session: Session,
    tokens: dict[int, int | list[int]],
    position: int,
    *,
    parents: dict[int, list[int]] | None = None,
    rules: NDArray[np.int32] | None = None,
) -> NDArray[np.float32]:
    return session.logits(step_inputs(session, tokens, position, parents=parents, rules=rules)).copy()
