"""Artifacts: an unfinished, damaged, foreign or unsafe one is never used, and nothing else is lost."""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuron_whisper.artifact import locks
from neuron_whisper.artifact.cache_directory import default_cache_directory
from neuron_whisper.artifact.key import (
    ABSENT,
    compute_artifact_key,
    explain_difference,
    make_artifact_name,
    match_reference,
)
from neuron_whisper.artifact.loader import Artifact, check_artifact, find_problems, read_artifact
from neuron_whisper.artifact.manifest import FileEntry, decode_manifest, encode_manifest, spec_from_data
from neuron_whisper.artifact.store import ArtifactStore
from neuron_whisper.errors import (
    ArtifactCorrupt,
    ArtifactIncompatible,
    ArtifactNotFound,
    ArtifactUnsafe,
    InvalidOption,
)
from neuron_whisper.profile import load_profile
from tests.support.artifact_samples import (
    FILES,
    PROFILE,
    SPEC,
    TOOLCHAIN,
    crashed_stores,
    exit_code,
    flip_byte,
    publish_sample,
    sample_manifest,
    start_child,
)


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(tmp_path / "cache")


# --- keys ---------------------------------------------------------------------------------------

leaves = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
facts = st.dictionaries(
    st.text(max_size=3),
    st.recursive(
        leaves,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
        max_leaves=6,
    ),
    max_size=4,
)


def reorder(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: reorder(inner) for name, inner in reversed(value.items())}
    return tuple(reorder(inner) for inner in value) if isinstance(value, list) else value


@given(facts)
def test_a_key_depends_neither_on_the_order_of_facts_nor_on_lists_being_tuples(some: dict[str, Any]) -> None:
    assert compute_artifact_key(reorder(some)) == compute_artifact_key(some)
    assert explain_difference(some, reorder(some)) == []


@given(facts, facts)
def test_two_keys_differ_exactly_when_a_difference_can_be_named(a: dict[str, Any], b: dict[str, Any]) -> None:
    assert (compute_artifact_key(a) != compute_artifact_key(b)) == bool(explain_difference(a, b))


def test_a_key_is_the_sha256_of_canonical_json() -> None:
    # printf '{"a":[1,true],"b":{"c":"\\u3042"}}' | sha256sum
    expected = "f70dedf8fa3f8d6433e8d31386de7cadb2537b5260ca94d3759bd143c84b598c"
    assert compute_artifact_key({"b": {"c": "あ"}, "a": (1, True)}) == expected


def test_a_difference_is_named_by_its_dotted_fact() -> None:
    a = {"profile": {"target": {"tp": 1}, "weights": {"dtype": "int8"}}, "toolchain": {"openvino": "1"}}
    b = {"profile": {"target": {"tp": 2}, "weights": {"dtype": "int8"}}, "toolchain": {}, "format": 1}
    assert explain_difference(a, b) == [
        ("format", ABSENT, 1),
        ("profile.target.tp", 1, 2),
        ("toolchain", ABSENT, {}),
        ("toolchain.openvino", "1", ABSENT),
    ]


@pytest.mark.parametrize(
    ("value", "field"),
    [
        ({"a": {"b": float("nan")}}, "a.b"),
        ({"a": [1, float("inf")]}, "a.1"),
        ({"a": Path("x")}, "a"),
        ({"a": {1: 2}}, "a.1"),
    ],
)
def test_a_value_json_cannot_hold_exactly_is_no_fact(value: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidOption) as caught:
        compute_artifact_key(value)
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("model", "label"),
    [
        ("base", "base"),
        ("openai/whisper-base", "whisper-base"),
        ("/models/tiny.en.pt", "tiny.en.pt"),
        ("kotoba-tech/kotoba-whisper-v2.2@main", "kotoba-whisper-v2.2-main"),
        ("../..", "model"),
        ("日本", "model"),
    ],
)
def test_an_artifact_is_named_after_the_last_part_of_its_model(model: str, label: str) -> None:
    assert make_artifact_name(model, "cpu", 2, "0123456789abcdef" * 4) == f"{label}-cpu-tp2-0123456789abcdef"


