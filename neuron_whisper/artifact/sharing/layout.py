"""Where things lie in a repository of artifacts: a folder by name for each, what was measured of them, the card."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from neuron_whisper.artifact.key import parse_label
from neuron_whisper.artifact.manifest import MANIFEST_LIMIT_BYTES, MANIFEST_NAME, Manifest, decode_manifest
from neuron_whisper.artifact.sharing.repository import HubRepository, RepositoryState
from neuron_whisper.errors import ArtifactCorrupt

MEASUREMENTS_FOLDER = "benchmarks"
_MANIFEST_PATH = re.compile(rf"(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)/{re.escape(MANIFEST_NAME)}")


def list_artifact_names(state: RepositoryState) -> list[str]:
    """The artifacts of a repository: each lies in a folder of its name, which ends in digits of its key."""
    found = (_MANIFEST_PATH.fullmatch(path) for path in sorted(state.files))
    return [match["name"] for match in found if match and parse_label(match["name"])]


def list_files(state: RepositoryState, name: str) -> dict[str, str]:
    """Paths in the repository of an artifact's files, by their paths in the artifact; the manifest is among them."""
    start = f"{name}/"
    return {path.removeprefix(start): path for path in state.files if path.startswith(start)}


def measurements_path(name: str) -> str:
    return f"{MEASUREMENTS_FOLDER}/{name}.json"


def read_manifest(
    repository: HubRepository, state: RepositoryState, name: str, directory: Path
) -> tuple[Manifest, str]:
    """The manifest of an artifact at the repository's commit, and the sha256 of its bytes.

    Raises ArtifactCorrupt for one that is damaged, of another name than its folder, or not what the hub lists, and
    ArtifactIncompatible for one of a later version.
    """
    path = f"{name}/{MANIFEST_NAME}"
    label = f"{repository.name}@{state.commit[:12]}: {path}"
    listed = state.files[path]
    if listed.size > MANIFEST_LIMIT_BYTES:
        raise ArtifactCorrupt(label, expected=f"at most {MANIFEST_LIMIT_BYTES} bytes", found=f"{listed.size} bytes")
    repository.check_commit(path, state.commit)
    file = repository.download(path, state.commit, directory)
    if not listed.holds(file):
        raise ArtifactCorrupt(label, expected="the file that the hub lists", found="another")
    content = file.read_bytes()
    manifest = decode_manifest(content, label)
    if manifest.name != name:
        raise ArtifactCorrupt(label, expected=f"the name {name}", found=manifest.name)
    return manifest, hashlib.sha256(content).hexdigest()
