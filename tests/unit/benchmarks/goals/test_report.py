"""How goals are judged and reports merged."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.goals.markdown import describe_miss, format_markdown
from benchmarks.goals.measure import RowResult
from benchmarks.goals.report import choose_exit_code, judge_goals, merge_reports, read_report
from neuron_whisper.errors import InvalidOption
from tests.support.goal_reports import merged_report, row_result


def test_a_goal_is_met_by_the_ratio_of_medians_with_equal_errors() -> None:
    faster, genai = judge_goals(
        merged_report(
            row_result("neuron-whisper cpu", [2.0, 1.0, 9.0]),
            row_result("faster-whisper int8", [4.0, 1.0, 6.0]),
            row_result("openvino-genai default", [2.2]),
        )
    )
    assert (faster.goal.peer, genai.goal.peer) == ("faster-whisper", "openvino-genai")
    assert (faster.ratio, faster.wer_difference, faster.is_met) == (2.0, 0.0, True)
    assert (genai.ratio, genai.is_met) == (1.1, False)


def test_a_peer_counts_with_its_best_system() -> None:
    [faster, genai] = judge_goals(
        merged_report(
            row_result("neuron-whisper cpu", [1.0]),
            row_result("faster-whisper int8", [1.5]),
            row_result("faster-whisper float32", [9.0]),
            row_result("openvino-genai default", [1.5]),
            row_result("openvino-genai int8", [1.1]),
        )
    )
    assert (faster.their_name, faster.is_met) == ("faster-whisper int8", False)
    assert (genai.their_name, genai.is_met) == ("openvino-genai int8", False)


def test_each_profile_has_its_own_goals_and_others_have_none() -> None:
    peer = row_result("faster-whisper int8", [2.5])
    profiles = [row_result(f"neuron-whisper {name}", [1.0]) for name in ("cpu-exact", "cpu", "cpu-fast", "tiny")]
    judged = judge_goals(merged_report(*profiles, peer))
    met = {it.goal.profile: it.is_met for it in judged if it.goal.peer == "faster-whisper"}
    assert met == {"cpu": True, "cpu-fast": False}  # 2 and 3 times
    assert judge_goals(merged_report(row_result("neuron-whisper cpu-exact", [1.0]), peer)) == []


def test_a_peer_that_was_not_measured_is_named_with_the_reason_and_its_goal_is_not_judged() -> None:
    failed = row_result("faster-whisper:best", [])
    failed.peer, failed.error = "faster-whisper", "not installed"
    report = merged_report(row_result("neuron-whisper cpu", [1.0]), failed)
    assert [it.is_met for it in judge_goals(report)] == [None, None]
    text = format_markdown(report)
    work = "cpu, short clips one after another, greedy"
    assert f"- not judged: {work}, against faster-whisper: not installed" in text
    assert f"- not judged: {work}, against openvino-genai: it was not measured" in text
    assert "0 of 2 goals are met, **2 not judged**." in text


OURS, FASTER, GENAI = (
    row_result(name, [seconds])
    for name, seconds in (("neuron-whisper cpu", 1.0), ("faster-whisper int8", 9.0), ("openvino-genai int8", 9.0))
)


@pytest.mark.parametrize(
    ("results", "code"),
    [
        ([OURS, FASTER, GENAI], 0),
        ([OURS, FASTER, row_result("openvino-genai int8", [1.0])], 1),
        ([OURS, row_result("faster-whisper int8", [1.0])], 1),  # one missed, one not judged
        ([OURS, FASTER], 3),
        ([OURS], 3),
        ([row_result("neuron-whisper cpu-exact", [1.0]), FASTER, GENAI], 3),
        ([row_result("neuron-whisper mine", [1.0])], 3),
    ],
    ids=["all met", "missed", "missed and not judged", "a peer less", "no peer", "no goals", "a profile of one's own"],
)
def test_only_a_run_in_which_every_goal_is_judged_and_met_ends_with_0(results: list[RowResult], code: int) -> None:
    assert choose_exit_code(judge_goals(merged_report(*results))) == code


def test_a_run_without_goals_says_which_profiles_have_some() -> None:
    text = format_markdown(merged_report(row_result("neuron-whisper cpu-exact", [1.0]), FASTER))
    assert text.startswith("**Nothing was judged**: no profile was measured that has goals; cpu and cpu-fast have.")


@pytest.mark.parametrize("content", [None, b"", b"[]", b"\xff"], ids=["no file", "empty", "a list", "bytes"])
def test_what_is_no_report_is_refused_by_its_name(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "a.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InvalidOption, match=r"a\.json"):
        read_report(path)


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
    assert describe_miss(faster).endswith("9.00 times; goal: 2 times; WER 33.33 % against 0.00 %")


@pytest.mark.parametrize(("ours", "is_met"), [(110e6, True), (111e6, False)])
def test_a_tenth_more_memory_is_allowed_whatever_the_errors(ours: float, is_met: bool) -> None:
    verdicts = judge_goals(
        merged_report(
            row_result("neuron-whisper cpu", [], ("ask", "ask"), first_s=[1.0], anonymous_bytes=[ours]),
            row_result("faster-whisper int8", [], first_s=[1.01], anonymous_bytes=[100e6]),
            row="process",
        )
    )
    first, memory = verdicts
    assert (first.goal.metric, first.is_met) == ("first_s", True)
    assert (memory.goal.metric, memory.is_met) == ("anonymous_bytes", is_met)


def test_a_system_that_failed_is_named_and_a_failure_of_ours_reaches_no_goal() -> None:
    failed = row_result("faster-whisper int8", [1.0])
    failed.error = "its process ended with 1"
    report = merged_report(row_result("neuron-whisper cpu", [1.0]), failed)
    assert judge_goals(report)[0].is_met is None
    assert "short: faster-whisper int8 was not measured: its process ended with 1." in format_markdown(report)
    ours = row_result("neuron-whisper cpu", [])
    ours.error = "no memory"
    report = merged_report(ours, row_result("faster-whisper int8", [1.0]))
    assert judge_goals(report)[0].is_met is False
    assert "against faster-whisper int8: no memory; goal: 2 times" in format_markdown(report)


def test_results_of_parts_are_joined_row_by_row_and_the_later_one_holds() -> None:
    first, hour = merged_report(row_result("neuron-whisper cpu", [5.0])), merged_report(row="hour", processor="Q")
    later = merged_report(row_result("neuron-whisper cpu", [4.0]))
    report = merge_reports([hour, first, later])
    assert [(row["name"], row["machine"]) for row in report["rows"]] == [("short", "P"), ("hour", "Q")]
    assert report["rows"][0]["systems"][0]["metrics"]["seconds"]["median"] == 4.0
    assert merge_reports([json.loads(json.dumps(report))]) == json.loads(json.dumps(report))
    with pytest.raises(InvalidOption, match="format 3"):
        merge_reports([{"format": 1, "rows": []}])


def test_the_load_before_joined_results_is_the_highest() -> None:
    noisy, quiet = merged_report(load_before=1.5), merged_report(load_before=0.2)
    assert merge_reports([noisy, quiet])["load_before"] == 1.5