def test_a_reference_means_a_name_then_a_label_then_a_beginning_then_a_key() -> None:
    base, english, large = (
        "base-cpu-tp1-00aa000000000000",
        "base.en-cpu-tp1-11bb000000000000",
        "large-cpu-tp2-11cc000000000000",
    )
    names = [base, english, large]
    assert match_reference(base, names) == [base]
    assert match_reference("base", names) == [base]
    assert match_reference("bas", names) == [base, english]
    assert match_reference("11bb", names) == [english]
    assert match_reference("11b", names) == []
    assert match_reference("11bb" + "0" * 60, names) == [english]
    assert match_reference("", names) == []


# --- manifests ----------------------------------------------------------------------------------


def test_a_manifest_gives_back_spec_and_profile(store: ArtifactStore) -> None:
    artifact = publish_sample(store)
    assert artifact.spec == SPEC
    assert artifact.profile == PROFILE
    assert artifact.manifest.files["graphs/decode.xml"].size == 6
    assert artifact.size_bytes == 3 + 6 + 1280


def test_a_manifest_without_a_profile_name_has_that_of_the_packaged_profile_with_its_settings() -> None:
    packaged = load_profile("cpu-int8")
    manifest = msgspec.structs.replace(sample_manifest(), profile=packaged.to_canonical())
    assert Artifact(path=Path(), manifest=manifest).profile_name == "cpu-int8"
    changed = load_profile("cpu-int8", {"shapes.slots": 3})
    manifest = msgspec.structs.replace(manifest, profile=changed.to_canonical())
    assert Artifact(path=Path(), manifest=manifest).profile_name is None


def test_a_manifest_without_a_profile_name_is_written_as_it_was_before_there_were_names() -> None:
    content = encode_manifest(sample_manifest())
    assert b"profile_name" not in content
    assert decode_manifest(content, "manifest.json").profile_name is msgspec.UNSET
    named = encode_manifest(msgspec.structs.replace(sample_manifest(), profile_name="mine"))
    assert decode_manifest(named, "manifest.json").profile_name == "mine"


@given(data=st.data())
def test_any_changed_byte_of_a_manifest_is_found(data: st.DataObject) -> None:
    content = bytearray(encode_manifest(sample_manifest()))
    content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises((ArtifactCorrupt, ArtifactIncompatible)):
        decode_manifest(bytes(content), "manifest.json")


def test_a_manifest_that_was_edited_is_distinguished_from_one_that_is_broken() -> None:
    content = encode_manifest(sample_manifest()).replace(b'"slots": 2', b'"slots": 3')
    with pytest.raises(ArtifactCorrupt, match=r"m\.json: expected seal [0-9a-f]{64}, found seal [0-9a-f]{64}"):
        decode_manifest(content, "m.json")


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"{}", b"\xff", b"[" * 100_000, b'{"format": 1}'])
def test_content_that_is_no_manifest_is_corrupt(content: bytes) -> None:
    with pytest.raises(ArtifactCorrupt, match="expected a manifest"):
        decode_manifest(content, "manifest.json")


def test_a_manifest_of_another_format_is_incompatible_not_corrupt() -> None:
    with pytest.raises(ArtifactIncompatible, match="format: stored 2, here 1"):
        decode_manifest(b'{"format": 2, "name": "later"}', "manifest.json")


@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd",
        "../x",
        "a/../../x",
        "a//b",
        "./a",
        "a/",
        "",
        "manifest.json",
        "manifest.json/a",
        "a\\b",
        "a\nb",
        "a\x00b",
        "x" * 101,
    ],
)
def test_a_manifest_lists_plain_relative_paths_only(path: str) -> None:
    entry = FileEntry(size=0, sha256="0" * 64)
    with pytest.raises(InvalidOption, match="files"):
        encode_manifest(msgspec.structs.replace(sample_manifest(), files={path: entry}))


def test_a_manifest_lists_no_file_below_a_file() -> None:
    entry = FileEntry(size=0, sha256="0" * 64)
    with pytest.raises(InvalidOption, match="'a/b'"):
        encode_manifest(msgspec.structs.replace(sample_manifest(), files={"a/b/c": entry, "a/b": entry}))


@pytest.mark.parametrize(
    ("field", "value", "named"),
    [
        ("key", "0" * 64, "key"),
        ("name", "base-cpu-tp2-0000000000000000", "name"),
        ("tp", 2, "name"),
        ("target", "neuron", "name"),
        ("created", "yesterday", "created"),
        ("created", "2026-07-01T12:00:00", "created"),
    ],
)
def test_a_manifest_that_contradicts_itself_is_not_written(field: str, value: object, named: str) -> None:
    with pytest.raises(InvalidOption) as caught:
        encode_manifest(msgspec.structs.replace(sample_manifest(), **{field: value}))
    assert caught.value.field == named


