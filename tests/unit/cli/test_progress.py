"""Progress as lines of a log."""

from __future__ import annotations

from pathlib import Path

import pytest

from neuron_whisper.cli.context import CliContext
from neuron_whisper.cli.progress import PlainProgress, show_progress


def test_progress_without_a_terminal_is_a_line_for_each_step_and_each_quarter_of_bytes() -> None:
    lines: list[str] = []
    steps = PlainProgress("steps", lines.append)
    for done, what in enumerate(("encode", "decode")):
        steps(what, done, 2)
    downloaded = PlainProgress("bytes", lines.append)
    for percent in range(101):
        downloaded("base", percent * 1000, 100_000)
    assert lines == [
        "encode (0 of 2 done)",
        "decode (1 of 2 done)",
        "base: 0 B of 100.0 kB",
        "base: 25.0 kB of 100.0 kB",
        "base: 50.0 kB of 100.0 kB",
        "base: 75.0 kB of 100.0 kB",
        "base: 100.0 kB of 100.0 kB",
    ]


def test_nothing_is_shown_when_quiet(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with show_progress(CliContext(cache=tmp_path, quiet=True), "steps") as report:
        report("encode", 0, 2)
    assert capsys.readouterr().err == ""


def test_a_step_that_is_reported_twice_is_one_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with show_progress(CliContext(cache=tmp_path), "steps") as report:
        report("encode", 0, 2)
        report("encode", 0, 2)
    assert capsys.readouterr().err == "encode (0 of 2 done)\n"


def test_bytes_of_unknown_total_have_no_share() -> None:
    lines: list[str] = []
    PlainProgress("bytes", lines.append)("base", 1500, None)
    assert lines == ["base: 1.5 kB"]
