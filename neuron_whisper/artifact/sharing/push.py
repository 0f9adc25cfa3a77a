"""Pushing artifacts to a repository of the Hugging Face hub: one commit with their files and the card of all."""

from __future__ import annotations

import hashlib
import logging
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from neuron_whisper import __version__
from neuron_whisper.artifact.loader import Artifact, check_files
from neuron_whisper.artifact.manifest import MANIFEST_NAME, encode_manifest
from neuron_whisper.artifact.sharing.card import (
    CARD_LIMIT_BYTES,
    CARD_NAME,
    UNKNOWN_LICENCE,
    CardEntry,
    make_card,
    split_card_file,
)
from neuron_whisper.artifact.sharing.hub_errors import RepositoryMissing, RepositoryMoved
from neuron_whisper.artifact.sharing.layout import list_artifact_names, list_files, measurements_path, read_manifest
from neuron_whisper.artifact.sharing.measurements import Measurement, decode_measurements, encode_measurements
from neuron_whisper.artifact.sharing.repository import HubRepository, RepositoryState
from neuron_whisper.errors import ArtifactError, InvalidOption
from neuron_whisper.model.progress import DownloadProgress

_LOG = logging.getLogger(__name__)
_ATTEMPTS = 3  # when others push to the repository at the same time


@dataclass(frozen=True, slots=True, kw_only=True)
class PushOptions:
    """`public` makes a new repository public, and allows one that is. `card` is the text of --card."""

    public: bool = False
    card: str = ""
    tags: tuple[str, ...] = ()
    measurements: Sequence[Measurement] = ()
    dry_run: bool = False

    def __post_init__(self) -> None:
        if self.card:
            split_card_file(self.card)
        for tag in self.tags:
            if not tag.strip() or not tag.isprintable():
                raise InvalidOption("--tags", tag, "words with commas between them")


@dataclass(frozen=True, slots=True, kw_only=True)
class PushResult:
    """A push: the commit that has it (None of a dry run that would make the repository), its address, what was sent.

    `sent` are sizes in bytes by path, `deleted` the paths that a former push of the same artifacts had. `digests` are
    the sha256 of each artifact's manifest.json, by name.
    """

    repository: str
    url: str
    commit: str | None
    is_new: bool
    is_private: bool
    digests: Mapping[str, str]
    sent: Mapping[str, int]
    deleted: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def push_artifacts(
    repository: HubRepository,
    artifacts: Sequence[Artifact],
    options: PushOptions | None = None,
    *,
    progress: DownloadProgress | None = None,
) -> PushResult:
    """Push artifacts, all or none, into a repository, which is made when it is not there: private, unless `public`.

    Files that it has already are not sent again. Raises ArtifactCorrupt and ArtifactUnsafe for an artifact that is
    not whole, InvalidOption for a repository that is public when `public` is not set, TransferFailed.
    """
    options = options or PushOptions()
    for artifact in artifacts:
        check_files(artifact, verify_digests=True)
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            return _Push(repository, artifacts, options).run(progress)
        except RepositoryMoved:
            if attempt == _ATTEMPTS:
                raise
            _LOG.info("%s has changed meanwhile; once more", repository.name)
    raise AssertionError


