"""How goals are judged and reports merged."""

from __future__ import annotations

import json

import pytest

from benchmarks.goals.markdown import format_markdown
from benchmarks.goals.report import judge_goals, merge_reports
from neuron_whisper.errors import InvalidOption
from tests.support.goal_reports import merged_report, row_result


def test_a_goal_is_met_by_the_ratio_of_medians_with_equal_errors() -> None:
    judged = judge_goals(
        merged_report(
            row_result("neuron-whisper cpu", [2.0, 1.0, 9.0]),
            row_result("faster-whisper int8", [7.0, 1.0, 6.0]),
            row_result("openvino-genai default", [2.0]),
        )
    )
    faster, genai, cpp = (
        next(it for it in judged if it.goal.peer == peer)
        for peer in (
            "faster-whisper",
            "openvino-genai",
            "whisper.cpp",
        )
    )
    assert (faster.ratio, faster.wer_difference, faster.is_met) == (3.0, 0.0, True)
    assert (genai.ratio, genai.is_met) == (1.0, False)
    assert (cpp.ratio, cpp.is_met) == (None, None)  # not measured: not judged


def test_a_faster_text_with_more_errors_meets_no_goal() -> None:
    [faster, *_] = judge_goals(
        merged_report(
            row_result("neuron-whisper cpu", [1.0], ("ask not what", "ask")),
            row_result("faster-whisper int8", [9.0]),
        )
    )
    assert faster.ratio == 9.0
    assert faster.wer_difference == pytest.approx(2 / 6, abs=1e-4)
    assert faster.is_met is False


def test_a_system_that_failed_is_named_and_judged_nowhere() -> None:
    failed = row_result("faster-whisper int8", [1.0])
    failed.error = "its process ended with 1"
    report = merged_report(row_result("neuron-whisper cpu", [1.0]), failed)
    assert judge_goals(report)[0].is_met is None
    assert "short: faster-whisper int8 was not measured: its process ended with 1." in format_markdown(report)


def test_results_of_parts_are_joined_row_by_row_and_the_later_one_holds() -> None:
    first, hour = merged_report(row_result("neuron-whisper cpu", [5.0])), merged_report(row="hour", processor="Q")
    later = merged_report(row_result("neuron-whisper cpu", [4.0]))
    report = merge_reports([hour, first, later])
    assert [(row["name"], row["machine"]) for row in report["rows"]] == [("short", "P"), ("hour", "Q")]
    assert report["rows"][0]["systems"][0]["metrics"]["seconds"]["median"] == 4.0
    assert merge_reports([json.loads(json.dumps(report))]) == json.loads(json.dumps(report))
    with pytest.raises(InvalidOption, match="format 2"):
        merge_reports([{"format": 1, "rows": []}])
