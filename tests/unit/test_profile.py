"""Compile profiles: every key is checked by name, and the resolved form is the same however it was written."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuron_whisper.errors import ProfileError
from neuron_whisper.profile import (
    RENAMED_PROFILES,
    CompileProfile,
    CompilerTable,
    DType,
    GraphArgsTable,
    ShapesTable,
    TargetTable,
    WeightDType,
    WeightsTable,
    follow_renaming,
    list_profiles,
    load_profile,
    log_renaming,
    parse_profile,
    to_profile_name,
)

MINIMAL = 'format = 1\n[target]\nname = "cpu"\n'

sizes = st.integers(1, 1 << 20)
text = st.text(st.characters(exclude_categories=["Cs"]))
args = st.lists(text, max_size=3).map(tuple)
profiles = st.builds(
    CompileProfile,
    target=st.builds(
        TargetTable,
        name=st.sampled_from(["cpu", "reference", "neuron"]),
        tp=sizes,
        dtype=st.sampled_from(get_args(DType)),
        instance=text,
    ),
    shapes=st.builds(
        ShapesTable,
        slots=sizes,
        beams=sizes,
        encode_batch=sizes,
        prompt_buckets=st.lists(sizes, min_size=1, max_size=4).map(tuple),
        text_context=sizes,
        align=st.booleans(),
    ),
    weights=st.builds(WeightsTable, dtype=st.sampled_from(get_args(WeightDType))),
    compiler=st.builds(
        CompilerTable,
        args=args,
        graphs=st.builds(GraphArgsTable, encode=args, decode=args),
        priority_graph=st.sampled_from(["", "decode"]),
    ),
)


@given(profiles)
def test_a_profile_written_as_toml_reads_back_equal(profile: CompileProfile) -> None:
    again = parse_profile(profile.to_toml())
    assert again == profile
    assert again.to_canonical() == profile.to_canonical()
    assert again.to_toml() == profile.to_toml()


@given(profiles, profiles)
def test_profiles_are_equal_exactly_when_their_canonical_forms_are(a: CompileProfile, b: CompileProfile) -> None:
    assert (a == b) == (a.to_canonical() == b.to_canonical())


@given(profiles)
def test_a_profile_given_as_overrides_is_the_profile_written_out(profile: CompileProfile) -> None:
    tables = {name: table for name, table in profile.to_canonical().items() if name != "format"}
    overrides = {f"{name}.{key}": value for name, table in tables.items() for key, value in table.items()}
    assert parse_profile(MINIMAL, overrides=overrides) == profile


def test_what_a_profile_leaves_out_is_resolved_to_the_defaults() -> None:
    assert parse_profile(MINIMAL).to_canonical() == {
        "format": 1,
        "target": {"name": "cpu", "tp": 1, "dtype": "float32", "instance": ""},
        "shapes": {
            "slots": 8,
            "beams": 1,
            "encode_batch": 1,
            "prompt_buckets": (4, 32, 256),
            "text_context": 448,
            "align": False,
        },
        "weights": {"dtype": "float32"},
        "compiler": {"args": ()},
    }


@pytest.mark.parametrize("name", sorted(list_profiles()))
def test_every_profile_that_comes_with_the_package_is_sound_and_says_what_it_is_for(name: str) -> None:
    path = list_profiles()[name]
    assert load_profile(name) == load_profile(str(path))
    assert path.read_text().startswith("# ")
    assert tomllib.loads(path.read_text())["format"] == 1


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_byte_order_mark_before_a_profile_is_skipped(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_bytes(list_profiles()["cpu"].read_text().encode(encoding))
    assert load_profile(str(path)) == load_profile("cpu")


def test_the_package_has_three_profiles_for_the_cpu_of_which_one_is_exact_and_one_approximate() -> None:
    assert [name for name in list_profiles() if name.startswith("cpu")] == ["cpu", "cpu-exact", "cpu-fast"]
    exact = load_profile("cpu-exact")
    assert (exact.target.dtype, exact.weights.dtype) == ("float32", "float32")
    assert load_profile("cpu").target.dtype == "bfloat16"
    assert not load_profile("cpu").shapes.audio_contexts
    assert load_profile("cpu-fast").weights.dtype == "int8"


# --- earlier names --------------------------------------------------------------------------------


@pytest.fixture
def forgets_renaming() -> Iterator[None]:
    """As in a new process, which has said nothing yet."""
    log_renaming.cache_clear()
    yield
    log_renaming.cache_clear()


@pytest.mark.parametrize(
    ("earlier", "current"), [("cpu-float32", "cpu-exact"), ("cpu-int8", "cpu"), ("cpu-short", "cpu-fast")]
)
def test_an_earlier_name_leads_to_todays_profile_and_says_so_once(
    earlier: str, current: str, forgets_renaming: None, caplog: pytest.LogCaptureFixture
) -> None:
    assert load_profile(earlier) == load_profile(current)
    assert to_profile_name(earlier) == follow_renaming(earlier) == current
    assert load_profile(earlier, {"shapes.slots": 3}).shapes.slots == 3
    [record] = caplog.records
    assert (record.levelname, record.args) == ("WARNING", (earlier, current, current))


@pytest.mark.parametrize("name", [*sorted(list_profiles()), "mine", "cpu-int9", "here/cpu-int8.toml"])
def test_any_other_name_or_path_is_not_followed_and_says_nothing(
    name: str, forgets_renaming: None, caplog: pytest.LogCaptureFixture
) -> None:
    assert follow_renaming(name) == name
    assert caplog.records == []


def test_a_file_with_an_earlier_name_is_its_owners_own_profile(
    tmp_path: Path, forgets_renaming: None, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "cpu-int8.toml"
    path.write_text(MINIMAL + "tp = 4")
    assert load_profile(str(path)).target.tp == 4
    assert to_profile_name(str(path)) == "cpu-int8"
    assert caplog.records == []


@pytest.mark.parametrize("name", sorted(RENAMED_PROFILES))
def test_a_file_that_an_earlier_name_is_the_path_of_goes_before_the_renaming(
    name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    forgets_renaming: None,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).write_text(MINIMAL + "tp = 4")
    assert load_profile(name).target.tp == 4
    assert to_profile_name(name) == name
    assert caplog.records == []


def test_a_directory_with_an_earlier_name_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, forgets_renaming: None
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cpu-int8").mkdir()
    assert load_profile("cpu-int8") == load_profile("cpu")


def test_earlier_names_are_not_listed_and_lead_to_profiles_that_are() -> None:
    known = list_profiles().keys()
    assert not RENAMED_PROFILES.keys() & known
    assert set(RENAMED_PROFILES.values()) <= known


@pytest.mark.parametrize(
    ("toml", "message"),
    [
        (MINIMAL + "[shapes]\nslot = 3", "Object contains unknown field `slot` - at `$.shapes`"),
        (MINIMAL + "[shape]\nslots = 3", "Object contains unknown field `shape`"),
        (MINIMAL + "tp = 0", "Expected `int` >= 1 - at `$.target.tp` (found 0)"),
        (MINIMAL + "tp = true", "Expected `int`, got `bool` - at `$.target.tp` (found True)"),
        (MINIMAL + "tp = 99999999999999999999", "at `$.target.tp` (found 99999999999999999999)"),
        (MINIMAL + 'dtype = "half"', "at `$.target.dtype` (found 'half'; allowed: float32, bfloat16, float16)"),
        (
            MINIMAL + '[weights]\ndtype = "int4"',
            "at `$.weights.dtype` (found 'int4'; allowed: float32, bfloat16, float16, int8)",
        ),
        (MINIMAL + "[shapes]\nprompt_buckets = [4, 0]", "at `$.shapes.prompt_buckets[1]` (found 0)"),
        (MINIMAL + "[shapes]\nprompt_buckets = []", "of length >= 1 - at `$.shapes.prompt_buckets` (found [])"),
        (MINIMAL + "[shapes]\nalign = 1", "Expected `bool`, got `int` - at `$.shapes.align` (found 1)"),
        (MINIMAL + "[compiler]\nargs = [[1]]", "at `$.compiler.args[0]` (found [1])"),
        ('[target]\nname = "gpu"', "at `$.target.name` (found 'gpu'; allowed: cpu, reference, neuron)"),
        ('format = 2\n[target]\nname = "cpu"', "at `$.format` (found 2; allowed: 1)"),
        ("target = 3", "Expected `object`, got `int` - at `$.target` (found 3)"),
        ("", "Object missing required field `target`"),
        ("[target", "not TOML"),
    ],
)
def test_a_wrong_profile_is_refused_by_source_key_value_and_what_is_allowed(toml: str, message: str) -> None:
    with pytest.raises(ProfileError, match=re.escape(message)) as caught:
        parse_profile(toml, "mine.toml")
    assert caught.value.source == "mine.toml"


def test_an_override_replaces_a_key_and_is_checked_like_one() -> None:
    profile = parse_profile(MINIMAL, overrides={"target.tp": 2, "shapes.slots": 3})
    assert (profile.target.tp, profile.shapes.slots) == (2, 3)
    with pytest.raises(ProfileError, match="unknown field `slot` - at"):
        parse_profile(MINIMAL, overrides={"shapes.slot": 3})
    with pytest.raises(ProfileError, match=r"\$\.shapes\.slots` \(found '3'\)"):
        parse_profile(MINIMAL, overrides={"shapes.slots": "3"})


def test_an_override_reaches_a_table_within_a_table() -> None:
    overrides = {"compiler.graphs.decode": ["-O1"], "compiler.graphs.encode": ["-O2"], "compiler.args": ["--lnc=1"]}
    compiler = parse_profile(MINIMAL, overrides=overrides).compiler
    assert (compiler.graphs.decode, compiler.graphs.encode, compiler.args) == (("-O1",), ("-O2",), ("--lnc=1",))
    with pytest.raises(ProfileError, match="graphs"):
        parse_profile(MINIMAL, overrides={"compiler.graphs.step": ["-O1"]})
    with pytest.raises(ProfileError, match=r"give it as table\.key"):
        parse_profile(MINIMAL, overrides={"target.tp": 1, "target.tp.more": 1})


def test_a_word_that_is_empty_is_shown_among_those_that_are_allowed() -> None:
    with pytest.raises(ProfileError, match="found 'encode'; allowed: \"\", decode"):
        parse_profile(MINIMAL, overrides={"compiler.priority_graph": "encode"})


@pytest.mark.parametrize("key", ["tp", "", "target.", "format.x"])
def test_an_override_is_given_as_table_and_key(key: str) -> None:
    with pytest.raises(ProfileError, match=r"give it as table\.key"):
        parse_profile(MINIMAL, overrides={key: 1})


def test_a_profile_is_loaded_by_path_or_by_name_and_else_the_known_names_are_listed(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(MINIMAL)
    assert load_profile(str(path), {"target.tp": 4}).target.tp == 4
    with pytest.raises(ProfileError, match=r"no such profile; known: .*cpu-exact"):
        load_profile("cpu-int9")
    path.write_bytes(b"\xff")
    with pytest.raises(ProfileError, match=r"mine\.toml"):
        load_profile(str(path))


@pytest.mark.parametrize(
    "toml",
    [
        "a = " + "[" * 7_900,
        "a = " + "{b=" * 4_000,
        "a" + ".b" * 4_000 + " = 1",
        "[" + "a." * 7_900 + "b]",
        "format = " + "9" * 5000,
        "format = 99999999999999999999999",
        "a = 2026-02-31",
        "[target]\nname = 'cpu'\ntp = 0x" + "f" * 5000,
        "[shapes]\nprompt_buckets = [4, nan]",
        "[shapes]\nprompt_buckets = {0 = 1}",
        "[shapes]\n'prompt_buckets[...]' = 1",
    ],
)
def test_a_hostile_profile_is_a_profile_error_of_one_line(toml: str) -> None:
    with pytest.raises(ProfileError) as refused:
        parse_profile(toml, "mine.toml")
    assert refused.value.source == "mine.toml"
    assert len(str(refused.value)) < 20_000


def test_a_profile_beyond_the_limit_is_not_parsed(tmp_path: Path) -> None:
    (tmp_path / "huge.toml").write_text("a" + ".b" * 1_000_000 + " = 1")
    with pytest.raises(ProfileError):
        load_profile(str(tmp_path / "huge.toml"))


TOML_PARTS = st.sampled_from(
    [
        "format",
        "target",
        "shapes",
        "name",
        "tp",
        "[",
        "]",
        "{",
        "}",
        "=",
        ".",
        ",",
        '"',
        "'",
        "\n",
        "1",
        "-",
        "nan",
        " ",
    ]
) | st.text(max_size=3)


@given(st.lists(TOML_PARTS, max_size=30).map("".join))
def test_any_text_is_a_profile_or_a_profile_error(text: str) -> None:
    try:
        profile = parse_profile(text)
    except ProfileError:
        return
    assert profile.format == 1


def test_an_encoder_that_is_not_of_8_bit_changes_no_canonical_form() -> None:
    plain = parse_profile('format = 1\n[target]\nname = "cpu"')
    assert "encoder" not in plain.to_canonical()["weights"]
    fast = parse_profile('format = 1\n[target]\nname = "cpu"\n[weights]\nencoder = "int8"')
    assert fast.to_canonical()["weights"]["encoder"] == "int8"
    assert parse_profile(fast.to_toml()) == fast


@pytest.mark.parametrize(
    ("overrides", "is_approximate"),
    [
        ({}, False),
        ({"weights.dtype": "int8"}, False),
        ({"weights.encoder": "int8"}, True),
        ({"shapes.skip_padding": True}, True),
        ({"shapes.audio_contexts": (500,)}, True),
    ],
)
def test_a_profile_is_approximate_where_its_encoder_is(overrides: dict[str, object], is_approximate: bool) -> None:
    assert parse_profile(MINIMAL, overrides=overrides).is_approximate is is_approximate


def test_an_encoder_is_of_8_bit_or_of_the_targets_type() -> None:
    with pytest.raises(ProfileError, match=r"weights\.encoder.*int4.*int8"):
        parse_profile('format = 1\n[target]\nname = "cpu"\n[weights]\nencoder = "int4"')
