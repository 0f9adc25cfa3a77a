"""Staging directories: private, removed unless published, and left alone while their process lives."""

from __future__ import annotations

import stat
from hashlib import sha256
from pathlib import Path

import pytest

from neuron_whisper.artifact.loader import find_problems
from neuron_whisper.artifact.manifest import FileEntry
from neuron_whisper.artifact.staging import clean_stale, finalize, find_stale_paths, staging_directory
from neuron_whisper.artifact.store import ArtifactStore, StoredArtifacts
from neuron_whisper.errors import (
    ArtifactUnsafe,
)
from tests.support.artifact_samples import (
    publish_sample,
    sample_manifest,
)


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
    assert store.list_artifacts() == StoredArtifacts()


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


def test_finalized_files_are_listed_with_size_and_digest_and_empty_directories_go(tmp_path: Path) -> None:
    (tmp_path / "graphs" / "empty").mkdir(parents=True)
    (tmp_path / "graphs" / "decode.xml").write_bytes(b"graph")
    assert finalize(tmp_path) == {"graphs/decode.xml": FileEntry(size=5, sha256=sha256(b"graph").hexdigest())}
    assert not (tmp_path / "graphs" / "empty").exists()


def test_a_staging_directory_is_private_and_goes_with_its_block(store: ArtifactStore) -> None:
    store.directory.create()
    with staging_directory(store.directory, "base") as staging:
        assert stat.S_IMODE(staging.path.stat().st_mode) == 0o700
        assert find_stale_paths(store.directory) == []
        (staging.path / "half").touch()
    assert list(store.directory.staging.iterdir()) == []
    assert list(store.directory.locks.iterdir()) == []


def test_the_compilers_scratch_is_private_and_at_the_same_path_each_time(store: ArtifactStore) -> None:
    """Compilers hash the paths they are given."""
    paths = []
    for _ in range(2):
        with store.scratch("ab" * 32) as path:
            assert stat.S_IMODE(path.stat().st_mode) == 0o700
            assert list(path.iterdir()) == []
            (path / "decode.neff").touch()
            paths.append(path)
    assert paths[0] == paths[1]
    with store.scratch("cd" * 32) as other:
        assert other != paths[0]
    assert list(store.directory.staging.iterdir()) == []
    assert list(store.directory.locks.iterdir()) == []


def test_the_scratch_of_a_living_compiler_is_left_alone(store: ArtifactStore) -> None:
    with store.scratch("ab" * 32) as path:
        (path / "decode.neff").touch()
        publish_sample(store)
        store.prune()
        assert (path / "decode.neff").exists()


def test_a_killed_compilers_scratch_is_emptied_by_the_next_or_pruned(store: ArtifactStore) -> None:
    with store.scratch("ab" * 32) as path:
        pass
    path.mkdir()
    (path / "half").write_bytes(b"12345")
    assert find_stale_paths(store.directory) == [(path, 5)]
    with store.scratch("ab" * 32) as again:
        assert again == path
        assert list(path.iterdir()) == []
    path.mkdir()
    assert [it.path for it in store.prune()] == [path]


def test_a_leftover_without_a_lock_is_stale_and_is_cleaned(store: ArtifactStore) -> None:
    store.directory.create()
    (store.directory.staging / "leftover").mkdir()
    (store.directory.staging / "leftover" / "file").write_bytes(b"12345")
    assert find_stale_paths(store.directory) == [(store.directory.staging / "leftover", 5)]
    clean_stale(store.directory)
    assert find_stale_paths(store.directory) == []
