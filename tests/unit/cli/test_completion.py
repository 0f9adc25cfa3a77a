"""Completion scripts, and the values that are completed."""

from __future__ import annotations

from pathlib import Path

import pytest
import rich_click as click
from click.shell_completion import ShellComplete

from neuron_whisper.cli.completion import COMPLETE_VARIABLE, PROGRAM, SHELLS, complete_artifacts
from neuron_whisper.cli.main import cli, run
from tests.support.command_lines import root_context


def complete(*words: str) -> list[str]:
    """The completions of the last word after the words before it."""
    completions = ShellComplete(cli, {}, PROGRAM, COMPLETE_VARIABLE).get_completions(list(words[:-1]), words[-1])
    return [item.value for item in completions if item.type == "plain"]


@pytest.mark.parametrize("shell", SHELLS)
def test_each_shell_has_a_script_that_calls_the_program(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert COMPLETE_VARIABLE in script
    assert PROGRAM in script


def test_an_unknown_shell_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["completion", "tcsh"]) == 2
    assert "'tcsh' is not one of" in capsys.readouterr().err


def test_commands_models_profiles_and_peers_are_completed() -> None:
    assert complete("tran") == ["transcribe"]
    assert complete("transcribe", "--model", "tiny") == ["tiny", "tiny.en"]
    assert complete("compile", "--profile", "cpu") == ["cpu", "cpu-exact", "cpu-fast"]  # no earlier names
    assert complete("bench", "--peer", "faster-whisper-b") == ["faster-whisper-batched"]
    assert "whisper.cpp:q8_0" in complete("bench", "--peer", "whisper.cpp:")


def test_artifacts_of_a_cache_that_is_not_there_are_none(tmp_path: Path) -> None:
    context = root_context()
    context.params["cache"] = str(tmp_path / "none")
    assert complete_artifacts(context, click.Option(["--artifact"]), "") == []
