"""StepBatch: the inputs of a session's step, allocated once and filled for each step."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from neuron_whisper.decode.window import StepRequest
from neuron_whisper.target.interfaces import N_RULES, ProgramSpec, StepInputs


class StepBatch:
    """Builds the inputs of Session.decode and Session.logits; used by the engine's thread."""

    def __init__(self, spec: ProgramSpec) -> None:
        self._beams = spec.beams
        self._identity_parents = np.tile(np.arange(spec.beams, dtype=np.int32), spec.slots)
        self._inputs = StepInputs(
            tokens=np.zeros(spec.rows, np.int32),
            positions=np.zeros(spec.rows, np.int32),
            parents=self._identity_parents.copy(),
            rules=np.zeros((spec.rows, N_RULES), np.int32),
            active=np.zeros(spec.slots, np.bool_),
        )

    def fill(self, requests: Iterable[tuple[int, StepRequest]]) -> StepInputs:
        """The inputs for (slot, request) pairs; the next call overwrites them.

        Rows that no window uses are zeros; in an active slot they have the position of the slot.
        """
        beams, inputs = self._beams, self._inputs
        inputs.tokens.fill(0)
        inputs.positions.fill(0)
        inputs.active.fill(False)
        inputs.parents[:] = self._identity_parents
        for slot, request in requests:
            first, n = slot * beams, len(request.tokens)
            inputs.active[slot] = True
            if beams == 1:
                inputs.positions[slot] = request.position
            else:
                inputs.positions[first : first + beams] = request.position
            if n == 1:
                inputs.tokens[first], inputs.rules[first] = request.tokens[0], request.rules[0]
            else:
                inputs.tokens[first : first + n] = request.tokens
                inputs.parents[first : first + n] = request.parents
                inputs.rules[first : first + n] = request.rules
        return inputs
