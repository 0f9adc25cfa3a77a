"""Which runtime opens an artifact, by what is installed and what the environment says."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import msgspec
import pytest

from neuron_whisper.artifact.compatibility import explain_unusable
from neuron_whisper.artifact.source_hash import graph_source_files, hash_sources
from neuron_whisper.cli.main import run
from neuron_whisper.errors import ArtifactIncompatible, InvalidOption, TargetUnavailable
from neuron_whisper.profile import parse_profile
from neuron_whisper.target.neuron.runtimes import (
    RUNTIME_VARIABLE,
    check_nrtpy,
    choose_runtime,
    describe_nrtpy_risks,
    is_nrtpy_installed,
)
from neuron_whisper.target.neuron.sdk import REQUIRED_PACKAGES
from neuron_whisper.target.neuron.target import NeuronTarget
from neuron_whisper.target.registry import load_target, missing_packages, toolchain_to_open
from tests.support.artifact_samples import sample_manifest
from tests.support.stub_neuron import SDK_2_29, StubNeuron, write_driver_and_runtime
from tests.support.tiny_program import spec

pytestmark = pytest.mark.skipif(not missing_packages("neuron"), reason="the Neuron packages are here: others are not")
COMPILED_WITH = {"neuronx-cc": "2.26.6360.0", "torch-neuronx": "2.9.0.2.15.32035"}


class Machine:
    """Packages, runtime library and environment of a machine."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root, self._patch = root / "root", monkeypatch
        self._stub = StubNeuron(root / "stub", monkeypatch)
        self._stub.install({})
        for package in ("torch_neuronx", "neuronx_distributed", "neuronx_distributed_inference"):
            (self._stub.site / package / "__init__.py").unlink()
            (self._stub.site / package).rename(root / package)
            monkeypatch.delitem(sys.modules, package, raising=False)
        self._root = root
        for name in ("LD_LIBRARY_PATH", RUNTIME_VARIABLE):
            monkeypatch.delenv(name, raising=False)

    def install(self, versions: dict[str, str], runtime: str = "") -> None:
        for package in versions:
            module = self._stub.site / package.replace("-", "_")
            module.mkdir()
            (module / "__init__.py").touch()
        self._stub.install(versions)
        if runtime:
            write_driver_and_runtime(self.root, driver="2.31.7.0", runtime=runtime)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(tmp_path, monkeypatch)


@pytest.mark.parametrize(
    ("versions", "chosen", "runtime"),
    [
        (SDK_2_29, "", "torch-neuronx"),
        ({"nrtpy": "2.34.10"}, "", "nrtpy"),
        (SDK_2_29 | {"nrtpy": "2.34.10"}, "", "torch-neuronx"),
        (SDK_2_29 | {"nrtpy": "2.34.10"}, "nrtpy", "nrtpy"),
        (SDK_2_29 | {"nrtpy": "2.34.10"}, "torch-neuronx", "torch-neuronx"),
        (SDK_2_29 | {"torch-neuronx": "2.14.3.0", "nrtpy": "2.35.30"}, "", "nrtpy"),  # TorchNeuron
        (SDK_2_29 | {"nrtpy": "0.0.1"}, "", "torch-neuronx"),
    ],
)
def test_pytorch_neuronx_runs_artifacts_where_it_is_else_nrtpy_unless_the_environment_says(
    machine: Machine, versions: dict[str, str], chosen: str, runtime: str
) -> None:
    machine.install(versions)
    assert choose_runtime({RUNTIME_VARIABLE: chosen} if chosen else {}, machine.root) == runtime


@pytest.mark.parametrize(
    ("versions", "chosen", "reason"),
    [
        ({}, "", "not installed: torch_neuronx"),
        ({}, "nrtpy", "not installed: nrtpy"),
        ({"nrtpy": "2.34.10"}, "torch-neuronx", "not installed: torch_neuronx"),
        ({"nrtpy": "0.0.1"}, "", "not installed: torch_neuronx"),
        ({"nrtpy": "0.0.1"}, "nrtpy", "nrtpy 0.0.1 is a placeholder on PyPI"),
    ],
)
def test_what_is_missing_is_named_with_the_command_that_installs_it(
    machine: Machine, versions: dict[str, str], chosen: str, reason: str
) -> None:
    machine.install(versions)
    with pytest.raises(TargetUnavailable) as refused:
        choose_runtime({RUNTIME_VARIABLE: chosen} if chosen else {}, machine.root)
    assert refused.value.reason.startswith(reason)
    assert "pip.repos.neuron.amazonaws.com" in refused.value.install


def test_another_name_of_a_runtime_is_refused(machine: Machine) -> None:
    with pytest.raises(InvalidOption) as refused:
        choose_runtime({RUNTIME_VARIABLE: "torch"}, machine.root)
    assert (refused.value.field, refused.value.value) == (RUNTIME_VARIABLE, "torch")


@pytest.mark.parametrize(
    ("nrtpy", "library", "install"),
    [
        ("2.34.10", "2.35.30.0", 'pip install "nrtpy==2.35.*"'),
        ("2.35.30", "2.34.10.0", 'pip install "nrtpy==2.34.*"'),
        ("2.35.30", "2.33.10.0", ""),  # no nrtpy is of that runtime
    ],
)
def test_a_runtime_library_of_another_version_is_refused(
    machine: Machine, nrtpy: str, library: str, install: str
) -> None:
    machine.install({"nrtpy": nrtpy}, library)
    with pytest.raises(TargetUnavailable) as refused:
        choose_runtime({}, machine.root)
    assert nrtpy in refused.value.reason
    assert library in refused.value.reason
    assert refused.value.install.startswith(install)
    assert install or "the runtime of SDK 2.33" in refused.value.reason


