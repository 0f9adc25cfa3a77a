"""What every command shares: cache directory, verbosity, logging."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import rich_click as click

from neuron_whisper.artifact.store import StoredArtifacts
from neuron_whisper.cli.context import CliContext, with_context
from tests.support.cli_runs import Cli


def test_a_traceback_is_shown_with_verbose_only(cli: Cli, tmp_path: Path) -> None:
    assert "Traceback" not in cli("artifacts", "show", "nothing", "--cache", tmp_path / "none").err
    done = cli("artifacts", "show", "nothing", "--cache", tmp_path / "none", "--verbose")
    assert done.code == 3
    assert "Traceback" in done.err
    assert done.err.endswith("error: no artifact 'nothing'; none is stored\n")


def test_quiet_prints_no_progress(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    CliContext(cache=tmp_path, quiet=True).info("compiling")
    assert capsys.readouterr().err == ""
    CliContext(cache=tmp_path).info("compiling")
    assert capsys.readouterr().err == "compiling\n"


@pytest.mark.parametrize("flags", [[], ["--quiet"], ["-q"], ["--verbose"]])
def test_warnings_of_the_log_are_printed_also_when_quiet(flags: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    @click.command()
    @with_context
    def warn(context: CliContext) -> None:
        logging.getLogger("neuron_whisper.longform.planner").warning("no voice detector")

    logger = logging.getLogger("neuron_whisper")
    level, handlers = logger.level, logger.handlers[:]
    try:
        warn.main(flags, standalone_mode=False)
    finally:
        logger.setLevel(level)
        logger.handlers[:] = handlers
    assert capsys.readouterr().err.endswith("WARNING neuron_whisper.longform.planner: no voice detector\n")


def test_the_cache_is_the_flags_then_the_environments(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEURON_WHISPER_CACHE", str(tmp_path / "variable"))
    assert str(tmp_path / "variable") in cli("artifacts", "list").err
    assert str(tmp_path / "flag") in cli("artifacts", "list", "--cache", tmp_path / "flag").err


def test_a_store_is_created_closed_to_others(tmp_path: Path) -> None:
    store = CliContext(cache=tmp_path / "cache").create_store()
    assert store.list_artifacts() == StoredArtifacts()
    assert (tmp_path / "cache").stat().st_mode & 0o777 == 0o700
