"""Pulling artifacts from a repository of the Hugging Face hub: all files of one commit, checked, then stored."""

from __future__ import annotations

import hashlib
import re
import shutil
import stat
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from neuron_whisper.artifact.compatibility import explain_unusable
from neuron_whisper.artifact.key import match_reference
from neuron_whisper.artifact.loader import Artifact, check_files
from neuron_whisper.artifact.manifest import MANIFEST_NAME, FileEntry, Manifest
from neuron_whisper.artifact.sharing.hub_errors import translate_hub_errors
from neuron_whisper.artifact.sharing.layout import list_artifact_names, list_files, read_manifest
from neuron_whisper.artifact.sharing.repository import HubRepository, RepositoryState
from neuron_whisper.artifact.store import ArtifactStore
from neuron_whisper.errors import (
    ArtifactCorrupt,
    ArtifactError,
    ArtifactNotFound,
    ArtifactOutdated,
    InvalidOption,
    MissingOption,
    TransferFailed,
)
from neuron_whisper.model.progress import DownloadProgress, track_download

ELSEWHERE = "--for-another-machine stores it all the same"
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class PullOptions:
    """`revision`: a branch, tag or commit, None for main. `digest`: the sha256 that manifest.json has to have.

    `any_machine` stores also what this installation cannot use.
    """

    revision: str | None = None
    digest: str | None = None
    any_machine: bool = False
    dry_run: bool = False

    def __post_init__(self) -> None:
        if self.digest is not None and not _SHA256.fullmatch(self.digest):
            raise InvalidOption(
                "--digest", self.digest, "the sha256 of manifest.json, 64 hex digits, as push prints it"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class PulledArtifact:
    """An artifact of the repository. `artifact` is the stored one, None in a dry run of one that is not here.

    `is_new` when it was, or would be, downloaded. `unusable`: why this installation cannot use it, or "".
    """

    name: str
    manifest: Manifest
    digest: str
    is_new: bool
    unusable: str = ""
    artifact: Artifact | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PullResult:
    repository: str
    commit: str
    artifacts: tuple[PulledArtifact, ...]


def check_trust(repository: str, trusted: Sequence[str]) -> None:
    """Raises InvalidOption unless the repository's owner is named, exactly."""
    owner = repository.partition("/")[0]
    reason = "artifacts are code, which runs here with your rights"
    if not trusted:
        raise MissingOption("--trust", f"{reason}: name the owner of the repository, {owner}, if you trust them")
    if owner not in trusted:
        allowed = f"{reason}: {repository} is of the owner {owner!r}, and only that exact name allows the pull"
        raise InvalidOption("--trust", ", ".join(trusted), allowed)


def pull_artifacts(
    repository: HubRepository,
    store: ArtifactStore,
    references: Sequence[str] = (),
    options: PullOptions | None = None,
    *,
    trusted: Sequence[str],
    progress: DownloadProgress | None = None,
) -> PullResult:
    """Store the artifacts that `references` name, or the only one of the repository that this installation can use.

    Each is stored whole or not at all. `trusted` are the owners that may be pulled from. Raises InvalidOption for
    another owner, or when several artifacts match; ArtifactNotFound, ArtifactOutdated, ArtifactIncompatible;
    ArtifactCorrupt naming the file that is not what the manifest says; TransferFailed.
    """
    options = options or PullOptions()
    check_trust(repository.name, trusted)
    state = repository.read_state(options.revision)
    try:
        with tempfile.TemporaryDirectory(prefix="neuron-whisper-pull-") as directory:
            offered = _Offer(repository, state, options, Path(directory)).choose(references)
        here = {it.name: _find_stored(store, it.manifest) for it in offered}
        _check_room(repository, store, [it for it in offered if here[it.name] is None])
        pulled = [_pull(repository, state, store, it, here[it.name], options, progress) for it in offered]
    except ArtifactCorrupt as error:
        advice = f"nothing of it was stored; ask its owner, {repository.owner}, who can push it again"
        raise ArtifactCorrupt(error.path, expected=error.expected, found=error.found, advice=advice) from None
    return PullResult(repository=repository.name, commit=state.commit, artifacts=tuple(pulled))


@dataclass(frozen=True, slots=True)
class _Offer:
    """What a repository has, and which of it is meant."""

    repository: HubRepository
    state: RepositoryState
    options: PullOptions
    directory: Path

    def choose(self, references: Sequence[str]) -> list[PulledArtifact]:
        names = list_artifact_names(self.state)
        if not names:
            reason = f"there is no artifact in it at the commit {self.state.commit}; `artifacts push` puts one there"
            raise TransferFailed(self.repository.name, reason)
        chosen = [self._find(it, names) for it in dict.fromkeys(references)] or [self._find_usable(names)]
        chosen = list({it.name: it for it in chosen}.values())
        for it in chosen:
            self._check_digest(it, len(chosen))
            if it.unusable and not self.options.any_machine:
                raise ArtifactOutdated(it.name, it.unusable, f"this installation cannot use it; {ELSEWHERE}")
        return chosen

    def _find(self, reference: str, names: Sequence[str]) -> PulledArtifact:
        matching = [self._read(name) for name in match_reference(reference, names)]
        # a name holds the first digits of a key alone
        matching = [it for it in matching if it.name.startswith(reference) or it.manifest.key.startswith(reference)]
        if not matching:
            raise ArtifactNotFound(reference, names)
        usable = [it for it in matching if not it.unusable] or matching
        if len(usable) > 1:
            raise self._make_choice_error(reference, usable)
        return usable[0]

    def _find_usable(self, names: Sequence[str]) -> PulledArtifact:
        """The only artifact, or the only one that can be used here."""
        if len(names) == 1:
            return self._read(names[0])
        usable: list[PulledArtifact] = []
        for name in names:
            try:
                found = self._read(name)
            except ArtifactError:  # damaged, or of a later version: not the one to choose
                continue
            usable += [found] if not found.unusable else []
        if len(usable) != 1:
            raise self._make_choice_error("", usable or names)
        return usable[0]

    def _make_choice_error(self, reference: str, found: Sequence[PulledArtifact | str]) -> InvalidOption:
        listed = ", ".join(it if isinstance(it, str) else it.name for it in found)
        is_usable = found and isinstance(found[0], PulledArtifact)
        what = "these can be used here" if is_usable else "none of them can be used here"
        if not reference:
            return MissingOption("REF", f"{self.repository.name} has several artifacts; {what}, name one: {listed}")
        return InvalidOption("REF", reference, f"several artifacts match; name one in full: {listed}")

    def _read(self, name: str) -> PulledArtifact:
        manifest, digest = read_manifest(self.repository, self.state, name, self.directory)
        Artifact(path=Path(name), manifest=manifest).check_tables()
        return PulledArtifact(
            name=name, manifest=manifest, digest=digest, is_new=True, unusable=explain_unusable(manifest)
        )

    def _check_digest(self, it: PulledArtifact, count: int) -> None:
        if self.options.digest is None:
            return
        if count > 1:
            raise InvalidOption("--digest", self.options.digest, "with one artifact alone")
        if it.digest != self.options.digest:
            path = f"{self.repository.name}@{self.state.commit[:12]}: {it.name}/{MANIFEST_NAME}"
            raise ArtifactCorrupt(path, expected=f"sha256 {self.options.digest}", found=f"sha256 {it.digest}")


def _pull(
    repository: HubRepository,
    state: RepositoryState,
    store: ArtifactStore,
    offered: PulledArtifact,
    stored: Artifact | None,
    options: PullOptions,
    progress: DownloadProgress | None,
) -> PulledArtifact:
    if stored is not None:
        if options.digest is not None and stored.manifest.seal != offered.manifest.seal:
            reason = f"{offered.name} is stored here with other files, compiled on its own; pull into another --cache"
            raise TransferFailed(repository.name, reason)
        return replace(offered, is_new=False, artifact=stored)
    listed = _check_listing(repository, state, offered)
    if options.dry_run:
        return offered
    with translate_hub_errors(repository.name):  # a disk that is full
        return replace(offered, artifact=_download(repository, state, store, offered, listed, progress))


def _download(
    repository: HubRepository,
    state: RepositoryState,
    store: ArtifactStore,
    offered: PulledArtifact,
    listed: Mapping[str, str],
    progress: DownloadProgress | None,
) -> Artifact:
    """Download the files into a staging directory, check each, then move them into another and publish that."""
    manifest = offered.manifest
    size_bytes = sum(entry.size for entry in manifest.files.values())
    with store.stage(f"{offered.name}-download") as downloads, store.stage(offered.name) as staging:
        files: dict[str, Path] = {}
        with track_download(progress, offered.name, downloads.path, size_bytes):
            for name, path in sorted(listed.items()):
                files[name] = repository.download(path, state.commit, downloads.path)
                label = f"{repository.name}@{state.commit[:12]}: {path}"
                _check_file(files[name], downloads.path, label, manifest.files[name])
        for name, file in files.items():
            destination = staging.path / name
            destination.parent.mkdir(parents=True, exist_ok=True)
            file.rename(destination)
        return store.publish(staging, manifest)


def _find_stored(store: ArtifactStore, manifest: Manifest) -> Artifact | None:
    """The stored artifact of this key, when it is whole; a damaged one is pulled anew."""
    stored = store.find(manifest.key)
    if stored is None:
        return None
    try:
        check_files(stored, verify_digests=True)
    except ArtifactError:
        return None
    return stored


def _check_listing(repository: HubRepository, state: RepositoryState, offered: PulledArtifact) -> Mapping[str, str]:
    """Paths in the repository by name in the artifact. The hub has to list what the manifest does, and no more.

    Before anything is downloaded; digests are compared where the hub knows them.
    """
    listed = list_files(state, offered.name)
    listed.pop(MANIFEST_NAME)
    label = f"{repository.name}@{state.commit[:12]}: {offered.name}"
    for name in sorted(listed.keys() - offered.manifest.files.keys()):
        shown = name if name.isprintable() else repr(name)  # a terminal would obey it
        raise ArtifactCorrupt(f"{label}/{shown}", expected="no such file", found="one that is not listed")
    for name, entry in sorted(offered.manifest.files.items()):
        found = state.files[listed[name]] if name in listed else None
        if found is None or found.size != entry.size:
            size = "no such file" if found is None else f"{found.size} bytes"
            raise ArtifactCorrupt(f"{label}/{name}", expected=f"{entry.size} bytes", found=size)
        if found.sha256 is not None and found.sha256 != entry.sha256:
            expected, other = f"sha256 {entry.sha256}", f"sha256 {found.sha256}"
            raise ArtifactCorrupt(f"{label}/{name}", expected=expected, found=other)
    return listed


def _check_file(file: Path, downloads: Path, label: str, entry: FileEntry) -> None:
    """Raises ArtifactCorrupt unless the file is a plain one below `downloads`, and what the manifest says."""
    info = file.lstat()
    if not stat.S_ISREG(info.st_mode) or not file.resolve().is_relative_to(downloads.resolve()):
        raise ArtifactCorrupt(label, expected="a plain file", found="something else")
    if info.st_size != entry.size:
        raise ArtifactCorrupt(label, expected=f"{entry.size} bytes", found=f"{info.st_size} bytes")
    with file.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    if digest != entry.sha256:
        raise ArtifactCorrupt(label, expected=f"sha256 {entry.sha256}", found=f"sha256 {digest}")


def _check_room(repository: HubRepository, store: ArtifactStore, offered: Sequence[PulledArtifact]) -> None:
    """Raises TransferFailed when the disk has no room for what is to be downloaded."""
    needed = sum(entry.size for it in offered for entry in it.manifest.files.values())
    root = store.directory.root
    there = next(path for path in (root, *root.absolute().parents) if path.exists())
    free = shutil.disk_usage(there).free
    if needed > free:
        reason = (
            f"{needed / 1e9:.2f} GB are to be stored in {root}, and {free / 1e9:.2f} GB are free; "
            "`artifacts prune` frees some, --cache names another place"
        )
        raise TransferFailed(repository.name, reason)