@pytest.mark.parametrize(
    ("nrtpy", "library", "risks"),
    [("2.35.30", "2.35.30.0", 0), ("2.35.30", "2.35.43.0", 1), ("2.35.30", "", 0)],
)
def test_another_build_of_the_same_version_is_told_and_an_unknown_one_is_not(
    machine: Machine, nrtpy: str, library: str, risks: int
) -> None:
    machine.install({"nrtpy": nrtpy}, library)
    check_nrtpy(nrtpy, library)
    assert len(describe_nrtpy_risks(machine.root, {})) == risks


def test_an_environment_with_nki_in_it_is_told(machine: Machine) -> None:
    machine.install({"nrtpy": "2.35.30", "nki": "0.7.0"})
    (risk,) = describe_nrtpy_risks(machine.root, {})
    assert "nki" in risk


def test_the_placeholder_is_not_nrtpy(machine: Machine) -> None:
    machine.install({"nrtpy": "0.0.1"})
    assert not is_nrtpy_installed()
    with pytest.raises(TargetUnavailable, match="placeholder"):
        load_target("neuron")


def test_nrtpy_alone_opens_whatever_compiled_the_artifact_and_compiles_nothing(machine: Machine) -> None:
    machine.install({"nrtpy": "2.34.10"})
    target = load_target("neuron")
    assert toolchain_to_open(target, COMPILED_WITH) == COMPILED_WITH
    with pytest.raises(TargetUnavailable, match="only runs what was compiled elsewhere"):
        target.toolchain()


@pytest.mark.parametrize(
    ("versions", "reason"),
    [
        ({"nrtpy": "2.34.10"}, ""),
        ({"nrtpy": "0.0.1"}, "the target neuron is not installed here"),
        (SDK_2_29, "compiled with neuronx-cc 2.26.6360.0"),
    ],
)
def test_an_artifact_may_be_stored_where_nrtpy_opens_it(
    machine: Machine, versions: dict[str, str], reason: str
) -> None:
    machine.install(versions)
    sources = hash_sources(graph_source_files("neuron"))
    manifest = sample_manifest(toolchain=COMPILED_WITH, graph_sources=sources)
    found = explain_unusable(msgspec.structs.replace(manifest, target="neuron"))
    assert reason in found
    assert bool(found) is bool(reason)


def test_pytorch_neuronx_must_be_the_one_that_compiled(machine: Machine) -> None:
    machine.install(SDK_2_29)
    assert toolchain_to_open(load_target("neuron"), COMPILED_WITH) == {it: SDK_2_29[it] for it in REQUIRED_PACKAGES}
    assert toolchain_to_open(load_target("cpu"), {}) == load_target("cpu").toolchain()


def find_checks(capsys: pytest.CaptureFixture[str], cache: Path) -> tuple[dict[str, str], dict[str, list[str]]]:
    """The doctor's verdicts by check, and what each ability misses."""
    run(["doctor", "--json", "--cache", str(cache)])
    answer = json.loads(capsys.readouterr().out)
    abilities = {ability["name"]: ability["missing"] for ability in answer["abilities"]}
    return {check["name"]: f"{check['verdict']}: {check['found']}" for check in answer["checks"]}, abilities


def test_the_doctor_names_the_runtime_and_what_nrtpy_does_not_do(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    machine.install({"nrtpy": "2.35.30"})
    checks, missing = find_checks(capsys, tmp_path / "cache")
    assert checks["target neuron"] == "ok: available, artifacts run with nrtpy 2.35.30"
    assert checks["Neuron SDK"].startswith("warn: not installed")
    assert "target neuron" not in missing["run on Neuron devices"]
    assert "Neuron SDK" in missing["compile models for Neuron"]
    monkeypatch.setenv(RUNTIME_VARIABLE, "libnrt")
    checks, missing = find_checks(capsys, tmp_path / "cache")
    assert checks["target neuron"].startswith(f"warn: {RUNTIME_VARIABLE}: 'libnrt' is not allowed")
    assert "target neuron" in missing["run on Neuron devices"]


def test_the_doctor_warns_of_nki_beside_nrtpy(
    machine: Machine, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    machine.install({"nrtpy": "2.35.30", "nki": "0.7.0"})
    checks, _ = find_checks(capsys, tmp_path / "cache")
    assert checks["target neuron"].startswith("warn: available")
    assert "nki" in checks["target neuron"]


def test_with_nrtpy_alone_an_artifact_without_neffs_is_refused_with_its_risks_logged(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    machine.install({"nrtpy": "2.35.30", "nki": "0.7.0"}, "2.35.30.0")
    monkeypatch.setenv("NEURON_RT_VISIBLE_CORES", "0-1")
    profile = parse_profile('format = 1\n[target]\nname = "neuron"\ntp = 2')
    with pytest.raises(ArtifactIncompatible, match="nrtpy"):
        NeuronTarget(machine.root).open(tmp_path, spec(), profile)
    assert ["nki" in message for message in caplog.messages] == [True]
    assert os.environ["NEURON_RT_VISIBLE_CORES"] == "0-1"
