"""Artifacts are checked before they are used: toolchain, files, digests, permissions."""

from __future__ import annotations

import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from neuron_whisper.artifact.key import (
    ABSENT,
)
from neuron_whisper.artifact.loader import check_artifact, check_artifact_meanwhile, find_problems
from neuron_whisper.artifact.store import ArtifactStore
from neuron_whisper.errors import (
    ArtifactCorrupt,
    ArtifactIncompatible,
    ArtifactUnsafe,
)
from tests.support.artifact_damage import DAMAGE, add_file, flip_weights_byte, remove_config
from tests.support.artifact_samples import (
    TOOLCHAIN,
    publish_sample,
)


def test_a_sound_artifact_opens(store: ArtifactStore) -> None:
    check_artifact(publish_sample(store), TOOLCHAIN)


def test_another_toolchain_is_refused_with_every_difference(store: ArtifactStore) -> None:
    artifact = publish_sample(store)
    with pytest.raises(ArtifactIncompatible) as caught:
        check_artifact(artifact, {"openvino": "2027.1.0", "python": "3.12"})
    assert caught.value.differences == {
        "openvino": (TOOLCHAIN["openvino"], "2027.1.0"),
        "python": (ABSENT, "3.12"),
    }


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


@pytest.mark.parametrize(("damage", "message"), DAMAGE)
def test_damage_is_found_while_an_artifact_is_opened_and_before_it_is_used(
    store: ArtifactStore, damage: Callable[[Path], None], message: str
) -> None:
    artifact = publish_sample(store)
    damage(artifact.path)
    steps = []
    with pytest.raises(ArtifactCorrupt), check_artifact_meanwhile(artifact, TOOLCHAIN):
        steps.append("opened")
    assert steps == (["opened"] if damage is flip_weights_byte else [])  # the digests of weights alone come later


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
    assert [type(error) for _, error in store.list_artifacts().broken] == [ArtifactUnsafe]


@pytest.mark.parametrize("below", ["config.json", "graphs", "graphs/decode.xml", "manifest.json"])
def test_a_link_inside_an_artifact_is_refused(store: ArtifactStore, tmp_path: Path, below: str) -> None:
    artifact = publish_sample(store)
    (artifact.path / below).rename(tmp_path / "real")
    (artifact.path / below).symlink_to(tmp_path / "real")
    with pytest.raises(ArtifactUnsafe, match="symbolic link"):
        check_artifact(artifact, TOOLCHAIN)
