"""Instance families of artifacts and machines."""

from __future__ import annotations

import pytest

from neuron_whisper.errors import ArtifactIncompatible, ProfileError
from neuron_whisper.profile import parse_profile
from neuron_whisper.target.neuron.instance import check_family, check_profile, instance_family


def test_an_artifact_for_another_family_is_refused() -> None:
    check_family("inf2.xlarge", "inf2.8xlarge")
    check_family("inf2", "Standard PC")  # not a machine we know: the runtime will say
    with pytest.raises(ArtifactIncompatible, match="stored 'inf2', here 'trn1'"):
        check_family("inf2.xlarge", "trn1.2xlarge")


def test_the_family_is_the_instance_type_before_its_size() -> None:
    assert [instance_family(name) for name in ("inf2.xlarge", "trn1n.32xlarge", "inf2", "")] == [
        "inf2",
        "trn1n",
        "inf2",
        "",
    ]


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ('[target]\nname = "neuron"\ninstance = "g6.xlarge"', "target.instance is 'g6.xlarge'"),
        ('[target]\nname = "neuron"\ndtype = "float16"\n[weights]\ndtype = "float32"', "weights.dtype is float32"),
    ],
)
def test_a_profile_that_no_neuron_artifact_can_have_is_refused(setting: str, message: str) -> None:
    with pytest.raises(ProfileError, match=message):
        check_profile(parse_profile(f"format = 1\n{setting}"))
