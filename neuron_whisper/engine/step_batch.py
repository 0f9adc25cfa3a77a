"""StepBatch: the arguments of a session's step, filled anew for each and allocated once."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from neuron_whisper.decode.window import StepRequest
from neuron_whisper.target.interfaces import N_RULES, ProgramSpec

StepArrays = tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32], NDArray[np.int32], NDArray[np.bool_]]


class StepBatch:
    """Arguments of Session.decode and Session.logits; used by the engine's thread."""

    def __init__(self, spec: ProgramSpec) -> None:
        self._beams = spec.beams
        self._tokens, self._positions = np.zeros(spec.rows, np.int32), np.zeros(spec.rows, np.int32)
        self._identity_parents = np.tile(np.arange(spec.beams, dtype=np.int32), spec.slots)
        self._parents = self._identity_parents.copy()
        self._rules = np.zeros((spec.rows, N_RULES), np.int32)
        self._active = np.zeros(spec.slots, np.bool_)

    def fill(self, requests: Iterable[tuple[int, StepRequest]]) -> StepArrays:
        """tokens, positions, parents, rules, active; the next call overwrites them.

        Rows that nobody asks for are fed zeros, those of a slot that is in use stand at its position.
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
        for slot, ask in requests:
            first, n = slot * beams, len(ask.tokens)
            active[slot] = True
            if beams == 1:
                positions[slot] = ask.position
            else:
                positions[first : first + beams] = ask.position
            if n == 1:
                tokens[first], rules[first] = ask.tokens[0], ask.rules[0]
            else:
                tokens[first : first + n] = ask.tokens
                parents[first : first + n] = ask.parents
                rules[first : first + n] = ask.rules
        return tokens, positions, parents, rules, active
