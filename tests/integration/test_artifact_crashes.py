"""A process killed at any moment leaves no artifact or a whole one; processes that publish at once agree."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from neuron_whisper.artifact import locks
from neuron_whisper.artifact.loader import check_artifact, find_problems
from neuron_whisper.artifact.store import ArtifactStore, StoredArtifacts
from neuron_whisper.artifact.transfer import export_artifact, import_artifact
from tests.support.artifact_damage import assert_is_healthy, truncate_weights
from tests.support.artifact_samples import (
    TOOLCHAIN,
    crashed_stores,
    exit_code,
    export_bytes,
    publish_sample,
    sample_manifest,
    start_child,
)


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(tmp_path / "cache")


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
        stored = store.list_artifacts()
        artifacts, broken = stored.current, stored.broken
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


def test_an_export_killed_anywhere_leaves_the_old_file_or_the_whole_new_one(tmp_path: Path) -> None:
    def prepare(store: ArtifactStore) -> None:
        publish_sample(store)
        (store.directory.root / "out.tar").write_bytes(b"old")

    def export(store: ArtifactStore) -> None:
        export_artifact(store.resolve("base"), store.directory.root / "out.tar")

    seen = []
    for store in crashed_stores(tmp_path, prepare, export):
        content = (store.directory.root / "out.tar").read_bytes()
        assert content in (b"old", export_bytes(store.resolve("base")))
        seen.append(content == b"old")
    assert seen == sorted(seen, reverse=True)
    assert set(seen) == {True, False}


def test_an_import_killed_anywhere_leaves_no_artifact_or_a_whole_one(tmp_path: Path) -> None:
    archive = export_bytes(publish_sample(ArtifactStore(tmp_path / "here")))
    counts = []
    stores = crashed_stores(
        tmp_path / "stores", lambda store: None, lambda store: import_artifact(store, io.BytesIO(archive))
    )
    for store in stores:
        artifacts = store.list_artifacts().current
        assert store.list_artifacts() == StoredArtifacts(current=artifacts)
        assert all(find_problems(one) == [] for one in artifacts)
        assert find_problems(import_artifact(store, io.BytesIO(archive))) == []
        assert list(store.directory.staging.iterdir()) == []
        counts.append(len(artifacts))
    assert counts == sorted(counts)
    assert set(counts) == {0, 1}


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
