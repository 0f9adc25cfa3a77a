"""The profile that --profile, --target and --set select."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from neuron_whisper.cli.profiles import PROFILE_CHOICES, distinct_profiles, parse_overrides, resolve_profile
from neuron_whisper.errors import InvalidOption, ProfileError
from neuron_whisper.profile import list_profiles, load_profile


def test_overrides_are_toml_and_anything_else_is_text() -> None:
    assert parse_overrides(["shapes.slots=4", "target.instance=inf2.xlarge", "shapes.align=true", "a.b=[1, 2]"]) == {
        "shapes.slots": 4,
        "target.instance": "inf2.xlarge",
        "shapes.align": True,
        "a.b": [1, 2],
    }


@pytest.mark.parametrize("assignment", ["slots", "=4", " =4"])
def test_an_override_without_a_key_is_refused(assignment: str) -> None:
    with pytest.raises(InvalidOption) as refused:
        parse_overrides([assignment])
    assert refused.value.field == "--set"


def test_a_line_break_in_a_value_brings_no_further_key() -> None:
    assert parse_overrides(["a.b=1\nc = 2"]) == {"a.b": "1\nc = 2"}


def test_without_a_profile_it_is_cpus_and_more_than_one_rank_selects_neuron() -> None:
    assert resolve_profile() == load_profile("cpu")
    several = resolve_profile(overrides={"target.tp": 2, "target.dtype": "float32"})
    assert (several.target.name, several.target.tp, several.weights.dtype) == ("neuron", 2, "float32")
    assert resolve_profile(target="reference").target.name == "reference"


def test_a_profile_that_is_named_twice_is_one_whichever_name_it_has() -> None:
    assert distinct_profiles(["cpu-short", "cpu", "cpu-int8", "cpu-fast", "cpu"]) == ("cpu-fast", "cpu")
    assert distinct_profiles(["mine/cpu-int8.toml", "cpu"]) == ("mine/cpu-int8.toml", "cpu")
    assert distinct_profiles([]) == ()


def test_help_names_every_packaged_profile_of_the_cpu_and_which_are_approximate() -> None:
    for name in list_profiles():
        if name.startswith("cpu"):
            assert re.search(rf"\b{name}(,| \()", PROFILE_CHOICES)
            assert (f"{name} (approximate)" in PROFILE_CHOICES) is load_profile(name).is_approximate


def test_a_target_overrides_the_profiles(tmp_path: Path) -> None:
    file = tmp_path / "own.toml"
    file.write_text('[target]\nname = "cpu"\ndtype = "float32"\n')
    assert resolve_profile(str(file), "reference").target.name == "reference"


def test_an_instance_of_another_target_is_refused() -> None:
    with pytest.raises(ProfileError, match=r"target\.instance"):
        resolve_profile("cpu", overrides={"target.instance": "inf2"})


def test_a_priority_graph_is_of_the_neuron_target_alone() -> None:
    key = {"compiler.priority_graph": "decode"}
    assert resolve_profile(None, "neuron", key).compiler.priority_graph == "decode"
    for target in ("cpu", "reference"):
        with pytest.raises(ProfileError, match="priority_graph"):
            resolve_profile(None, target, key)
