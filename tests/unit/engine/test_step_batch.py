"""The arrays of a decode step."""

from __future__ import annotations

import numpy as np
import pytest

from neuron_whisper.decode.window import StepRequest
from neuron_whisper.engine.step_batch import StepBatch
from neuron_whisper.target.interfaces import N_RULES
from tests.support.tiny_program import spec


def step_request(tokens: list[int], parents: list[int], position: int, rule: int) -> StepRequest:
    rules = [np.full(N_RULES, rule + n, np.int32) for n in range(len(tokens))]
    return StepRequest(tokens=tokens, parents=parents, position=position, rules=rules, needs_logits=False)


def test_a_steps_rows_hold_nothing_of_the_step_before() -> None:
    rows = StepBatch(spec(slots=3, beams=2))
    rows.add(0, step_request([7, 8], [1, 1], 5, 20))
    rows.add(2, step_request([9], [0], 6, 30))
    rows.clear()
    rows.add(1, step_request([3, 4], [1, 0], 2, 40))
    step = rows.inputs
    assert step.tokens.tolist() == [0, 0, 3, 4, 0, 0]
    assert step.positions.tolist() == [0, 0, 2, 2, 0, 0]
    assert step.parents.tolist() == [0, 1, 1, 0, 0, 1]
    assert (step.rules[2].tolist(), step.rules[3].tolist()) == ([40] * N_RULES, [41] * N_RULES)
    assert step.active.tolist() == [False, True, False]


@pytest.mark.parametrize("token", [2**40, "seven"])
def test_a_slot_whose_request_cannot_be_written_stays_idle(token: object) -> None:
    rows = StepBatch(spec(slots=2, beams=2))
    rows.add(1, step_request([9], [0], 6, 30))
    with pytest.raises((OverflowError, ValueError)):
        rows.add(0, step_request([token], [0], 5, 20))  # type: ignore[list-item]  # as a bug would
    assert rows.inputs.active.tolist() == [False, True]
    assert rows.inputs.tokens.tolist() == [0, 0, 9, 0]
