"""Ways to damage an artifact, and what is said of each."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from neuron_whisper.artifact.loader import Artifact, check_artifact, find_problems
from neuron_whisper.artifact.store import ArtifactStore, StoredArtifacts
from tests.support.artifact_samples import (
    FILES,
    TOOLCHAIN,
    flip_byte,
    publish_sample,
)


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


def assert_is_healthy(store: ArtifactStore) -> list[Artifact]:
    """Every artifact there is, is whole; and the next publish and prune leave nothing behind."""
    artifacts = store.list_artifacts().current
    assert store.list_artifacts() == StoredArtifacts(current=artifacts)
    assert [find_problems(artifact) for artifact in artifacts] == [[]] * len(artifacts)
    check_artifact(publish_sample(store), TOOLCHAIN)
    assert list(store.directory.staging.iterdir()) == []
    assert list(store.directory.locks.glob("staging-*")) == []
    return artifacts
