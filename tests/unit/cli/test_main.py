"""Help in panels, and that each option has one."""

from __future__ import annotations

import pytest
import rich_click as click
from click.testing import CliRunner

from neuron_whisper.cli.main import cli, to_exit_code
from neuron_whisper.errors import (
    ArtifactNotFound,
    DeviceError,
    EngineDraining,
    InvalidOption,
    ProfileError,
    TargetUnavailable,
    UnknownModel,
)
from tests.support.cli_runs import Cli
from tests.support.command_lines import root_context

GENERAL = {"cache", "quiet", "verbose", "help"}  # in the panel Options of every command


def test_short_help_is_help_of_every_command() -> None:
    for command in ("transcribe", "artifacts", "keys"):
        short, long = (CliRunner().invoke(cli, [command, flag]) for flag in ("-h", "--help"))
        assert (short.exit_code, short.output) == (0, long.output)
        assert f"neuron-whisper {command}" in short.output.replace("cli ", "neuron-whisper ")


@pytest.mark.parametrize("name", ["transcribe", "serve", "compile", "bench", "plan"])
def test_every_option_of_a_long_help_has_a_panel(name: str) -> None:
    command = cli.commands[name]
    options = [
        it
        for it in command.get_params(click.Context(command, parent=root_context()))
        if isinstance(it, click.Option) and not it.hidden
    ]
    without = {option.name for option in options if getattr(option, "panel", None) is None}
    assert without - GENERAL <= {"as_json"}


@pytest.mark.parametrize("name", ["transcribe", "serve", "compile", "bench", "plan", "demo", "fetch", "doctor"])
def test_every_option_has_a_help_that_is_a_sentence(name: str) -> None:
    command = cli.commands[name]
    for option in command.get_params(click.Context(command, parent=root_context())):
        if isinstance(option, click.Option) and not option.hidden:
            assert option.help, option.name
            assert option.help[0].isupper() or option.help[0] in "<0123456789", option.help


def test_every_kind_of_error_has_its_exit_code() -> None:
    errors = (
        UnknownModel("bas", ["base"]),
        InvalidOption("task", "sing", "one of two"),
        ProfileError("cpu", "no"),
        ArtifactNotFound("x"),
        TargetUnavailable("neuron", "no"),
        EngineDraining(),
        DeviceError("gone"),
    )
    assert [to_exit_code(error) for error in errors] == [1, 2, 2, 3, 4, 5, 70]


def test_a_wrong_flag_is_one_line_on_stderr_and_exit_code_2(cli: Cli) -> None:
    done = cli("transcribe", "--bogus", "a.wav")
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("error: No such option")
    assert done.err.count("\n") == 1
