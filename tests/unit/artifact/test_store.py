"""Artifacts: an unfinished, damaged, foreign or unsafe one is never used, and nothing else is lost."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from neuron_whisper.artifact.loader import Artifact, check_artifact, read_artifact
from neuron_whisper.artifact.store import ArtifactStore, StoredArtifacts
from neuron_whisper.errors import (
    ArtifactCorrupt,
    ArtifactIncompatible,
    ArtifactNotFound,
    ArtifactUnsafe,
    InvalidOption,
)
from tests.support.artifact_damage import DAMAGE, empty_files, flip_weights_byte
from tests.support.artifact_samples import (
    FILES,
    TOOLCHAIN,
    publish_sample,
    sample_manifest,
)

# --- finding ------------------------------------------------------------------------------------


def test_nothing_is_found_in_a_cache_that_does_not_exist_and_none_is_made(store: ArtifactStore) -> None:
    assert store.find("0" * 64) is None
    assert store.list_artifacts() == StoredArtifacts()
    assert store.prune(everything=True) == []
    with pytest.raises(ArtifactNotFound, match="none is stored"):
        store.resolve("base")
    assert not store.directory.root.exists()


def test_what_was_published_is_found_by_key_name_label_and_path(store: ArtifactStore, tmp_path: Path) -> None:
    artifact = publish_sample(store)
    other = publish_sample(store, sample_manifest(model="base.en"), {})
    third = publish_sample(store, sample_manifest(model="base.en", format=7))
    assert store.find(artifact.key) is not None
    assert store.find("0" * 64) is None
    assert store.find(artifact.key[:16] + "0" * 48) is None
    assert store.list_artifacts().current == sorted([artifact, other, third], key=lambda one: one.name)
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
    publish_with_profile(store, "cpu-exact", FEBRUARY)
    assert store.resolve("base") == newest


def test_of_several_artifacts_of_one_profile_the_newest_is_meant(store: ArtifactStore) -> None:
    newest = publish_with_profile(store, "cpu-exact", FEBRUARY)
    publish_with_profile(store, "cpu-exact", JANUARY)
    assert store.resolve("base") == newest


def test_several_artifacts_without_the_default_profile_are_listed_with_their_profiles(store: ArtifactStore) -> None:
    short = publish_with_profile(store, "cpu-fast", JANUARY)
    other = publish_with_profile(store, None, JANUARY)
    with pytest.raises(InvalidOption) as refused:
        store.resolve("base")
    assert f"{short.name} (profile cpu-fast)" in str(refused.value)
    assert f"{other.name} (profile -)" in str(refused.value)


def test_a_profile_chooses_among_the_artifacts_that_match(store: ArtifactStore) -> None:
    default = publish_with_profile(store, "cpu", FEBRUARY)
    publish_with_profile(store, "cpu-exact", JANUARY)
    exact = publish_with_profile(store, "cpu-exact", FEBRUARY)
    assert store.resolve("base", profile="cpu-exact") == exact
    assert store.resolve("bas", profile="cpu") == default
    assert store.resolve(default.name, profile="cpu") == default


def test_a_profile_that_no_matching_artifact_has_is_refused_with_those_they_have(store: ArtifactStore) -> None:
    publish_with_profile(store, "cpu", JANUARY)
    with pytest.raises(InvalidOption, match=r"profile cpu\)") as refused:
        store.resolve("base", profile="cpu-exact")
    assert refused.value.field == "profile"


@pytest.mark.parametrize(
    ("earlier", "current"), [("cpu-float32", "cpu-exact"), ("cpu-int8", "cpu"), ("cpu-short", "cpu-fast")]
)
def test_an_earlier_profile_name_finds_the_artifact_of_todays(store: ArtifactStore, earlier: str, current: str) -> None:
    publish_with_profile(store, "mine", FEBRUARY)
    packaged = publish_with_profile(store, current, JANUARY)
    assert store.resolve("base", profile=earlier) == packaged


@pytest.mark.parametrize(
    ("earlier", "current"), [("cpu-float32", "cpu-exact"), ("cpu-int8", "cpu"), ("cpu-short", "cpu-fast")]
)
def test_an_artifact_of_a_profile_file_with_an_earlier_name_keeps_it_and_is_found_by_it(
    store: ArtifactStore, earlier: str, current: str
) -> None:
    own = publish_with_profile(store, earlier, JANUARY)
    packaged = publish_with_profile(store, current, FEBRUARY)
    assert {it.profile_name for it in store.list_artifacts().current} == {earlier, current}
    assert store.resolve("base", profile=earlier) == own
    assert store.resolve("base", profile=current) == packaged


def test_a_profile_file_with_an_earlier_name_of_the_default_is_not_the_default(store: ArtifactStore) -> None:
    default = publish_with_profile(store, "cpu", JANUARY)
    publish_with_profile(store, "cpu-int8", FEBRUARY)
    assert store.resolve("base") == default


def test_the_beginning_of_several_names_is_ambiguous_whatever_their_profiles(store: ArtifactStore) -> None:
    publish_with_profile(store, "cpu", JANUARY, "base")
    publish_with_profile(store, "cpu", JANUARY, "base.en")
    with pytest.raises(InvalidOption):
        store.resolve("bas")


def test_a_broken_artifact_is_no_candidate(store: ArtifactStore) -> None:
    whole = publish_with_profile(store, "cpu", JANUARY)
    empty_files(publish_with_profile(store, "cpu", FEBRUARY).path)
    assert store.resolve("base") == whole


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
    stored = store.list_artifacts()
    assert stored.current == []
    assert [path for path, _ in stored.broken] == [artifact.path]


def test_an_artifact_under_another_name_in_the_store_is_corrupt(store: ArtifactStore) -> None:
    artifact = publish_sample(store)
    artifact.path.rename(artifact.path.with_name("base-cpu-tp1-0123456789abcdef"))
    with pytest.raises(ArtifactCorrupt, match=artifact.name):
        store.resolve("base")


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
    assert store.list_artifacts() == StoredArtifacts()
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
    assert store.list_artifacts() == StoredArtifacts(current=[kept])


@pytest.fixture
def compiled(store: ArtifactStore) -> dict[str, Path]:
    """What two compilers keep: two graphs, of 40 and of 2 days ago, and a lock."""
    store.directory.create()
    found = {}
    for name, days in (("MODULE_old+1", 40), ("MODULE_new+2", 2)):
        entry = found[name] = store.directory.compile_cache / "neuron" / "neuronxcc-2.26.6360.0" / name
        entry.mkdir(parents=True)
        (entry / "model.neff").write_bytes(b"12345")
        for path in (entry / "model.neff", entry):
            seconds = datetime.now(UTC).timestamp() - days * 86_400
            os.utime(path, (seconds, seconds))
    (store.directory.compile_cache / "locks").mkdir()
    (store.directory.compile_cache / "locks" / "compile-1.lock").touch()
    return found


def test_prune_leaves_the_compile_cache_unless_it_is_named(store: ArtifactStore, compiled: dict[str, Path]) -> None:
    assert store.prune(everything=True, older_than_days=1) == []
    assert all(path.is_dir() for path in compiled.values())


def test_the_compile_cache_goes_as_a_whole_or_by_age_and_its_locks_stay(
    store: ArtifactStore, compiled: dict[str, Path]
) -> None:
    def prune(**asked: Any) -> dict[str, tuple[str, int]]:
        return {it.path.name: (it.reason, it.size_bytes) for it in store.prune(compile_cache=True, **asked)}

    assert prune(older_than_days=50) == {}
    dry = prune(older_than_days=30, dry_run=True)
    assert dry == {"MODULE_old+1": ("compile cache, not written for 40 days", 5)} == prune(older_than_days=30)
    assert [path.is_dir() for path in compiled.values()] == [False, True]
    assert prune() == {"neuron": ("compile cache, asked for", 5)}
    assert [path.name for path in store.directory.compile_cache.iterdir()] == ["locks"]
    assert list(store.directory.staging.iterdir()) == []
    assert prune() == {}


def test_the_compile_cache_stays_while_something_compiles(store: ArtifactStore, compiled: dict[str, Path]) -> None:
    with store.lock_compile("ab" * 32):
        assert store.prune(compile_cache=True) == []
    assert all(path.is_dir() for path in compiled.values())


def manifest_bytes(artifact: Artifact) -> int:
    return (artifact.path / "manifest.json").stat().st_size


def test_prune_leaves_what_is_unsafe_or_of_a_later_version_unless_everything_goes(store: ArtifactStore) -> None:
    unsafe, later = publish_sample(store, sample_manifest("unsafe")), publish_sample(store, sample_manifest("later"))
    (unsafe.path / "config.json").chmod(0o666)
    content = json.loads((later.path / "manifest.json").read_bytes())
    (later.path / "manifest.json").write_text(json.dumps({**content, "format": 2}))
    assert {type(error) for _, error in store.list_artifacts().broken} == {ArtifactUnsafe, ArtifactIncompatible}
    assert store.prune() == []
    assert len(store.prune(everything=True)) == 2
    assert store.list_artifacts() == StoredArtifacts()
