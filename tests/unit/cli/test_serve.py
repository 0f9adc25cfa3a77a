"""Flags of `serve`, without a server."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
import rich_click as click

from neuron_whisper.cli.serve import _list_selections, serve
from neuron_whisper.server.config.schema import list_setting_specs
from neuron_whisper.server.config.settings import ServerSettings
from tests.support.cli_runs import Cli
from tests.support.command_lines import root_context


def test_serve_names_an_upload_limit_that_is_none(cli: Cli) -> None:
    done = cli("serve", "--max-upload", "25 parsecs")
    assert done.code == 2
    assert "max_upload_bytes: '25 parsecs' is not allowed; a whole number" in done.err
    assert "or a size such as 25MB (from --max-upload)" in done.err


def test_worker_processes_get_the_settings_time_to_hang() -> None:
    (selection,) = _list_selections(ServerSettings(model=("base",), replicas=2, hang_s=7.0))
    assert (selection.replicas, selection.hang_s) == (2, 7.0)


def test_every_setting_is_a_flag_once() -> None:
    context = click.Context(serve, parent=root_context())
    flags = [flag for option in serve.get_params(context) for flag in option.opts]
    assert len(flags) == len(set(flags))
    for spec in list_setting_specs(ServerSettings).values():
        assert spec.flag in flags


def test_print_config_shows_where_a_setting_comes_from(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "server.toml"
    file.write_text("port = 9000\n")
    monkeypatch.setenv("NEURON_WHISPER_HOST", "127.0.0.2")
    done = cli("serve", "--config", file, "--max-requests", "7", "--print-config")
    assert done.code == 0
    values = tomllib.loads(done.out)
    assert (values["port"], values["host"], values["max_requests"]) == (9000, "127.0.0.2", 7)


def test_a_missing_config_file_is_a_usage_error(cli: Cli) -> None:
    done = cli("serve", "--config", "/nowhere/server.toml", "--print-config")
    assert (done.code, done.out) == (2, "")
    assert "/nowhere/server.toml" in done.err


@pytest.mark.parametrize(
    ("flags", "models", "artifacts"),
    [
        ((), ["turbo", "small"], []),
        (("--model", "base", "--model", "tiny"), ["base", "tiny"], []),
        (("--artifact", "base-cpu"), [], ["base-cpu"]),
    ],
)
def test_model_and_artifact_flags_replace_configured_models(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, flags: tuple[str, ...], models: list[str], artifacts: list[str]
) -> None:
    monkeypatch.setenv("NEURON_WHISPER_MODEL", "turbo,small")
    values = tomllib.loads(cli("serve", *flags, "--print-config").out)
    assert (values["model"], values["artifact"]) == (models, artifacts)
