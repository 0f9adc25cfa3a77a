"""The runs that a step's slots are split into."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuron_whisper.target.cpu.runtime.step_spans import MAX_IDLE_ROWS, split_into_spans


def find_spans(active: list[int], width: int, slots: int = 8) -> list[tuple[int, int]]:
    spans = split_into_spans(np.isin(np.arange(slots), active), width)
    return [(span.start, span.stop) for span in spans]


@pytest.mark.parametrize(
    ("active", "width", "spans"),
    [
        ([], 1, []),
        ([3], 1, [(3, 4)]),
        ([0, 1, 2], 1, [(0, 3)]),
        ([0, 3], 1, [(0, 4)]),
        ([0, 4], 1, [(0, 1), (4, 5)]),
        ([0, 2, 7], 1, [(0, 3), (7, 8)]),
        ([0, 1, 7], 5, [(0, 2), (7, 8)]),
        ([0, 2, 7], 5, [(0, 1), (2, 3), (7, 8)]),
    ],
)
def test_many_idle_rows_side_by_side_are_in_no_run(active: list[int], width: int, spans: list[tuple[int, int]]) -> None:
    assert find_spans(active, width) == spans


@given(active=st.lists(st.booleans(), min_size=1, max_size=32), width=st.integers(1, 8))
def test_every_active_slot_is_in_one_run_and_few_idle_ones_are(active: list[bool], width: int) -> None:
    spans = split_into_spans(np.array(active), width)
    covered = [slot for span in spans for slot in range(span.start, span.stop)]
    assert sorted(set(covered)) == covered
    assert {slot for slot, is_active in enumerate(active) if is_active} <= set(covered)
    for span in spans:
        assert active[span.start]
        assert active[span.stop - 1]
        idle = [not is_active for is_active in active[span]]
        longest = max(len(run) for run in "".join("i" if it else " " for it in idle).split(" "))
        assert longest * width <= MAX_IDLE_ROWS
