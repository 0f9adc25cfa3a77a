"""NeuronTarget, as far as it goes without the SDK; tests/neuron_sim compiles and opens with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from neuron_whisper.errors import DeviceError, ProfileError, TargetUnavailable
from neuron_whisper.profile import parse_profile
from neuron_whisper.target.neuron.sdk import REQUIRED_PACKAGES
from neuron_whisper.target.neuron.target import TARGET, NeuronTarget
from neuron_whisper.target.registry import missing_packages
from tests.support.sessions import checkpoint, compile_request
from tests.support.stub_neuron import SDK_2_29, StubNeuron, write_driver_and_runtime
from tests.support.tiny_program import spec


def test_a_session_holds_the_decoder_once_and_the_past_of_every_beam() -> None:
    program = spec(beams=2)
    assert (TARGET.decoder_copies(program), TARGET.self_kv_rows(program)) == (1, 2)


@pytest.mark.skipif(not missing_packages("neuron"), reason="the Neuron packages are installed: others are not proved")
def test_the_toolchain_is_the_versions_of_the_sdk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stub = StubNeuron(tmp_path, monkeypatch)
    required = {package: SDK_2_29[package] for package in REQUIRED_PACKAGES}
    assert TARGET.toolchain() == required
    stub.install(required)  # without NxDI, which this target does not use
    assert TARGET.toolchain() == required
    stub.install(SDK_2_29 | {"neuronx-cc": "2.27.5334.0"})
    with pytest.raises(TargetUnavailable, match=r"neuronx-cc 2\.27"):
        TARGET.toolchain()


def test_a_profile_is_checked_before_anything_is_compiled(tmp_path: Path) -> None:
    profile = parse_profile('format = 1\n[target]\nname = "neuron"\ninstance = "g6.xlarge"')
    with pytest.raises(ProfileError, match=r"target\.instance"):
        TARGET.compile(compile_request(spec(), profile, checkpoint(spec()), tmp_path))


@pytest.mark.skipif(not missing_packages("neuron"), reason="the Neuron packages are installed: others are not proved")
@pytest.mark.filterwarnings("ignore:`torch.jit.load` is deprecated:DeprecationWarning")
@pytest.mark.parametrize(
    ("instance", "runtime", "warnings"),
    [
        ("inf2.xlarge", "2.33.10.0", []),
        ("inf2.xlarge", "2.35.30.0", []),
        ("inf2.xlarge", "2.30.51.0", ["driver 2.31.8.0 and the runtime library 2.30.51.0 do not work together"]),
    ],
)
def test_versions_that_do_not_fit_are_told_before_a_session_opens(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    instance: str,
    runtime: str,
    warnings: list[str],
) -> None:
    sdk_2_28 = ("2.8.0.2.12.22436", "2.23.6484.0", "0.17.26814", "0.8.16251")
    StubNeuron(tmp_path, monkeypatch).install(dict(zip(SDK_2_29, sdk_2_28, strict=True)))
    monkeypatch.setenv("NEURON_RT_VISIBLE_CORES", "0-1")
    monkeypatch.delenv("LD_LIBRARY_PATH", raising=False)
    write_driver_and_runtime(tmp_path / "root", driver="2.31.8.0", runtime=runtime)
    profile = parse_profile(f'format = 1\n[target]\nname = "neuron"\ninstance = "{instance}"\ntp = 1')
    with pytest.raises((DeviceError, OSError, ValueError)):  # there is no bundle
        NeuronTarget(tmp_path / "root").open(tmp_path, spec(), profile)
    assert len(caplog.messages) == len(warnings)
    assert all(part in message for part, message in zip(warnings, caplog.messages, strict=True))
