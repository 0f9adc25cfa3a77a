"""The cache directory is refused when others can change what it holds."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from neuron_whisper.artifact.cache_directory import default_cache_directory
from neuron_whisper.artifact.store import ArtifactStore
from neuron_whisper.errors import (
    ArtifactUnsafe,
    InvalidOption,
)
from tests.support.artifact_samples import (
    publish_sample,
)


def test_the_cache_is_where_the_environment_says(tmp_path: Path) -> None:
    assert default_cache_directory({"NEURON_WHISPER_CACHE": str(tmp_path)}) == tmp_path
    assert default_cache_directory({}) == Path.home() / ".cache" / "neuron-whisper"


@pytest.mark.parametrize("mode", [0o777, 0o775, 0o720, 0o702])
@pytest.mark.parametrize("below", ["", "artifacts", "staging", "locks", "compile-cache"])
def test_a_cache_that_others_can_write_is_refused(store: ArtifactStore, below: str, mode: int) -> None:
    artifact = publish_sample(store)
    store.directory.compile_cache.mkdir(mode=0o700)
    (store.directory.root / below).chmod(mode)
    for use in (lambda: store.find(artifact.key), store.list_artifacts, lambda: store.resolve("base"), store.prune):
        with pytest.raises(ArtifactUnsafe, match=f"others can write it \\(mode {mode:04o}"):
            use()
    with pytest.raises(ArtifactUnsafe):
        publish_sample(store)


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
