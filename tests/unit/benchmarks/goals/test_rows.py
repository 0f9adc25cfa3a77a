"""Rows and goals fit each other."""

from __future__ import annotations

import pytest

from benchmarks.goals.rows import GOALS, ROWS, select_rows
from neuron_whisper.errors import InvalidOption


def test_every_goal_is_of_a_row_that_has_its_peer_and_its_figure() -> None:
    rows = {row.name: row for row in ROWS}
    for goal in GOALS:
        row = rows[goal.row]
        assert goal.metric in row.metrics
        assert goal.peer in {peer.partition(":")[0] for peer in row.peers}


def test_rows_are_chosen_by_name_in_the_tables_order() -> None:
    assert [row.name for row in select_rows(["hour", "short"])] == ["short", "hour"]
    assert select_rows([]) == ROWS
    with pytest.raises(InvalidOption, match="--rows: 'day' is not allowed; short, long-greedy"):
        select_rows(["day"])
