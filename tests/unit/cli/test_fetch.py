"""`fetch` of a checkpoint on this machine."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from tests.support.cli_runs import Cli, Done


def test_fetch_prints_the_checked_directory_and_nothing_else(cli: Cli, tmp_path: Path, tiny_checkpoint: Path) -> None:
    assert cli("fetch", tiny_checkpoint, "--cache", tmp_path / "cache") == Done(0, f"{tiny_checkpoint}\n", "")
    answer = json.loads(cli("fetch", tiny_checkpoint, "--json", "--cache", tmp_path / "cache").out)
    assert (answer["format"], answer["dims"]["n_vocab"]) == ("huggingface", 51864)


def test_fetch_refuses_a_damaged_checkpoint(cli: Cli, tmp_path: Path, tiny_checkpoint: Path) -> None:
    damaged = Path(shutil.copytree(tiny_checkpoint, tmp_path / "damaged"))
    with (damaged / "model.safetensors").open("r+b") as file:
        file.truncate(1000)
    done = cli("fetch", damaged, "--cache", tmp_path / "cache")
    assert (done.code, done.out) == (2, "")
    assert str(damaged / "model.safetensors") in done.err