@pytest.mark.parametrize("change", [{"slots": 0}, {"slots": "2"}, {"surplus": 1}, {"dims": {}}])
def test_a_spec_that_is_none_is_corrupt(change: dict[str, Any]) -> None:
    with pytest.raises(ArtifactCorrupt, match="spec of a program"):
        spec_from_data({**sample_manifest().spec, **change})


# --- finding ------------------------------------------------------------------------------------


def test_nothing_is_found_in_a_cache_that_does_not_exist_and_none_is_made(store: ArtifactStore) -> None:
    assert store.find("0" * 64) is None
    assert store.list_artifacts() == ([], [])
    assert store.prune(everything=True) == []
    with pytest.raises(ArtifactNotFound, match="none is stored"):
        store.resolve("base")
    assert not store.directory.root.exists()


def test_the_cache_is_where_the_environment_says(tmp_path: Path) -> None:
    assert default_cache_directory({"NEURON_WHISPER_CACHE": str(tmp_path)}) == tmp_path
    assert default_cache_directory({}) == Path.home() / ".cache" / "neuron-whisper"


def test_what_was_published_is_found_by_key_name_label_and_path(store: ArtifactStore, tmp_path: Path) -> None:
    artifact = publish_sample(store)
    other = publish_sample(store, sample_manifest(model="base.en"), {})
    third = publish_sample(store, sample_manifest(model="base.en", format=7))
    assert store.find(artifact.key) is not None
    assert store.find("0" * 64) is None
    assert store.find(artifact.key[:16] + "0" * 48) is None
    assert store.list_artifacts() == (sorted([artifact, other, third], key=lambda one: one.name), [])
    moved = tmp_path / "elsewhere"
    artifact.path.rename(moved)
    assert store.resolve(str(moved)).key == artifact.key
    (tmp_path / "link").symlink_to(moved)
    assert store.resolve(str(tmp_path / "link")).path == moved
    for reference in (third.name, third.key, third.key[:20], third.key[:4]):
        assert store.resolve(reference) == third
    with pytest.raises(InvalidOption, match=other.name):
        store.resolve("base.en")
    for unknown in ("large", third.key[:20] + "0" * 44, str(tmp_path), "x" * 5000, ""):
        with pytest.raises(ArtifactNotFound):
            store.resolve(unknown)


def publish_with_profile(store: ArtifactStore, name: str | None, created: str, model: str = "base") -> Artifact:
    manifest = msgspec.structs.replace(
        sample_manifest(model, profile=name, made=created),
        profile_name=msgspec.UNSET if name is None else name,
        created=created,
    )
    return publish_sample(store, manifest)


JANUARY, FEBRUARY = "2026-01-01T00:00:00+00:00", "2026-01-31T23:00:00-05:00"


def test_of_several_artifacts_with_a_label_the_newest_of_the_default_profile_is_meant(store: ArtifactStore) -> None:
    publish_with_profile(store, "cpu", JANUARY)
    newest = publish_with_profile(store, "cpu", FEBRUARY)
    publish_with_profile(store, "cpu-int8", FEBRUARY)
    assert store.resolve("base") == newest


def test_of_several_artifacts_of_one_profile_the_newest_is_meant(store: ArtifactStore) -> None:
    newest = publish_with_profile(store, "cpu-int8", FEBRUARY)
    publish_with_profile(store, "cpu-int8", JANUARY)
    assert store.resolve("base") == newest


def test_several_artifacts_without_the_default_profile_are_listed_with_their_profiles(store: ArtifactStore) -> None:
    short = publish_with_profile(store, "cpu-short", JANUARY)
    other = publish_with_profile(store, None, JANUARY)
    with pytest.raises(InvalidOption) as refused:
        store.resolve("base")
    assert f"{short.name} (profile cpu-short)" in str(refused.value)
    assert f"{other.name} (profile -)" in str(refused.value)


def test_a_profile_chooses_among_the_artifacts_that_match(store: ArtifactStore) -> None:
    default = publish_with_profile(store, "cpu", FEBRUARY)
    publish_with_profile(store, "cpu-int8", JANUARY)
    int8 = publish_with_profile(store, "cpu-int8", FEBRUARY)
    assert store.resolve("base", profile="cpu-int8") == int8
    assert store.resolve("bas", profile="cpu") == default
    assert store.resolve(default.name, profile="cpu") == default