@dataclass(slots=True)
class _Push:
    """One attempt, on the state of the repository that it reads first."""

    repository: HubRepository
    artifacts: Sequence[Artifact]
    options: PushOptions
    warnings: list[str] = field(default_factory=list)

    def run(self, progress: DownloadProgress | None) -> PushResult:
        is_private = not self.options.public
        try:
            state: RepositoryState | None = self.repository.read_state()
        except RepositoryMissing:
            state = None if self.options.dry_run else self.repository.create(private=is_private)
            is_new = True
        else:
            is_new = False
        if state is not None:
            self._check_visibility(state)
            is_private = state.is_private
        with tempfile.TemporaryDirectory(prefix="neuron-whisper-push-") as directory:
            files = self._choose_files(state, Path(directory))
            deleted = () if state is None else tuple(self._find_deleted(state))
            commit = None if state is None else state.commit
            if state is not None and (files or deleted) and not self.options.dry_run:
                names = ", ".join(artifact.name for artifact in self.artifacts)
                commit = self.repository.commit(
                    files,
                    deleted=deleted,
                    message=f"Add {names} (neuron-whisper {__version__})",
                    parent=state.commit,
                    progress=progress,
                )
        return PushResult(
            repository=self.repository.name,
            url=self.repository.make_url(commit or "main"),
            commit=commit,
            is_new=is_new,
            is_private=is_private,
            digests={artifact.name: _digest_manifest(artifact) for artifact in self.artifacts},
            sent={name: _size(content) for name, content in files.items()},
            deleted=deleted,
            warnings=tuple(self.warnings),
        )

    def _check_visibility(self, state: RepositoryState) -> None:
        if not state.is_private and not self.options.public:
            allowed = "with --public alone: this repository is public, and everybody would see what is pushed"
            raise InvalidOption("REPO", self.repository.name, allowed)
        if state.is_private and self.options.public:
            self.warnings.append(
                f"{self.repository.name} is there and stays private; its settings on the hub change it"
            )

    def _choose_files(self, state: RepositoryState | None, directory: Path) -> dict[str, Path | bytes]:
        """What the commit adds or changes, by path in the repository: files, measurements, the card last."""
        files: dict[str, Path | bytes] = {}
        for artifact in self.artifacts:
            for name in (*sorted(artifact.manifest.files), MANIFEST_NAME):
                path = f"{artifact.name}/{name}"
                if state is None or path not in state.files or not state.files[path].holds(artifact.path / name):
                    files[path] = artifact.path / name
        texts = dict(self._make_texts(state, directory))
        for path, content in texts.items():
            (directory / "compared").write_bytes(content)
            if state is None or path not in state.files or not state.files[path].holds(directory / "compared"):
                files[path] = content
        return files

    def _make_texts(self, state: RepositoryState | None, directory: Path) -> Iterator[tuple[str, bytes]]:
        """Measurements of the pushed artifacts, and the card, which is of all artifacts in the repository."""
        others = {} if state is None else dict(self._read_entries(state, directory))
        entries = dict(others)
        for artifact in self.artifacts:
            measured = [it for it in self.options.measurements if it.artifact_key == artifact.key]
            if measured:
                yield measurements_path(artifact.name), encode_measurements(measured)
            elif state is not None:
                measured = self._read_measurements(state, artifact.name, directory)
            entries[artifact.name] = CardEntry(
                manifest=artifact.manifest, digest=_digest_manifest(artifact), measurements=measured
            )
            self._note(entries[artifact.name])
        existing = "" if state is None else self._read_text(state, CARD_NAME, directory).decode("utf-8", "replace")
        card = make_card(
            self.repository.name,
            [entries[name] for name in sorted(entries)],
            existing=existing,
            before=[others[name] for name in sorted(others)],
            added=self.options.card,
            tags=self.options.tags,
        )
        yield CARD_NAME, card.encode()

    def _read_entries(self, state: RepositoryState, directory: Path) -> Iterator[tuple[str, CardEntry]]:
        """The artifacts that are in the repository; one that this version cannot read is left out of the card."""
        for name in list_artifact_names(state):
            try:
                manifest, digest = read_manifest(self.repository, state, name, directory)
                Artifact(path=Path(name), manifest=manifest).check_tables()
            except ArtifactError as error:
                self.warnings.append(f"the card has no {name}: {error}")
                continue
            measured = self._read_measurements(state, name, directory)
            yield name, CardEntry(manifest=manifest, digest=digest, measurements=measured)

    def _read_measurements(self, state: RepositoryState, name: str, directory: Path) -> list[Measurement]:
        return decode_measurements(self._read_text(state, measurements_path(name), directory))

    def _read_text(self, state: RepositoryState, path: str, directory: Path) -> bytes:
        if path not in state.files or state.files[path].size > CARD_LIMIT_BYTES:
            return b""
        return self.repository.download(path, state.commit, directory).read_bytes()

    def _find_deleted(self, state: RepositoryState) -> Iterator[str]:
        for artifact in self.artifacts:
            for name, path in list_files(state, artifact.name).items():
                if name not in artifact.manifest.files and name != MANIFEST_NAME:
                    yield path

    def _note(self, entry: CardEntry) -> None:
        name = entry.manifest.name
        if entry.licence == UNKNOWN_LICENCE:
            self.warnings.append(f"the licence of {name} is not known here; name it in the front matter of --card")
        if entry.is_local:
            self.warnings.append(f"manifest.json of {name} names the model by its path here: {entry.manifest.model}")


def _digest_manifest(artifact: Artifact) -> str:
    return hashlib.sha256(encode_manifest(artifact.manifest)).hexdigest()


def _size(content: Path | bytes) -> int:
    return len(content) if isinstance(content, bytes) else content.stat().st_size
