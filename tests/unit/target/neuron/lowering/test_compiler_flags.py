"""neuronx-cc's arguments: defaults for each kind of graph, then the profile's for all, then those for one kind."""

from __future__ import annotations

import shlex

import pytest

from neuron_whisper.errors import LoweringFailed, ProfileError
from neuron_whisper.profile import CompileProfile, list_profiles, load_profile, parse_profile
from neuron_whisper.target.neuron.lowering.compiler_flags import (
    GRAPH_TAGS,
    OVERLAP_OPTIONS,
    compiler_args,
    logical_cores,
    with_log_file,
)
from tests.support.neuron_programs import make_profile

NO_VERSIONS = {"neuronx-cc": "unknown"}


def with_graph_args(tables: str, instance: str = "") -> CompileProfile:
    return parse_profile(f'format = 1\n[target]\nname = "neuron"\ninstance = "{instance}"\n{tables}')


@pytest.mark.parametrize(
    ("args", "written"),
    [
        ((), "--auto-cast=none -O1 --model-type=transformer"),
        (("--optlevel", "2"), "-O2 --auto-cast=none --model-type=transformer"),
        (("-O3", "--auto-cast matmult"), "-O3 --auto-cast=matmult --model-type=transformer"),
        (("--auto-cast-type=bf16",), "--auto-cast-type=bf16 --auto-cast=none -O1 --model-type=transformer"),
    ],
)
def test_arguments_are_complete_and_given_once(args: tuple[str, ...], written: str) -> None:
    assert compiler_args(make_profile(1, args=args), "encode", NO_VERSIONS) == written


def test_a_step_is_optimized_more_than_what_runs_once_a_window() -> None:
    profile = make_profile(1)
    levels = {tag: compiler_args(profile, tag, NO_VERSIONS).split()[1] for tag in GRAPH_TAGS}
    assert levels == {"encode": "-O1", "prefill": "-O1", "decode": "-O2", "logits": "-O2", "align": "-O1"}


def test_collectives_of_a_step_overlap_with_computation_where_there_are_any() -> None:
    found = {
        (tag, tp): shlex.split(compiler_args(make_profile(tp), tag, NO_VERSIONS)) for tag in GRAPH_TAGS for tp in (1, 2)
    }
    option = f"--tensorizer-options={OVERLAP_OPTIONS}"
    assert {key for key, words in found.items() if option in words} == {("decode", 2), ("logits", 2)}


def test_a_graphs_own_arguments_go_before_those_for_all() -> None:
    profile = with_graph_args('[compiler]\nargs = ["-O3"]\n[compiler.graphs]\nencode = ["-O1", "--verbose=35"]\n')
    assert compiler_args(profile, "encode", NO_VERSIONS).startswith("-O1 --verbose=35 ")
    assert compiler_args(profile, "decode", NO_VERSIONS).startswith("-O3 ")


def test_arguments_of_a_graph_that_there_is_not_are_refused() -> None:
    with pytest.raises(ProfileError, match="encoder"):
        with_graph_args('[compiler.graphs]\nencoder = ["-O1"]\n')


@pytest.mark.parametrize(
    ("compiler", "pinned"), [("2.24.5133.0", False), ("2.27.5334", False), ("2.28.7631.0+ab", True)]
)
def test_compilers_that_may_take_64_bit_integers_are_told_not_to(compiler: str, pinned: bool) -> None:
    words = compiler_args(make_profile(1), "decode", {"neuronx-cc": compiler}).split()
    assert ({"--native-int64=disabled", "--implicit-integer-downcast=all"} <= set(words)) == pinned


def test_trn2_gets_two_physical_cores_per_logical_core() -> None:
    profile = with_graph_args("", "trn2.48xlarge")
    assert all("--lnc=2" in compiler_args(profile, tag, NO_VERSIONS) for tag in GRAPH_TAGS)
    assert (logical_cores(profile), logical_cores(make_profile(1))) == (2, 1)


def test_graphs_of_one_bundle_have_one_number_of_physical_cores() -> None:
    with pytest.raises(LoweringFailed, match="--lnc differs between graphs of one bundle"):
        logical_cores(with_graph_args('[compiler.graphs]\nencode = ["--lnc=2"]\n'))


@pytest.mark.parametrize(
    ("args", "written"),
    [("-O1", "-O1 --logfile=decode.log"), ("-O1 --logfile=/var/log/mine", "-O1 --logfile=/var/log/mine")],
)
def test_the_compilers_log_has_a_name_and_no_path_unless_the_profile_names_one(args: str, written: str) -> None:
    """NxD would add the path of its folder, and the compile cache's key is a hash of the arguments."""
    assert with_log_file(args, "decode") == written


def test_an_argument_given_twice_is_refused_with_its_key() -> None:
    with pytest.raises(LoweringFailed, match=r"compiler\.args failed: -O is given twice: '1' and '2'"):
        compiler_args(make_profile(1, args=("-O1", "--optlevel=2")), "decode")
    with pytest.raises(LoweringFailed, match=r"compiler\.graphs\.decode failed"):
        compiler_args(with_graph_args('[compiler.graphs]\ndecode = ["-O1", "-O2"]\n'), "decode")


def test_the_shipped_profiles_leave_the_level_to_the_kind_of_graph() -> None:
    shipped = [load_profile(name) for name in list_profiles() if name.startswith("neuron-")]
    assert shipped
    for profile in shipped:
        levels = {tag: "-O2" in compiler_args(profile, tag, NO_VERSIONS).split() for tag in GRAPH_TAGS}
        assert levels == {tag: tag in ("decode", "logits") for tag in GRAPH_TAGS}