def test_a_profile_that_no_matching_artifact_has_is_refused_with_those_they_have(store: ArtifactStore) -> None:
    publish_with_profile(store, "cpu", JANUARY)
    with pytest.raises(InvalidOption, match=r"profile cpu\)") as refused:
        store.resolve("base", profile="cpu-int8")
    assert refused.value.field == "profile"


def test_the_beginning_of_several_names_is_ambiguous_whatever_their_profiles(store: ArtifactStore) -> None:
    publish_with_profile(store, "cpu", JANUARY, "base")
    publish_with_profile(store, "cpu", JANUARY, "base.en")
    with pytest.raises(InvalidOption):
        store.resolve("bas")


def test_a_broken_artifact_is_no_candidate(store: ArtifactStore) -> None:
    whole = publish_with_profile(store, "cpu", JANUARY)
    empty_files(publish_with_profile(store, "cpu", FEBRUARY).path)
    assert store.resolve("base") == whole


def test_a_published_artifact_is_closed_to_others_whatever_the_compiler_left(store: ArtifactStore) -> None:
    manifest = sample_manifest()
    with store.stage(manifest.name) as staging:
        (staging.path / "graphs" / "empty").mkdir(parents=True)
        (staging.path / "graphs").chmod(0o777)
        (staging.path / "graphs" / "a").write_bytes(b"a")
        (staging.path / "graphs" / "a").chmod(0o666)
        artifact = store.publish(staging, manifest)
    assert find_problems(artifact) == []
    assert stat.S_IMODE((artifact.path / "graphs").stat().st_mode) == 0o755
    assert stat.S_IMODE((artifact.path / "graphs" / "a").stat().st_mode) == 0o644
    assert not (artifact.path / "graphs" / "empty").exists()
    assert stat.S_IMODE(store.directory.root.stat().st_mode) == 0o700
    assert (store.directory.root / "CACHEDIR.TAG").read_bytes().startswith(b"Signature: 8a477f597d28d172789f")


def test_a_link_in_the_staging_is_not_published(store: ArtifactStore, tmp_path: Path) -> None:
    manifest = sample_manifest()
    (tmp_path / "secret").write_bytes(b"")
    with store.stage(manifest.name) as staging:
        (staging.path / "model").symlink_to(tmp_path / "secret")
        with pytest.raises(ArtifactUnsafe, match=r"model: it is a symbolic link"):
            store.publish(staging, manifest)
    assert store.list_artifacts() == ([], [])


# --- opening ------------------------------------------------------------------------------------


def test_a_sound_artifact_opens(store: ArtifactStore) -> None:
    check_artifact(publish_sample(store), TOOLCHAIN)


def test_another_toolchain_is_refused_with_every_difference(store: ArtifactStore) -> None:
    artifact = publish_sample(store)
    with pytest.raises(ArtifactIncompatible) as caught:
        check_artifact(artifact, {"openvino": "2027.1.0", "python": "3.12"})
    assert caught.value.differences == {
        "numpy": ("2.3.1", ABSENT),
        "openvino": ("2026.4.0", "2027.1.0"),
        "python": (ABSENT, "3.12"),
    }


def flip_weights_byte(directory: Path) -> None:
    flip_byte(directory / "weights/tp0.safetensors", 700)


def truncate_weights(directory: Path) -> None:
    os.truncate(directory / "weights/tp0.safetensors", 1279)


def remove_config(directory: Path) -> None:
    (directory / "config.json").unlink()


def add_file(directory: Path) -> None:
    (directory / "graphs" / "more.xml").touch()


def add_directory(directory: Path) -> None:
    (directory / "more").mkdir()


def remove_manifest(directory: Path) -> None:
    (directory / "manifest.json").unlink()


def flip_manifest_byte(directory: Path) -> None:
    flip_byte(directory / "manifest.json", 200)


def empty_files(directory: Path) -> None:
    for name in ("manifest.json", *FILES):
        (directory / name).write_bytes(b"")


