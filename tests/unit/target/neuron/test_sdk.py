"""Neuron SDK detection: the releases of a set of versions, refusals, and `doctor`'s report."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from neuron_whisper.cli.main import run
from neuron_whisper.errors import TargetUnavailable
from neuron_whisper.target.neuron.sdk import UNKNOWN, check_sdk, detect_sdk
from neuron_whisper.target.registry import missing_packages
from tests.support.stub_neuron import SDK_2_29, StubNeuron


@pytest.mark.parametrize(
    ("versions", "release"),
    [
        (("2.8.0.2.11.19912", "2.22.12471.0", "0.16.25997", "0.7.15063"), "2.27"),
        (("2.9.0.2.12.22436", "2.23.6484.0", "0.17.26814", "0.8.16251"), "2.28"),
        (("2.9.0.2.13.26312+8e870898", "2.24.8799.0+ab", "0.18.27753", "0.9.17334"), "2.29"),
        (("2.9.0.2.14.27725", "2.25.3371.0", "0.19.28093", "0.10.17970"), "2.30"),
        (("2.9.0.2.15.32035", "2.26.6360.0", "0.19.28492", "0.10.18399"), "2.31"),
        ((UNKNOWN, UNKNOWN, "0.19.28492", "0.10.18399"), "2.30 or 2.31"),
        ((UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN), ""),
    ],
)
def test_versions_tell_the_release(versions: tuple[str, ...], release: str) -> None:
    found = check_sdk(dict(zip(SDK_2_29, versions, strict=True)))
    assert found.name == release
    assert not found.mixed_versions


@pytest.mark.parametrize(
    ("package", "version", "message"),
    [
        ("neuronx-cc", "2.27.5334.0", "neuronx-cc 2.27.5334.0 is of an SDK after 2.31"),
        ("neuronx-cc", "2.21.33363.0", "neuronx-cc 2.21.33363.0 is of an SDK before 2.27"),
        ("neuronx-distributed-inference", "0.6.10598", "neuronx-distributed-inference 0.6.10598 is of an SDK before"),
        ("torch-neuronx", "2.10.0.2.16.1", "torch-neuronx 2.10.0.2.16.1 is of an SDK after 2.31"),
    ],
)
def test_a_package_outside_of_the_range_is_refused_with_the_range(package: str, version: str, message: str) -> None:
    with pytest.raises(TargetUnavailable) as refused:
        check_sdk(SDK_2_29 | {package: version})
    assert message in str(refused.value)
    assert "SDK 2.27 to 2.31.1 works here (2.32 and later have no torch-neuronx)" in str(refused.value)
    assert 'pip install "torch-neuronx==2.9.0.2.15.*"' in refused.value.install


def test_packages_of_two_releases_are_called_mixed() -> None:
    found = detect_sdk(SDK_2_29 | {"neuronx-cc": "2.26.6360.0"})
    assert found.releases == ()
    assert "torch-neuronx 2.9.0.2.13.26312 of 2.29, neuronx-cc 2.26.6360.0 of 2.31" in found.mixed_versions


# --- the doctor, on packages as pip records them --------------------------------------------------


@pytest.fixture
def stub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StubNeuron:
    if not missing_packages("neuron"):
        pytest.skip("the Neuron packages are installed: detection of other versions is not proved")
    return StubNeuron(tmp_path, monkeypatch)


def sdk_check(capsys: pytest.CaptureFixture[str], cache: Path) -> tuple[int, dict[str, str]]:
    code = run(["doctor", "--json", "--cache", str(cache)])
    checks = {check["name"]: check for check in json.loads(capsys.readouterr().out)["checks"]}
    return code, checks["Neuron SDK"]


def test_the_doctor_names_versions_release_and_range(
    stub: StubNeuron, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    code, check = sdk_check(capsys, tmp_path)
    assert (code, check["verdict"]) == (0, "ok")
    assert check["found"].startswith("2.29 of 2.27 to 2.31.1, which work here (torch-neuronx 2.9.0.2.13.26312, ")


@pytest.mark.parametrize(
    ("changed", "code", "verdict", "message"),
    [
        ({"neuronx-cc": "2.26.6360.0"}, 0, "warn", "packages of different SDKs"),
        ({"neuronx-cc": "2.27.5334.0"}, 1, "fail", "neuronx-cc 2.27.5334.0 is of an SDK after 2.31"),
    ],
)
def test_the_doctor_reports_a_wrong_sdk_with_the_command_that_replaces_it(
    stub: StubNeuron,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    changed: dict[str, str],
    code: int,
    verdict: str,
    message: str,
) -> None:
    stub.install(SDK_2_29 | changed)
    found_code, check = sdk_check(capsys, tmp_path)
    assert (found_code, check["verdict"]) == (code, verdict)
    assert message in check["found"]
    assert "2.27 to 2.31.1" in check["found"]
    assert check["advice"].startswith('pip install "torch-neuronx==2.9.0.2.15.*" "neuronx-cc==2.26.*"')


def test_the_doctor_misses_a_package_of_an_sdk_that_is_here(
    stub: StubNeuron, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    stub.install({package: text for package, text in SDK_2_29.items() if package != "neuronx-cc"})
    _, check = sdk_check(capsys, tmp_path)
    assert check["verdict"] == "warn"
    assert check["found"].endswith("missing neuronx-cc")
