"""Tables of reports in the page of benchmarks."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from benchmarks.page import TABLES, format_accuracy, format_parity, main, replace_table
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
    assert main([f"goals={report}", "--build", str(tmp_path / "none"), "--page", str(page)]) == 0
    assert "| cpu | short clips one after another, greedy, s | faster-whisper int8 |" in page.read_text()
    assert page.read_text().endswith("<!-- goals: end -->\n\nlast\n")
    before = page.read_text()
    assert main([f"speed={report}", "--page", str(page)]) == 2
    assert "NAME=FILE with one of goals, parity, accuracy" in capsys.readouterr().err
    assert page.read_text() == before


PRINTED = "2026-11-28; a machine.\n\n# Shares\n\n| graph | ms |\n| --- | ---: |\n| encode | 1 |\n"


def write_build(folder: Path) -> Path:
    """A folder of reports: goals, and what make bench-profile prints."""
    folder.mkdir()
    (folder / "goals.json").write_text(json.dumps(merged_report(row_result("neuron-whisper cpu", [1.0]))))
    (folder / "use.md").write_text(PRINTED)
    return folder


def test_every_report_of_the_folder_is_put_in_and_what_makes_the_others_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    build, page = write_build(tmp_path / "build"), tmp_path / "page.md"
    page.write_text(PAGE + "<!-- use: begin -->\nold\n<!-- use: end -->\n")
    assert main(["--build", str(build), "--page", str(page)]) == 0
    assert "## Shares\n\n| graph | ms |\n| --- | ---: |\n| encode | 1 |" in page.read_text()
    assert "old" not in page.read_text()
    said = dict(line.split(": ", 1) for line in capsys.readouterr().err.splitlines())
    assert said.keys() == TABLES.keys()
    assert said["use"] == f"from {build / 'use.md'}"
    assert said["parity"] == "left as it is; make parity makes its report"


def test_a_page_without_a_place_for_one_of_the_reports_is_left_as_it_is(tmp_path: Path) -> None:
    build, page = write_build(tmp_path / "build"), tmp_path / "page.md"
    page.write_text(PAGE)
    assert main(["--build", str(build), "--page", str(page)]) == 2
    assert page.read_text() == PAGE


@pytest.mark.parametrize("name", ["goals", "use"])
@pytest.mark.parametrize("content", [None, "no report", "\xff"], ids=["no file", "text", "bytes"])
def test_what_is_no_report_is_refused_and_the_page_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, content: str | None
) -> None:
    page, report = tmp_path / "page.md", tmp_path / "a report"
    page.write_text(PAGE)
    if content is not None:
        report.write_bytes(content.encode("latin-1"))
    assert main([f"{name}={report}", "--page", str(page), "--build", str(tmp_path)]) == 2
    assert str(report) in capsys.readouterr().err
    assert page.read_text() == PAGE


def test_a_folder_without_reports_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "page.md"
    page.write_text(PAGE)
    assert main(["--build", str(tmp_path), "--page", str(page)]) == 2
    assert "make bench-peers" in capsys.readouterr().err


def test_every_table_is_made_by_a_target_that_leaves_its_report_in_the_folder() -> None:
    makefile = (ROOT / "Makefile").read_text().replace("$(CHECK)", "words")
    for table in TABLES.values():
        assert f"\n{table.command.split()[1]}:" in makefile
        folder = Path("build", table.file.replace("hallucination", "words").replace("timeline", "words"))
        left = str(folder) in makefile or (folder.parent != Path("build") and str(folder.parent) in makefile)
        assert left, table.file


def test_an_origin_has_date_machine_versions_and_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--origin", "make bench-profile"]) == 0
    printed = capsys.readouterr().out
    assert re.match(r"\d{4}-\d{2}-\d{2}; .*, \d+ cores, .*`make bench-profile`; neuron-whisper .*, openvino ", printed)
    assert printed.endswith(".\n\n")


def test_a_bench_report_says_where_and_how_it_was_measured() -> None:
    text = format_accuracy(build_small_report())
    assert text.startswith(
        "2026-11-21; A <fast> one, 2 cores, avx512_bf16; 2 clips, 40 s; greedy, temperature 0, 0.2; load 0.25 before it"
    )
    assert "### Beside openai-whisper by language" in text
    assert "| system | WER % |" in text


def test_the_table_of_parity_ends_with_its_goals() -> None:
    report = build_small_report()
    report["systems"][0]["name"] = "neuron-whisper tiny cpu sequential"
    text = format_parity(report)
    assert "### Goals beside openai-whisper" in text
    assert "- missed: neuron-whisper tiny cpu sequential: same normalised text, en: 0.0 %" in text
