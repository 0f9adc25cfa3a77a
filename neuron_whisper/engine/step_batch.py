"""StepBatch: the arrays of a session's step, allocated once and filled for each step."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from neuron_whisper.decode.window import StepRequest
from neuron_whisper.target.interfaces import N_RULES, ProgramSpec

StepArrays = tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32], NDArray[np.int32], NDArray[np.bool_]]


class StepBatch:
    """The arguments of Session.decode and Session.logits. Used by the engine's thread."""

    def __init__(self, spec: ProgramSpec) -> None:
        self._beams = spec.beams
        self._tokens, self._positions = np.zeros(spec.rows, np.int32), np.zeros(spec.rows, np.int32)
        self._identity_parents = np.tile(np.arange(spec.beams, dtype=np.int32), spec.slots)
        self._parents = self._identity_parents.copy()
        self._rules = np.zeros((spec.rows, N_RULES), np.int32)
        self._active = np.zeros(spec.slots, np.bool_)

    def fill(self, requests: Iterable[tuple[int, StepRequest]]) -> StepArrays:
        """tokens, positions, parents, rules, active; the next call overwrites them.

        Rows that no window uses are filled with zeros; in an active slot they have the position of the slot.
        """
        tokens, positions, parents, rules, active = (
            self._tokens,
            self._positions,
            self._parents,
            self._rules,
            self._active,
        )
        beams = self._beams
        tokens.fill(0)
        positions.fill(0)
        active.fill(False)
        parents[:] = self._identity_parents
        for slot, request in requests:
            first, n = slot * beams, len(request.tokens)
            active[slot] = True
            if beams == 1:
                positions[slot] = request.position
            else:
                positions[first : first + beams] = request.position
            if n == 1:
                tokens[first], rules[first] = request.tokens[0], request.rules[0]
            else:
                tokens[first : first + n] = request.tokens
                parents[first : first + n] = request.parents
                rules[first : first + n] = request.rules
        return tokens, positions, parents, rules, active
