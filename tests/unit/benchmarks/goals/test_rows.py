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


def test_every_row_has_a_goal_of_the_default_profile() -> None:
    assert {goal.row for goal in GOALS if goal.profile == "cpu"} == {row.name for row in ROWS}


def test_the_fast_profile_is_to_be_farther_ahead_than_the_default() -> None:
    factors = {(goal.profile, goal.row, goal.peer, goal.metric): goal.factor for goal in GOALS}
    assert len(factors) == len(GOALS)
    for goal in GOALS:
        if goal.profile == "cpu-fast":
            assert goal.factor >= factors["cpu", goal.row, goal.peer, goal.metric]


def test_rows_are_chosen_by_name_in_the_tables_order() -> None:
    assert [row.name for row in select_rows(["hour", "short"])] == ["short", "hour"]
    assert select_rows([]) == ROWS
    with pytest.raises(InvalidOption, match="--rows: 'day' is not allowed; short, long-greedy"):
        select_rows(["day"])
