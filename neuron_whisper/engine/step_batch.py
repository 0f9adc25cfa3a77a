"""StepBatch: the inputs of a session's step, allocated once and filled for each step."""

from __future__ import annotations

import numpy as np

from neuron_whisper.decode.window import StepRequest
from neuron_whisper.target.interfaces import N_RULES, ProgramSpec, StepInputs


class StepBatch:
    """Builds `inputs`, those of Session.decode and Session.logits; used by the engine's thread."""

    def __init__(self, spec: ProgramSpec) -> None:
        self._beams = spec.beams
        self._identity_parents = np.tile(np.arange(spec.beams, dtype=np.int32), spec.slots)
        self.inputs = StepInputs(
            tokens=np.zeros(spec.rows, np.int32),
            positions=np.zeros(spec.rows, np.int32),
            parents=self._identity_parents.copy(),
            rules=np.zeros((spec.rows, N_RULES), np.int32),
            active=np.zeros(spec.slots, np.bool_),
        )

    def clear(self) -> None:
        """Make every slot idle."""
        inputs = self.inputs
        inputs.tokens.fill(0)
        inputs.positions.fill(0)
        inputs.active.fill(False)
        inputs.parents[:] = self._identity_parents

    def add(self, slot: int, request: StepRequest) -> None:
        """Set the rows of a slot; those that no window uses are zeros, at the position of the slot.

        After an exception the slot is idle, and its rows are valid.
        """
        beams, inputs = self._beams, self.inputs
        first, n = slot * beams, len(request.tokens)
        if n == 1:
            inputs.rules[first] = request.rules[0]
            inputs.tokens[first] = request.tokens[0]
        else:
            inputs.rules[first : first + n] = request.rules
            inputs.parents[first : first + n] = request.parents
            inputs.tokens[first : first + n] = request.tokens
        if beams == 1:
            inputs.positions[slot] = request.position
        else:
            inputs.positions[first : first + beams] = request.position
        inputs.active[slot] = True
