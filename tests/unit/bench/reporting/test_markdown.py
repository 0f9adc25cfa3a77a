"""Markdown tables."""

from __future__ import annotations

from neuron_whisper.bench.reporting.markdown import escape_cell, format_table


def test_the_first_columns_are_left_and_the_others_right() -> None:
    assert format_table(["a", "b"], [["x", 1], ["y", 2.5]]) == "| a | b |\n| --- | ---: |\n| x | 1 |\n| y | 2.5 |"
    assert format_table(["a", "b"], [], left=2) == "| a | b |\n| --- | --- |"


def test_a_bar_is_escaped_and_a_line_break_is_a_space() -> None:
    assert escape_cell("a|b\n  c") == "a\\|b c"
