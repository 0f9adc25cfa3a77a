"""`models list`: every short name once, and what is on this machine."""

from __future__ import annotations

import json
from pathlib import Path

from neuron_whisper.cli.context import CliContext
from neuron_whisper.model.catalogue import CATALOGUE
from tests.support.artifact_samples import publish_sample
from tests.support.cli_runs import Cli


def test_every_short_name_is_listed_once_as_name_or_alias(cli: Cli, tmp_path: Path) -> None:
    listed = json.loads(cli("models", "list", "--json", "--cache", tmp_path / "none").out)
    names = [name for model in listed for name in (model["name"], *model["aliases"])]
    assert sorted(names) == sorted(CATALOGUE)
    [english] = [model for model in listed if model["name"] == "tiny.en"]
    assert (english["languages"], english["hub_id"], english["licence"]) == (
        ["en"],
        "openai/whisper-tiny.en",
        "Apache-2.0",
    )
    assert 37e6 < english["parameters"] < 40e6


def test_a_model_with_a_stored_artifact_is_compiled(cli: Cli, tmp_path: Path) -> None:
    artifact = publish_sample(CliContext(cache=tmp_path / "cache").create_store())  # of base
    rows = {line.split()[0]: line for line in cli("models", "list", "--cache", tmp_path / "cache").out.splitlines()}
    assert rows["base"].endswith("compiled")
    listed = json.loads(cli("models", "list", "--json", "--cache", tmp_path / "cache").out)
    [base] = [model for model in listed if model["name"] == "base"]
    assert base["artifacts"] == [artifact.name]
