"""The goals as Markdown tables."""

from __future__ import annotations

import pytest

from benchmarks.goals.markdown import format_markdown
from benchmarks.goals.rows import LEFT_OUT
from tests.support.goal_reports import merged_report, row_result


def test_the_tables_have_as_many_cells_in_every_row_and_count_what_is_met() -> None:
    text = format_markdown(
        merged_report(row_result("neuron-whisper cpu", [1.0, 2.0]), row_result("faster-whisper int8", [6.0, 6.5]))
    )
    tables = [block.splitlines() for block in text.split("\n\n") if block.startswith("|")]
    assert len(tables) == 2
    for lines in tables:
        assert {line.count("|") for line in lines} == {lines[0].count("|")}
    assert "| cpu | short clips one after another, greedy, s | faster-whisper int8 | 1.50 | 6.25 | 4.17 | 2 |" in text
    assert "1 of 2 goals are met, **1 not judged**." in text
    assert "2: 1.00 to 2.00" in text
    assert "missed" not in text


def test_each_missed_goal_is_named_with_its_figure() -> None:
    text = format_markdown(
        merged_report(row_result("neuron-whisper cpu", [1.0]), row_result("faster-whisper int8", [1.5]))
    )
    assert (
        "- missed: cpu, short clips one after another, greedy, s, against faster-whisper int8: 1.50 times; "
        "goal: 2 times\n"
    ) in text


@pytest.mark.parametrize(("load", "is_loud"), [(0.0, False), (0.5, False), (0.51, True), (7.0, True)])
def test_a_load_above_a_half_before_the_run_is_said_in_bold(load: float, is_loud: bool) -> None:
    text = format_markdown(merged_report(row_result("neuron-whisper cpu", [1.0]), load_before=load))
    assert (f"**The load average was {load:g} before this run began" in text) is is_loud


def test_machine_load_and_stolen_time_stand_in_the_notes() -> None:
    text = format_markdown(merged_report(row_result("neuron-whisper cpu", [1.0])))
    assert (
        "P, 2 cores, 2400 to 3100 MHz, avx2, load 0.1 before it began, processors busy 95.0 %, 1.2 % stolen by the host"
    ) in text
    assert "load before it 0.5, processors busy 93.1 %, 0.4 % stolen by the host." in text


def test_nothing_is_said_of_what_the_machine_does_not_tell() -> None:
    report = merged_report(row_result("neuron-whisper cpu", [1.0]))
    for facts in (report, report["rows"][0]):
        del facts["steal_share"]
    report["machine"]["frequencies_mhz"] = []
    text = format_markdown(report)
    assert "stolen" not in text
    assert "P, 2 cores, avx2, load 0.1 before it began;" in text


def test_peers_that_are_left_out_are_listed_with_the_reason() -> None:
    text = format_markdown(merged_report(row_result("neuron-whisper cpu", [1.0])))
    assert LEFT_OUT
    assert all(f"- left out: {name}: {reason}." in text for name, reason in LEFT_OUT.items())
