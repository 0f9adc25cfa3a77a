"""The goals as Markdown tables."""

from __future__ import annotations

from benchmarks.goals.markdown import format_markdown
from tests.support.goal_reports import merged_report, row_result


def test_the_tables_have_as_many_cells_in_every_row_and_count_what_is_met() -> None:
    text = format_markdown(
        merged_report(row_result("neuron-whisper cpu", [1.0, 2.0]), row_result("faster-whisper int8", [6.0, 6.5]))
    )
    tables = [block.splitlines() for block in text.split("\n\n") if block.startswith("|")]
    assert len(tables) == 2
    for lines in tables:
        assert {line.count("|") for line in lines} == {lines[0].count("|")}
    assert "| short clips one after another, greedy, s | faster-whisper int8 | 1.50 | 6.25 | 4.17 | 3 |" in text
    assert "1 of 1 goals are met by neuron-whisper cpu." in text
    assert "2: 1.00 to 2.00" in text
