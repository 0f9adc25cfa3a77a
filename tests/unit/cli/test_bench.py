"""Flags of `bench` that are refused before anything is compiled or measured."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from neuron_whisper.bench.engines.peers import PEERS
from neuron_whisper.cli.bench import bench
from tests.support.cli_runs import Cli
from tests.support.manifests import write_speech


@pytest.fixture
def speech(tmp_path: Path) -> Path:
    return write_speech(tmp_path)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--peer", "unknown"], "--peer: 'unknown' is not allowed"),
        (["--temperature", "warm"], "--temperature: 'warm' is not allowed"),
        (["--temperature", "0.4,0.2"], "temperature"),
        (["--streams", "0"], "--streams: '0' is not allowed"),
        (["--where", "kind"], "--where: 'kind' is not allowed"),
        (["--long-form", "zigzag"], "long_form: 'zigzag' is not allowed"),
        (["--language", "klingon"], "language: 'klingon' is not allowed"),
    ],
)
def test_flags_are_refused_before_anything_is_measured(
    cli: Cli, speech: Path, tmp_path: Path, flags: list[str], message: str
) -> None:
    done = cli("bench", speech / "speech.tsv", "--cache", tmp_path / "none", *flags)
    assert done.code == 2
    assert message in done.err
    assert not (tmp_path / "none").exists()


def test_a_profile_for_an_artifact_is_a_contradiction(cli: Cli, speech: Path, tmp_path: Path) -> None:
    flags = ["--cache", tmp_path / "none", "--artifact", "base", "--profile", "cpu"]
    done = cli("bench", speech / "speech.tsv", *flags)
    assert done.code == 2
    assert "an --artifact has its own profile" in done.err


def test_help_names_every_peer() -> None:
    text = " ".join(CliRunner().invoke(bench, ["--help"]).output.replace("│", " ").split())
    assert all(name in text for name in PEERS)