DAMAGE: list[tuple[Callable[[Path], None], str]] = [
    (flip_weights_byte, r"tp0\.safetensors: expected sha256 [0-9a-f]{64}, found sha256 [0-9a-f]{64}"),
    (truncate_weights, r"tp0\.safetensors: expected 1280 bytes, found 1279 bytes"),
    (remove_config, r"config\.json: expected 3 bytes, found no such file"),
    (add_file, r"more\.xml: expected no such file, found one that is not listed"),
    (add_directory, r"more: expected no such directory"),
    (remove_manifest, r"manifest\.json: expected a manifest, found No such file"),
    (flip_manifest_byte, r"manifest\.json: expected"),
    (empty_files, r"manifest\.json: expected a manifest"),
]


@pytest.mark.parametrize(("damage", "message"), DAMAGE)
def test_a_damaged_artifact_is_refused_by_name(
    store: ArtifactStore, damage: Callable[[Path], None], message: str
) -> None:
    artifact = publish_sample(store)
    damage(artifact.path)
    with pytest.raises(ArtifactCorrupt, match=message):
        check_artifact(store.resolve(artifact.name), TOOLCHAIN)
    with pytest.raises(ArtifactCorrupt):
        check_artifact(artifact, TOOLCHAIN)  # also when it was damaged after its manifest was read


@pytest.mark.parametrize("damage", [damage for damage, _ in DAMAGE])
def test_a_damaged_artifact_is_replaced_by_the_next_publish(
    store: ArtifactStore, damage: Callable[[Path], None]
) -> None:
    damage(publish_sample(store).path)
    check_artifact(publish_sample(store), TOOLCHAIN)
    assert list(store.directory.staging.iterdir()) == []


