"""`demo`: its profile, and how it ends without what it needs. tests/integration/test_cli.py runs one to its end."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from neuron_whisper.cli.demo.command import NEURON_REPORT, find_neuron_profile, select_profile
from neuron_whisper.errors import InvalidOption
from neuron_whisper.target.registry import missing_packages
from tests.support.cli_runs import Cli
from tests.support.stub_neuron import StubNeuron

without_neuron = pytest.mark.skipif(
    not missing_packages("neuron"), reason="the Neuron packages are installed: their absence is not proved"
)


def test_the_profile_is_the_given_one_or_that_of_the_target() -> None:
    assert select_profile("tiny.en", None, None)[0] == "cpu"
    name, profile = select_profile("tiny.en", "neuron", None)
    assert (name, profile.target.name, profile.target.tp) == ("the default profile of target neuron", "neuron", 1)
    name, profile = select_profile("tiny.en", None, "neuron-base-inf2.xlarge-tp2")
    assert (name, profile.target.name) == ("neuron-base-inf2.xlarge-tp2", "neuron")
    assert select_profile("tiny.en", None, "cpu-short") == select_profile("tiny.en", None, "cpu-fast")
    assert select_profile("tiny.en", "reference", None)[1].target.name == "reference"
    with pytest.raises(InvalidOption) as refused:
        select_profile("tiny.en", "tpu", None)
    assert refused.value.field == "--target"


@pytest.mark.parametrize(
    ("model", "instance", "profile"),
    [
        ("base", "inf2.xlarge", "neuron-base-inf2.xlarge-tp2"),
        ("base.en", "inf2.24xlarge", "neuron-base-inf2.24xlarge-tp4"),
        ("kotoba-v2.2", "inf2.xlarge", "neuron-kotoba-v2-inf2.xlarge-tp2"),
        ("kotoba-tech/kotoba-whisper-v2.2", "inf2.8xlarge", "neuron-kotoba-v2-inf2.8xlarge-tp2"),
        ("turbo", "trn1.2xlarge", "neuron-large-v3-turbo-trn1.2xlarge-tp2"),
        ("large-v3", "inf2.xlarge", "neuron-large-v3-inf2.xlarge-tp2"),
        ("tiny.en", "inf2.xlarge", None),
        ("kotoba-v1.0", "inf2.xlarge", None),
        ("base", "g6.xlarge", None),
        ("base", "", None),
    ],
)
def test_a_packaged_profile_is_found_for_the_model_and_the_instance(
    model: str, instance: str, profile: str | None
) -> None:
    assert find_neuron_profile(model, instance) == profile


@without_neuron
def test_without_the_sdk_it_says_what_to_install_and_leaves_a_report(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = cli("demo", "--target", "neuron", "--cache", tmp_path / "cache")
    assert done.code == 4
    assert 'pip install "neuron-whisper[neuron]"' in done.err
    assert f"report: {NEURON_REPORT}" in done.err
    text = NEURON_REPORT.read_text()
    assert text.startswith("# neuron-whisper demo: failed at check\n")
    assert "| target neuron | warn |" in text
    assert not (tmp_path / "cache").exists()  # nothing was downloaded


@without_neuron
def test_with_the_sdk_and_without_a_device_it_says_so_before_anything_is_downloaded(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    StubNeuron(tmp_path / "stub", monkeypatch)
    report = tmp_path / "report.json"
    done = cli("demo", "--target", "neuron", "--report", report, "--cache", tmp_path / "cache")
    assert done.code == 4
    assert "there is no /dev/neuron*" in done.err
    found = json.loads(report.read_text())
    assert (found["error"]["stage"], found["error"]["kind"]) == ("check", "TargetUnavailable")
    assert found["neuron"]["sdk"] == "2.29"
    assert found["neuron"]["packages"]["torch-neuronx"].startswith("2.9.0.2.13")
    assert not (tmp_path / "cache").exists()


@without_neuron
def test_an_sdk_that_does_not_work_is_named_with_the_one_to_install(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    StubNeuron(tmp_path / "stub", monkeypatch).install({"torch-neuronx": "2.14.3.0", "neuronx-cc": "2.28.1.0"})
    report = tmp_path / "report.json"
    done = cli("demo", "--target", "neuron", "--report", report, "--cache", tmp_path / "cache")
    assert done.code == 4
    assert "TorchNeuron" in json.loads(report.read_text())["error"]["message"]


def test_an_error_of_a_later_stage_is_in_the_report_with_the_exit_code_of_the_error(
    cli: Cli, tmp_path: Path, tiny_profile: Path
) -> None:
    report = tmp_path / "report.json"
    flags = ("--profile", tiny_profile, "--report", report, "--cache", tmp_path / "cache")
    done = cli("demo", "--model", tmp_path / "none", *flags)
    assert done.code == 1
    found = json.loads(report.read_text())
    assert (found["error"]["stage"], found["error"]["kind"]) == ("check", "UnknownModel")


@pytest.mark.parametrize("name", ["none/report.md", "report.md/none.md"])
def test_a_report_that_cannot_be_written_is_refused_before_anything_is_done(
    cli: Cli, tmp_path: Path, name: str
) -> None:
    (tmp_path / "report.md").touch()
    done = cli("demo", "--report", tmp_path / name, "--cache", tmp_path / "cache")
    assert done.code == 2
    assert "--report" in done.err
    assert not (tmp_path / "cache").exists()
