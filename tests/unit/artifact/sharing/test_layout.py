"""Which folders of a repository are artifacts."""

from __future__ import annotations

from neuron_whisper.artifact.sharing.layout import list_artifact_names, list_files, measurements_path
from neuron_whisper.artifact.sharing.repository import HubFile, RepositoryState

NAME = "base-cpu-tp1-0123456789abcdef"


def state(*paths: str) -> RepositoryState:
    return RepositoryState(commit="0" * 40, is_private=True, files={path: HubFile(size=1) for path in paths})


def test_a_folder_with_an_artifacts_name_and_a_manifest_is_an_artifact() -> None:
    other = "kotoba-v2.2-neuron-tp2-fedcba9876543210"
    listed = state(f"{other}/manifest.json", "README.md", f"{NAME}/manifest.json", f"{NAME}/weights/a.bin")
    assert list_artifact_names(listed) == [NAME, other]


def test_other_manifests_are_not() -> None:
    others = state(
        "manifest.json",
        "model/manifest.json",
        f"../{NAME}/manifest.json",
        f"/{NAME}/manifest.json",
        f"a/{NAME}/manifest.json",
        f"{NAME}/sub/manifest.json",
        f"{NAME}/../manifest.json",
        f"..-{NAME}/manifest.json",
        f"{NAME}/manifest.json.bak",
        f"{NAME}\n/manifest.json",
    )
    assert list_artifact_names(others) == []


def test_the_files_of_an_artifact_are_those_below_its_folder() -> None:
    listed = state(f"{NAME}/manifest.json", f"{NAME}/a/b.bin", f"{NAME}0/c", "README.md", measurements_path(NAME))
    assert list_files(listed, NAME) == {"manifest.json": f"{NAME}/manifest.json", "a/b.bin": f"{NAME}/a/b.bin"}
