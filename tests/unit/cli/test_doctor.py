"""The doctor: what it finds on a machine, and the verdict it gives."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from neuron_whisper.cli.doctor import Check, Verdict, judge
from neuron_whisper.cli.main import run
from neuron_whisper.target.registry import missing_packages


def checks(capsys: pytest.CaptureFixture[str], cache: Path) -> tuple[int, dict[str, dict[str, str]]]:
    code = run(["doctor", "--json", "--cache", str(cache)])
    answer = json.loads(capsys.readouterr().out)
    assert answer["verdict"] in ("ok", "warn", "fail")
    return code, {check["name"]: check for check in answer["checks"]}


def test_every_check_has_a_verdict_and_each_that_is_not_ok_has_advice(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    code, found = checks(capsys, tmp_path / "cache")
    assert code == 0
    assert set(found) >= {
        "cores",
        "instructions",
        "memory",
        "python",
        "packages",
        "compile packages",
        "target cpu",
        "target reference",
        "target neuron",
        "Neuron devices",
        "cache",
        "disk",
        "artifacts",
        "models",
    }
    for check in found.values():
        assert check["verdict"] in ("ok", "warn", "fail")
        assert check["found"]
        assert check["advice"] or check["verdict"] == "ok"
    assert not (tmp_path / "cache").exists()  # looking changes nothing


def test_a_missing_neuron_target_is_a_warning_with_its_install_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    if not missing_packages("neuron"):
        pytest.skip("the Neuron packages are installed: a missing package is not proved to be reported")
    _, found = checks(capsys, tmp_path)
    assert found["target neuron"]["verdict"] == "warn"
    assert found["target neuron"]["advice"].startswith('pip install "neuron-whisper[neuron]"')


def test_the_verdict_is_what_the_checks_allow() -> None:
    def check(name: str, verdict: Verdict) -> Check:
        return Check(name=name, verdict=verdict, found="")

    checks = [check("packages", "ok"), check("cache", "ok"), check("target cpu", "warn"), check("target neuron", "ok")]
    abilities = {ability.name: ability for ability in judge([*checks, check("compile packages", "warn")])}
    assert abilities["transcribe and serve on the CPU"].is_possible
    assert abilities["compile models for the CPU"].missing == ("compile packages",)
    assert abilities["run on Neuron devices"].missing == ("NeuronCores",)  # not checked: there is no device


def test_a_cache_that_others_can_write_fails(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    cache.chmod(0o777)
    code, found = checks(capsys, cache)
    assert code == 1
    assert found["cache"]["verdict"] == "fail"
    assert "others can write it" in found["cache"]["found"]


def test_people_read_one_line_for_each_check(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert run(["doctor", "--cache", str(tmp_path)]) == 0
    checks, _, verdict = capsys.readouterr().out.partition("\n\nThis machine can:\n")
    lines = [line for line in checks.splitlines() if "-> " not in line]
    assert len(lines) >= 14
    assert all(line.startswith(("ok    ", "warn  ", "fail  ")) for line in lines)
    assert all(line.startswith(("  yes  ", "  no   ")) for line in verdict.splitlines())
