"""Neuron SDK detection: the releases of a set of versions, refusals, and `doctor`'s report."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from neuron_whisper.cli.main import run
from neuron_whisper.errors import TargetUnavailable
from neuron_whisper.target.neuron.sdk import (
    RELEASES,
    UNKNOWN,
    check_sdk,
    describe_unlisted_instance,
    detect_sdk,
    installed_placeholders,
    is_simulated,
)
from neuron_whisper.target.registry import load_target, missing_packages
from tests.support.paths import ROOT
from tests.support.stub_neuron import SDK_2_29, StubNeuron


@pytest.mark.parametrize(
    ("versions", "release"),
    [
        (("2.8.0.2.11.19912", "2.22.12471.0", "0.16.25997", "0.7.15063"), "2.27"),
        (("2.9.0.2.12.22436", "2.23.6484.0", "0.17.26814", "0.8.16251"), "2.28"),
        (("2.9.0.2.13.26312+8e870898", "2.24.8799.0+ab", "0.18.27753", "0.9.17334"), "2.29"),
        (("2.9.0.2.14.27725", "2.25.3371.0", "0.19.28093", "0.10.17970"), "2.30"),
        (("2.9.0.2.15.32035", "2.26.6360.0", "0.19.28492", "0.10.18399"), "2.31"),
        (("2.9.0.2.15.32035", "2.28.7631.0", "0.19.28492", "0.10.18399"), "2.33"),
        ((UNKNOWN, UNKNOWN, "0.19.28492", "0.10.18399"), "2.30 or 2.31 or 2.33"),
        (("2.9.0.2.15.32035", UNKNOWN, UNKNOWN, UNKNOWN), "2.31 or 2.33"),
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
        ("neuronx-cc", "2.27.5334.0", "neuronx-cc 2.27.5334.0 is of SDK 2.32, which has no PyTorch NeuronX"),
        ("neuronx-cc", "2.29.1.0", "neuronx-cc 2.29.1.0 is of an SDK after 2.33"),
        ("neuronx-cc", "2.21.33363.0", "neuronx-cc 2.21.33363.0 is of an SDK before 2.27"),
        ("neuronx-cc", "1.0.post1", "neuronx-cc 1.0.post1 is a placeholder on PyPI"),
        ("neuronx-distributed", "0.1", "neuronx-distributed 0.1 is a placeholder on PyPI, not AWS's package"),
        ("neuronx-distributed-inference", "0.1.0", "neuronx-distributed-inference 0.1.0 is a placeholder on PyPI, not"),
        ("neuronx-distributed", "0.15.22404", "neuronx-distributed 0.15.22404 is of an SDK before 2.27"),
        ("neuronx-distributed-inference", "0.6.10598", "neuronx-distributed-inference 0.6.10598 is of an SDK before"),
        ("torch-neuronx", "2.9.0.2.16.1", "torch-neuronx 2.9.0.2.16.1 is of an SDK after 2.33"),
        ("torch-neuronx", "1.13.1.1.14.0", "torch-neuronx 1.13.1.1.14.0 is of an SDK before 2.27"),
        ("torch-neuronx", "1.0", "torch-neuronx 1.0 is a placeholder on PyPI, not AWS's package"),
        ("torch-neuronx", "2.13.3.0", "torch-neuronx 2.13.3.0 is TorchNeuron (for Trn2 and Trn3, "),
        ("torch-neuronx", "2.14.3.0.17+ab", "torch-neuronx 2.14.3.0.17+ab is TorchNeuron (for Trn2 and Trn3, "),
        ("torch-neuronx", "2.10.0.2.16.1", "not the tracing of PyTorch NeuronX (versions 2.9.0.2.*)"),
    ],
)
def test_a_package_of_another_sdk_is_refused_by_what_it_is_with_what_to_install(
    package: str, version: str, message: str
) -> None:
    with pytest.raises(TargetUnavailable) as refused:
        check_sdk(SDK_2_29 | {package: version})
    assert message in refused.value.reason
    assert refused.value.reason.endswith("Neuron SDK 2.27 to 2.31.1 and 2.33 work here, with PyTorch NeuronX")
    assert 'pip install "torch-neuronx==2.9.0.2.15.*"' in refused.value.install


def test_the_releases_are_in_order_and_no_two_of_them_share_compiler_runtime_or_driver() -> None:
    for column in (
        [release.name for release in RELEASES],
        [release.packages[1] for release in RELEASES],
        [release.runtime for release in RELEASES],
        [release.driver for release in RELEASES],
    ):
        assert column == sorted(set(column), key=lambda text: [int(part) for part in text.split(".")])


def test_the_documentation_has_a_row_for_each_release() -> None:
    lines = (ROOT / "docs" / "neuron.md").read_text(encoding="utf-8").splitlines()
    cells = [[cell.strip(" *") for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    rows = {row[0]: row for row in cells if len(row) == 9}
    for release in RELEASES:
        row = rows[release.name]
        torch, *others = (begin or "none" for begin in release.packages)
        assert row[2].endswith(torch)
        assert [cell.removesuffix(" of 2.31") for cell in row[3:6]] == others
        assert row[6:8] == [release.runtime, release.driver]
        families: list[str] = [name for name in ("inf2", "trn1", "trn2", "trn3") if name in release.instances]
        assert row[8].lower().split(":")[0].split(", ") == (families or ["none"])


@pytest.mark.parametrize(
    ("torch", "compiler", "family", "message"),
    [
        ("2.9.0.2.15.32035", "2.28.7631.0", "trn2", "SDK 2.33 lists no PyTorch NeuronX for trn2; 2.27 to 2.31 do"),
        ("2.9.0.2.15.32035", "2.28.7631.0", "trn3", "SDK 2.33 lists no PyTorch NeuronX for trn3; 2.27 to 2.31 do"),
        ("2.9.0.2.12.22436", "2.23.6484.0", "trn3", ""),
        ("2.9.0.2.15.32035", "2.28.7631.0", "inf2", ""),
        ("2.9.0.2.15.32035", "2.26.6360.0", "trn3", ""),
        ("2.9.0.2.15.32035", UNKNOWN, "trn2", ""),  # 2.31 or 2.33
        ("2.9.0.2.15.32035", "2.28.7631.0", "", ""),  # not an instance
        (UNKNOWN, UNKNOWN, "trn2", ""),
    ],
)
def test_a_release_without_torch_neuronx_for_the_instance_is_told(
    torch: str, compiler: str, family: str, message: str
) -> None:
    found = detect_sdk({"torch-neuronx": torch, "neuronx-cc": compiler})
    assert describe_unlisted_instance(found, family) == message


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
    assert check["found"].startswith(
        "2.29 of 2.27 to 2.31.1 and 2.33, which work here (torch-neuronx 2.9.0.2.13.26312, "
    )


@pytest.mark.parametrize(
    ("changed", "code", "verdict", "message"),
    [
        ({"neuronx-cc": "2.26.6360.0"}, 0, "warn", "packages of different SDKs"),
        ({"neuronx-cc": "2.27.5334.0"}, 1, "fail", "neuronx-cc 2.27.5334.0 is of SDK 2.32, which"),
        ({"torch-neuronx": "2.14.3.0"}, 1, "fail", "torch-neuronx 2.14.3.0 is TorchNeuron"),
        ({"torch-neuronx": "1.0", "neuronx-cc": "1.0.post1"}, 1, "fail", "neuronx-cc 1.0.post1 is a placeholder"),
        ({"nrtpy": "0.0.1"}, 0, "warn", "nrtpy 0.0.1 is a placeholder on PyPI"),
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
    assert "2.27 to 2.31.1 and 2.33 work here" in check["found"]
    assert check["advice"].startswith('pip install "torch-neuronx==2.9.0.2.15.*" "neuronx-cc==2.26.*"')


def test_the_doctor_misses_a_package_of_an_sdk_that_is_here(
    stub: StubNeuron, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    stub.install({package: text for package, text in SDK_2_29.items() if package != "neuronx-cc"})
    _, check = sdk_check(capsys, tmp_path)
    assert check["verdict"] == "warn"
    assert check["found"].endswith("missing neuronx-cc")


def test_a_placeholder_without_a_module_is_named_where_the_target_is_loaded(
    stub: StubNeuron, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "torch_neuronx")
    stub.install({"torch-neuronx": "1.0", "nrtpy": "2.35.30"})
    (stub.site / "torch_neuronx" / "__init__.py").unlink()
    (stub.site / "torch_neuronx").rmdir()
    assert installed_placeholders() == ("torch-neuronx 1.0 is a placeholder on PyPI, not AWS's package of that name",)
    with pytest.raises(TargetUnavailable) as refused:
        load_target("neuron")
    assert refused.value.reason == f"not installed: torch_neuronx; {installed_placeholders()[0]}"
    assert "--extra-index-url https://pip.repos.neuron.amazonaws.com" in refused.value.install


def test_packages_of_the_simulator_say_so_in_their_versions() -> None:
    assert is_simulated({"torch-neuronx": "2.9.0.2.13+simulated", "neuronx-distributed": "0.18.0"})
    assert not is_simulated(SDK_2_29)
    assert not is_simulated({})
