"""Targets by name."""

from __future__ import annotations

import pytest

from neuron_whisper.errors import InvalidOption, TargetUnavailable
from neuron_whisper.target.registry import available_targets, load_target, missing_packages, target_names


def test_every_target_is_available_or_lacks_packages() -> None:
    assert set(target_names()) == {"cpu", "reference", "neuron"}
    for name in target_names():
        assert (name in available_targets()) == (not missing_packages(name))


def test_a_loaded_target_has_its_name() -> None:
    assert [load_target(name).name for name in ("cpu", "reference")] == ["cpu", "reference"]


def test_an_unknown_target_is_refused_by_field() -> None:
    with pytest.raises(InvalidOption) as refused:
        load_target("tpu")
    assert refused.value.field == "target"


@pytest.mark.skipif(
    not missing_packages("neuron"), reason="the Neuron packages are installed: their absence is not proved"
)
def test_a_target_without_its_packages_names_them_and_the_command_that_installs_them() -> None:
    with pytest.raises(TargetUnavailable, match="torch_neuronx") as refused:
        load_target("neuron")
    assert "neuron-whisper[neuron]" in refused.value.install
