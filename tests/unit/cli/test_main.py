"""Help in panels, and that each option has one."""

from __future__ import annotations

import pytest
import rich_click as click
from click.testing import CliRunner

from neuron_whisper.cli.main import cli

GENERAL = {"cache", "quiet", "verbose", "help"}  # in the panel Options of every command


def test_short_help_is_help_of_every_command() -> None:
    for command in ("transcribe", "artifacts", "keys"):
        short, long = (CliRunner().invoke(cli, [command, flag]) for flag in ("-h", "--help"))
        assert (short.exit_code, short.output) == (0, long.output)
        assert f"neuron-whisper {command}" in short.output.replace("cli ", "neuron-whisper ")


@pytest.mark.parametrize("name", ["transcribe", "serve", "compile", "bench", "plan"])
def test_every_option_of_a_long_help_has_a_panel(name: str) -> None:
    command = cli.commands[name]
    options = [it for it in command.get_params(click.Context(command)) if isinstance(it, click.Option)]
    without = {option.name for option in options if getattr(option, "panel", None) is None}
    assert without - GENERAL <= {"as_json"}


@pytest.mark.parametrize("name", ["transcribe", "serve", "compile", "bench", "plan", "demo", "fetch", "doctor"])
def test_every_option_has_a_help_that_is_a_sentence(name: str) -> None:
    command = cli.commands[name]
    for option in command.get_params(click.Context(command)):
        if isinstance(option, click.Option):
            assert option.help, option.name
            assert option.help[0].isupper() or option.help[0] in "<0123456789", option.help
