"""NeuronTarget, as far as it goes without the SDK; tests/neuron_sim compiles and opens with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from neuron_whisper.errors import ProfileError, TargetUnavailable
from neuron_whisper.profile import parse_profile
from neuron_whisper.target.neuron.target import TARGET
from neuron_whisper.target.registry import missing_packages
from tests.support.sessions import checkpoint, compile_request
from tests.support.stub_neuron import SDK_2_29, StubNeuron
from tests.support.tiny_program import spec


def test_a_session_holds_the_decoder_once_and_the_past_of_every_beam() -> None:
    program = spec(beams=2)
    assert (TARGET.decoder_copies(program), TARGET.self_kv_rows(program)) == (1, 2)


@pytest.mark.skipif(not missing_packages("neuron"), reason="the Neuron packages are installed: others are not proved")
def test_the_toolchain_is_the_versions_of_the_sdk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stub = StubNeuron(tmp_path, monkeypatch)
    assert TARGET.toolchain() == SDK_2_29
    stub.install(SDK_2_29 | {"neuronx-cc": "2.27.5334.0"})
    with pytest.raises(TargetUnavailable, match=r"neuronx-cc 2\.27"):
        TARGET.toolchain()


def test_a_profile_is_checked_before_anything_is_compiled(tmp_path: Path) -> None:
    profile = parse_profile('format = 1\n[target]\nname = "neuron"\ninstance = "g6.xlarge"')
    with pytest.raises(ProfileError, match=r"target\.instance"):
        TARGET.compile(compile_request(spec(), profile, checkpoint(spec()), tmp_path))
