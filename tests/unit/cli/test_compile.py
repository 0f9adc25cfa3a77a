"""Flags of `compile` that are refused, and what --dry-run prints."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.cli_runs import Cli


@pytest.mark.parametrize(
    ("flags", "code", "message"),
    [
        (("--profile", "cpu", "--tp", "2"), 2, "target.tp is 2; the cpu target takes 1"),
        (("--profile", "gpu"), 2, "gpu: no such profile; known: cpu"),
        (("--set", "shapes.slot=4"), 2, "unknown field `slot`"),
        (("--set", "slots"), 2, "--set: 'slots' is not allowed; table.key=value"),
        (("--dtype", "float8"), 2, "found 'float8'"),
        (("--prompt-buckets", "4,x"), 2, "'4,x' is not a list of whole numbers"),
        (("--slots", "0"), 2, "0 is not in the range"),
        (("--model", "/nowhere/model"), 1, "/nowhere/model does not exist"),
    ],
)
def test_a_wrong_compile_flag_is_named_before_any_work(
    cli: Cli, tmp_path: Path, flags: tuple[str, ...], code: int, message: str
) -> None:
    done = cli("compile", *flags, "--cache", tmp_path / "cache")
    assert (done.code, done.out) == (code, "")
    assert message in done.err


def test_dry_run_of_a_new_profile_prints_a_miss_and_compiles_nothing(
    cli: Cli, tmp_path: Path, tiny_checkpoint: Path, tiny_profile: Path
) -> None:
    cache = tmp_path / "cache"
    args = ("--model", tiny_checkpoint, "--profile", tiny_profile, "--cache", cache, "--dry-run", "--explain", "--json")
    plan = json.loads(cli("compile", *args).out)
    assert (plan["status"], plan["path"], plan["explain"]) == ("miss", None, {"nearest": None, "differences": []})
    assert plan["spec"]["slots"] == 2
    assert not list((cache / "artifacts").glob("*")) if (cache / "artifacts").exists() else True