@pytest.mark.parametrize("damage", [damage for damage, _ in DAMAGE if damage is not flip_weights_byte])
def test_damage_that_sizes_show_makes_a_miss_and_is_listed(
    store: ArtifactStore, damage: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    artifact = publish_sample(store)
    damage(artifact.path)
    assert store.find(artifact.key) is None
    assert artifact.name in caplog.text
    sound, broken = store.list_artifacts()
    assert sound == []
    assert [path for path, _ in broken] == [artifact.path]


def test_find_problems_lists_every_problem(store: ArtifactStore) -> None:
    artifact = publish_sample(store)
    assert find_problems(artifact) == []
    for damage in (flip_weights_byte, remove_config, add_file):
        damage(artifact.path)
    (artifact.path / "graphs/decode.xml").chmod(0o666)
    problems = {error.path.name: type(error) for error in find_problems(artifact) if hasattr(error, "path")}
    assert problems == {
        "tp0.safetensors": ArtifactCorrupt,
        "config.json": ArtifactCorrupt,
        "more.xml": ArtifactCorrupt,
        "decode.xml": ArtifactUnsafe,
    }


def test_an_artifact_under_another_name_in_the_store_is_corrupt(store: ArtifactStore) -> None:
    artifact = publish_sample(store)
    artifact.path.rename(artifact.path.with_name("base-cpu-tp1-0123456789abcdef"))
    with pytest.raises(ArtifactCorrupt, match=artifact.name):
        store.resolve("base")


# --- safety -------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", [0o777, 0o775, 0o720, 0o702])
@pytest.mark.parametrize("below", ["", "artifacts", "staging", "locks"])
def test_a_cache_that_others_can_write_is_refused(store: ArtifactStore, below: str, mode: int) -> None:
    artifact = publish_sample(store)
    (store.directory.root / below).chmod(mode)
    for use in (lambda: store.find(artifact.key), store.list_artifacts, lambda: store.resolve("base"), store.prune):
        with pytest.raises(ArtifactUnsafe, match=f"others can write it \\(mode {mode:04o}"):
            use()
    with pytest.raises(ArtifactUnsafe):
        publish_sample(store)


@pytest.mark.parametrize("below", ["", "manifest.json", "graphs", "graphs/decode.xml"])
def test_an_artifact_that_others_can_write_is_refused(store: ArtifactStore, below: str) -> None:
    artifact = publish_sample(store)
    path = artifact.path / below
    path.chmod(path.stat().st_mode | stat.S_IWGRP)
    for verify_digests in (True, False):
        with pytest.raises(ArtifactUnsafe):
            check_artifact(artifact, TOOLCHAIN, verify_digests=verify_digests)
    with pytest.raises(ArtifactUnsafe):
        store.find(artifact.key)
    if below in ("", "manifest.json"):
        with pytest.raises(ArtifactUnsafe):
            store.resolve(artifact.name)
    assert [type(error) for _, error in store.list_artifacts()[1]] == [ArtifactUnsafe]


@pytest.mark.parametrize("below", ["config.json", "graphs", "graphs/decode.xml", "manifest.json"])
def test_a_link_inside_an_artifact_is_refused(store: ArtifactStore, tmp_path: Path, below: str) -> None:
    artifact = publish_sample(store)
    (artifact.path / below).rename(tmp_path / "real")
    (artifact.path / below).symlink_to(tmp_path / "real")
    with pytest.raises(ArtifactUnsafe, match="symbolic link"):
        check_artifact(artifact, TOOLCHAIN)


@pytest.mark.parametrize("below", ["artifacts", "staging", "locks"])
def test_a_link_in_place_of_a_directory_of_the_cache_is_refused(
    store: ArtifactStore, tmp_path: Path, below: str
) -> None:
    publish_sample(store)
    (store.directory.root / below).rename(tmp_path / "real")
    (store.directory.root / below).symlink_to(tmp_path / "real")
    with pytest.raises(ArtifactUnsafe, match="symbolic link"):
        publish_sample(store)


def test_a_link_to_the_cache_is_followed_to_what_has_to_be_safe(store: ArtifactStore, tmp_path: Path) -> None:
    artifact = publish_sample(store)
    (tmp_path / "link").symlink_to(store.directory.root)
    linked = ArtifactStore(tmp_path / "link")
    assert linked.find(artifact.key) is not None
    store.directory.root.chmod(0o777)
    with pytest.raises(ArtifactUnsafe):
        linked.find(artifact.key)


@pytest.mark.skipif(os.geteuid() != 0, reason="not proved without root: that another user's cache is refused")
@pytest.mark.parametrize("below", ["", "artifacts", "link"])
def test_a_cache_of_another_user_is_refused(store: ArtifactStore, tmp_path: Path, below: str) -> None:
    artifact = publish_sample(store)
    if below == "link":
        (tmp_path / "link").symlink_to(store.directory.root)
        store = ArtifactStore(tmp_path / "link")
    path = tmp_path / "link" if below == "link" else store.directory.root / below
    os.chown(path, 12345, -1, follow_symlinks=False)
    with pytest.raises(ArtifactUnsafe, match="uid 12345"):
        store.find(artifact.key)


def test_a_cache_that_is_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    for root in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(InvalidOption, match="NEURON_WHISPER_CACHE"):
            publish_sample(ArtifactStore(root))


# --- crashes and races --------------------------------------------------------------------------


def assert_is_healthy(store: ArtifactStore) -> list[Artifact]:
    """Every artifact there is, is whole; and the next publish and prune leave nothing behind."""
    artifacts, broken = store.list_artifacts()
    assert broken == []
    assert [find_problems(artifact) for artifact in artifacts] == [[]] * len(artifacts)
    check_artifact(publish_sample(store), TOOLCHAIN)
    assert list(store.directory.staging.iterdir()) == []
    assert list(store.directory.locks.glob("staging-*")) == []
    return artifacts


def test_a_publish_killed_anywhere_leaves_no_artifact_or_a_whole_one(tmp_path: Path) -> None:
    stores = crashed_stores(tmp_path, lambda store: None, publish_sample)
    counts = [len(assert_is_healthy(store)) for store in stores]
    assert set(counts) == {0, 1}
    assert counts == sorted(counts)
    assert len(counts) > 40


def test_a_publish_killed_while_it_replaces_a_damaged_artifact_leaves_that_one_none_or_a_whole_one(
    tmp_path: Path,
) -> None:
    seen = []
    for store in crashed_stores(tmp_path, lambda store: truncate_weights(publish_sample(store).path), publish_sample):
        artifacts, broken = store.list_artifacts()
        assert [len(find_problems(artifact)) for artifact in artifacts] in ([], [0])
        assert all("found 1279 bytes" in str(error) for _, error in broken)
        check_artifact(publish_sample(store), TOOLCHAIN)
        seen.append("damaged" if broken else "whole" if artifacts else "none")
    assert list(dict.fromkeys(seen)) == ["damaged", "none", "whole"]


@pytest.mark.parametrize(
    "take_away", [lambda store: store.remove(store.resolve("base")), lambda store: store.prune(everything=True)]
)
def test_a_removal_killed_anywhere_leaves_the_whole_artifact_or_none(
    tmp_path: Path, take_away: Callable[[ArtifactStore], object]
) -> None:
    counts = [len(assert_is_healthy(store)) for store in crashed_stores(tmp_path, publish_sample, take_away)]
    assert set(counts) == {0, 1}
    assert counts == sorted(counts, reverse=True)


def test_everything_is_on_the_disk_before_the_artifact_has_its_name(
    store: ArtifactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[tuple[str, str]] = []
    fsync, rename = os.fsync, os.rename

    def logged_fsync(descriptor: int) -> None:
        events.append(("fsync", Path(f"/proc/self/fd/{descriptor}").readlink().name))
        fsync(descriptor)

    def logged_rename(source: Path, destination: Path) -> None:
        events.append(("rename", Path(destination).name))
        rename(source, destination)

    monkeypatch.setattr(os, "fsync", logged_fsync)
    monkeypatch.setattr(os, "rename", logged_rename)
    artifact = publish_sample(store)
    named = events.index(("rename", artifact.name))
    synced = [name for event, name in events[:named] if event == "fsync"]
    files = {Path(name).name for name in FILES}
    staging = next(name for name in synced if name.endswith(artifact.name))
    assert files | {"manifest.json", "graphs", "weights"} <= set(synced)
    assert max(synced.index(name) for name in files) < synced.index("manifest.json") < synced.index(staging)
    assert events[named + 1] == ("fsync", "artifacts")


def test_an_exception_while_staging_leaves_nothing(store: ArtifactStore) -> None:
    def interrupted() -> None:
        with store.stage("x") as staging:
            (staging.path / "half").write_bytes(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(store.directory.staging.iterdir()) == []
    assert list(store.directory.locks.iterdir()) == []


def test_the_staging_of_a_living_process_is_left_alone(store: ArtifactStore) -> None:
    with store.stage("mine") as staging:
        (staging.path / "file").write_bytes(b"mine")
        for _ in range(2):
            publish_sample(store)
        store.prune()
        assert (staging.path / "file").read_bytes() == b"mine"


def test_processes_that_publish_the_same_key_at_once_all_get_the_one_artifact(store: ArtifactStore) -> None:
    manifest = sample_manifest()
    start, starter = os.pipe()

    def compile_and_publish() -> None:
        os.close(starter)
        with store.stage(manifest.name) as staging:
            (staging.path / "file").write_bytes(os.urandom(1000))  # no two compilers write the same bytes
            os.read(start, 1)
            assert find_problems(store.publish(staging, manifest)) == []

    children = [start_child(compile_and_publish) for _ in range(4)]
    os.close(start)
    os.close(starter)
    assert [exit_code(child) for child in children] == [0, 0, 0, 0]
    assert len(assert_is_healthy(store)) == 1


def test_a_second_compiler_waits_and_then_finds_the_first_ones_artifact(store: ArtifactStore) -> None:
    manifest = sample_manifest()
    (locked, signal_locked), (resumed, resume) = os.pipe(), os.pipe()

    def first() -> None:
        with store.lock_compile(manifest.key):
            os.write(signal_locked, b".")
            os.read(resumed, 1)
            publish_sample(store, manifest)

    child = start_child(first)
    os.read(locked, 1)
    waits = []

    def waiting() -> None:
        waits.append(store.find(manifest.key))
        os.write(resume, b".")

    with store.lock_compile(manifest.key, waiting):
        assert store.find(manifest.key) is not None
    assert waits == [None]
    assert exit_code(child) == 0
    for descriptor in (locked, signal_locked, resumed, resume):
        os.close(descriptor)
    with store.lock_compile(manifest.key, waiting):
        assert waits == [None]


def test_a_waiter_for_a_deleted_lock_gets_the_lock_that_others_open(tmp_path: Path) -> None:
    path = tmp_path / "x.lock"
    ours = locks.acquire_exclusive(path)
    inode = os.fstat(ours).st_ino
    (held, signal_held), (resumed, resume) = os.pipe(), os.pipe()

    def wait_and_hold() -> None:
        os.close(ours)
        locks.acquire_exclusive(path)
        os.write(signal_held, b".")
        os.read(resumed, 1)

    child = start_child(wait_and_hold)
    for _ in range(10_000):  # until the child waits for this very file, as the kernel reports
        if re.search(rf"-> FLOCK.*:{inode} ", Path("/proc/locks").read_text()):
            break
    locks.release_and_delete(ours, path)
    os.read(held, 1)
    assert locks.try_acquire_exclusive(path) is None
    os.write(resume, b".")
    assert exit_code(child) == 0
    assert not locks.is_held(path)
    for descriptor in (held, signal_held, resumed, resume):
        os.close(descriptor)


# --- holding, removing, pruning -----------------------------------------------------------------


def test_a_held_artifact_is_neither_removed_nor_pruned(store: ArtifactStore) -> None:
    artifact = publish_sample(store)
    with store.lock_shared(artifact), store.lock_shared(artifact):
        with pytest.raises(InvalidOption, match="no session uses"):
            store.remove(artifact)
        assert store.prune(everything=True) == []
        assert store.prune(everything=True, dry_run=True) == []
        flip_weights_byte(artifact.path)
        assert store.prune() == []
    assert [pruned.path for pruned in store.prune()] == [artifact.path]


def test_what_was_removed_before_it_could_be_held_is_not_found(store: ArtifactStore) -> None:
    artifact = publish_sample(store)
    store.remove(artifact)
    assert store.list_artifacts() == ([], [])
    with pytest.raises(ArtifactNotFound), store.lock_shared(artifact):
        pass


def test_an_artifact_outside_of_a_store_can_be_held_and_is_not_ours_to_remove(
    store: ArtifactStore, tmp_path: Path
) -> None:
    publish_sample(store).path.rename(tmp_path / "elsewhere")
    artifact = read_artifact(tmp_path / "elsewhere")
    with store.lock_shared(artifact):
        check_artifact(artifact, TOOLCHAIN)
    with pytest.raises(InvalidOption, match="one in"):
        store.remove(artifact)


@pytest.mark.skipif(os.geteuid() == 0, reason="not proved as root: that a read-only cache can be served from")
def test_a_cache_that_cannot_be_written_can_be_served_from(store: ArtifactStore) -> None:
    artifact = publish_sample(store)
    store.directory.locks.chmod(0o500)
    with store.lock_shared(artifact):
        check_artifact(artifact, TOOLCHAIN)
    store.directory.locks.chmod(0o700)


def test_prune_removes_what_is_broken_stale_old_or_asked_for_and_keeps_the_rest(store: ArtifactStore) -> None:
    now = datetime.now(UTC)
    young = publish_sample(store, msgspec.structs.replace(sample_manifest("young"), created=now.isoformat()))
    old = publish_sample(store, sample_manifest("old"))
    used = publish_sample(store, sample_manifest("used"))
    kept = publish_sample(store, sample_manifest("kept"))
    broken = publish_sample(store, sample_manifest("broken"))
    flip_weights_byte(broken.path)
    with store.lock_shared(used):
        pass
    os.utime(store.directory.locks / f"hold-{used.name}.lock", (0, 0))
    with store.lock_shared(used):  # makes it young again
        pass
    left = store.directory.staging / "1-00-left"
    left.mkdir()
    (left / "file").write_bytes(b"12345")

    def prune(**asked: Any) -> dict[str, int]:
        return {pruned.path.name: pruned.size_bytes for pruned in store.prune(**asked)}

    assert prune(dry_run=True) == {"1-00-left": 5, broken.name: broken.size_bytes + manifest_bytes(broken)}
    assert left.exists()
    assert broken.path.exists()
    assert prune().keys() == {"1-00-left", broken.name}
    assert not left.exists()
    assert not broken.path.exists()
    in_30_days = now + timedelta(days=30)
    assert prune(older_than_days=30, keep=[kept.name], now=now).keys() == {old.name}
    assert prune(older_than_days=31, keep=[kept.name], now=in_30_days) == {}
    assert prune(everything=True, keep=[kept.name]).keys() == {young.name, used.name}
    assert store.list_artifacts() == ([kept], [])


def manifest_bytes(artifact: Artifact) -> int:
    return (artifact.path / "manifest.json").stat().st_size


def test_prune_leaves_what_is_unsafe_or_of_a_later_version_unless_everything_goes(store: ArtifactStore) -> None:
    unsafe, later = publish_sample(store, sample_manifest("unsafe")), publish_sample(store, sample_manifest("later"))
    (unsafe.path / "config.json").chmod(0o666)
    content = json.loads((later.path / "manifest.json").read_bytes())
    (later.path / "manifest.json").write_text(json.dumps({**content, "format": 2}))
    assert {type(error) for _, error in store.list_artifacts()[1]} == {ArtifactUnsafe, ArtifactIncompatible}
    assert store.prune() == []
    assert len(store.prune(everything=True)) == 2
    assert store.list_artifacts() == ([], [])
