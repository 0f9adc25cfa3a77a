"""Tables of reports in the page of benchmarks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.page import TABLES, main, replace_table
from neuron_whisper.errors import InvalidOption
from tests.support.bench_reports import build_small_report
from tests.support.goal_reports import merged_report, row_result
from tests.support.paths import ROOT

PAGE = "# Page\n\n<!-- goals: begin -->\n| old |\n<!-- goals: end -->\n\nlast\n"


def test_a_table_replaces_what_lies_between_its_marks_again_and_again() -> None:
    once = replace_table(PAGE, "goals", "| new |\n")
    assert once == "# Page\n\n<!-- goals: begin -->\n\n| new |\n\n<!-- goals: end -->\n\nlast\n"
    assert replace_table(once, "goals", "| new |") == once


@pytest.mark.parametrize(
    "page",
    ["no marks", "<!-- goals: begin -->\nno end", "<!-- goals: end -->\n<!-- goals: begin -->\n", PAGE + PAGE],
    ids=["none", "no end", "turned", "twice"],
)
def test_a_page_without_one_pair_of_marks_is_refused(page: str) -> None:
    with pytest.raises(InvalidOption, match="one table between"):
        replace_table(page, "goals", "x")


def test_prose_of_a_table_is_wrapped_and_rows_are_not() -> None:
    row, words = "| " + "a " * 100 + "|", "word " * 60
    table = replace_table(PAGE, "goals", f"{words}\n\n{row}\n\n- {words}")
    assert row in table.splitlines()
    assert max(len(line) for line in table.splitlines() if not line.startswith("|")) <= 118
    assert table.count("word") == 120


def test_the_page_of_this_project_has_a_place_for_every_table() -> None:
    page = (ROOT / "docs" / "benchmarks.md").read_text()
    for name in TABLES:
        assert replace_table(page, name, "x") != page


def test_a_report_becomes_a_table_of_the_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page, report = tmp_path / "page.md", tmp_path / "goals.json"
    page.write_text(PAGE)
    report.write_text(
        json.dumps(merged_report(row_result("neuron-whisper cpu", [1.0]), row_result("faster-whisper int8", [6.0])))
    )
    assert main([f"goals={report}", "--page", str(page)]) == 0
    assert "| cpu | short clips one after another, greedy, s | faster-whisper int8 |" in page.read_text()
    assert page.read_text().endswith("<!-- goals: end -->\n\nlast\n")
    before = page.read_text()
    assert main([f"speed={report}", "--page", str(page)]) == 2
    assert "NAME=JSON with one of goals, parity, accuracy" in capsys.readouterr().err
    assert page.read_text() == before


def test_a_bench_report_says_where_and_how_it_was_measured() -> None:
    text = TABLES["accuracy"](build_small_report())
    assert text.startswith(
        "2026-11-21; A <fast> one, 2 cores, avx512_bf16; 2 clips, 40 s; greedy, temperature 0, 0.2; load 0.25 before it"
    )
    assert "### Beside openai-whisper by language" in text
    assert "| system | WER % |" in text


def test_the_table_of_parity_ends_with_its_goals() -> None:
    report = build_small_report()
    report["systems"][0]["name"] = "neuron-whisper tiny cpu sequential"
    text = TABLES["parity"](report)
    assert "### Goals beside openai-whisper" in text
    assert "- missed: neuron-whisper tiny cpu sequential: same normalised text, en: 0.0 %" in text
