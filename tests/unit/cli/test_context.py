"""What every command shares: cache directory, verbosity, logging."""

from __future__ import annotations

from pathlib import Path

from tests.support.cli_runs import Cli


def test_a_traceback_is_shown_with_verbose_only(cli: Cli, tmp_path: Path) -> None:
    assert "Traceback" not in cli("artifacts", "show", "nothing", "--cache", tmp_path / "none").err
    done = cli("artifacts", "show", "nothing", "--cache", tmp_path / "none", "--verbose")
    assert done.code == 3
    assert "Traceback" in done.err
    assert done.err.endswith("error: no artifact 'nothing'; none is stored\n")
