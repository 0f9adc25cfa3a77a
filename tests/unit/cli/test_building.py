"""What is refused before a model is fetched."""

from __future__ import annotations

from pathlib import Path

import pytest

from neuron_whisper.target.registry import missing_packages
from tests.support.cli_runs import Cli


def test_tp_2_without_neuron_packages_says_what_to_install_and_what_works_here(cli: Cli, tmp_path: Path) -> None:
    if not missing_packages("neuron"):
        pytest.skip("the Neuron packages are installed: a missing package is not proved to be reported")
    done = cli("compile", "--tp", "2", "--cache", tmp_path / "cache")
    assert (done.code, done.out) == (4, "")
    assert 'pip install "neuron-whisper[neuron]" --extra-index-url https://pip.repos.neuron.amazonaws.com' in done.err
    assert "targets that work here: cpu" in done.err
    assert not (tmp_path / "cache").exists()  # nothing was downloaded first


def test_an_unknown_model_is_answered_with_close_names(cli: Cli, tmp_path: Path) -> None:
    done = cli("compile", "--model", "tinny.en", "--cache", tmp_path)
    assert (done.code, done.out) == (1, "")
    assert "no model named 'tinny.en'; known here: tiny.en, tiny" in done.err
