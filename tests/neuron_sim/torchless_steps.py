"""A few calls of a session for a process that cannot import torch."""

from __future__ import annotations

from typing import Any

import numpy as np

from neuron_whisper.target.interfaces import Session, StepInputs
from tests.support.session_steps import PROMPT
from tests.support.tiny_program import all_allowed, mel, prefill_inputs


def run_steps(session: Session) -> list[Any]:
    """Tokens of a prompt and three steps after it in slot 1."""
    spec = session.spec
    session.encode([1], mel(1, seed=5))
    row = spec.beams
    tokens = [session.prefill(1, prefill_inputs(PROMPT)).top_tokens.tokens[0].tolist()]
    for position in range(3, 6):
        fed, at = np.zeros(spec.rows, np.int32), np.zeros(spec.rows, np.int32)
        fed[row], at[row] = tokens[-1][0], position
        step = StepInputs(
            tokens=fed,
            positions=at,
            parents=np.zeros(spec.rows, np.int32),
            rules=all_allowed(spec.rows),
            active=np.arange(spec.slots) == 1,
        )
        tokens.append(session.decode(step).tokens[row].tolist())
    return tokens
