"""The cheapest path through a cost matrix, against openai-whisper's."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from neuron_whisper.decode.dtw import dtw


def test_the_path_goes_where_it_is_cheap() -> None:
    rows, columns = dtw(np.array([[0, 9, 9], [9, 0, 0]]))
    assert (rows.tolist(), columns.tolist()) == ([0, 1, 1], [0, 1, 2])


@given(arrays.arrays(np.float64, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.floats(-4, 4, width=32)))
def test_a_path_is_monotonic_and_leads_from_corner_to_corner(cost: NDArray[np.float64]) -> None:
    rows, columns = dtw(cost)
    assert (rows[0], columns[0], rows[-1] + 1, columns[-1] + 1) == (0, 0, *cost.shape)
    steps = np.diff([rows, columns])
    assert ((steps >= 0) & (steps <= 1)).all()
    assert (steps.sum(axis=0) >= 1).all()


def test_the_path_is_the_cheapest_of_all() -> None:
    cost = np.random.default_rng(0).standard_normal((4, 4))

    def cheapest(row: int, column: int) -> float:
        if row < 0 or column < 0:
            return np.inf
        before = [cheapest(row - 1, column - 1), cheapest(row - 1, column), cheapest(row, column - 1)]
        return float(cost[row, column]) + (0.0 if row == column == 0 else min(before))

    assert cost[dtw(cost)].sum() == pytest.approx(cheapest(3, 3))
