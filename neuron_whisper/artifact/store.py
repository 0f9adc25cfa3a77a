"""The store of artifacts: finds, publishes, locks and prunes them, also while other processes do, and after crashes."""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from neuron_whisper.artifact import locks
from neuron_whisper.artifact.cache_directory import (
    CacheDirectory,
    count_bytes,
    find_compiled_entries,
    find_last_write,
    scan,
)
from neuron_whisper.artifact.compatibility import explain_outdated
from neuron_whisper.artifact.key import KEY_DIGITS_IN_NAME, match_reference, parse_label
from neuron_whisper.artifact.loader import Artifact, check_files, read_artifact
from neuron_whisper.artifact.manifest import MANIFEST_NAME, Manifest, encode_manifest, is_later_version
from neuron_whisper.artifact.staging import (
    StagingDirectory,
    clean_stale,
    finalize,
    find_stale_paths,
    make_staging_path,
    scratch_directory,
    staging_directory,
)
from neuron_whisper.errors import ArtifactCorrupt, ArtifactError, ArtifactNotFound, ArtifactOutdated, InvalidOption
from neuron_whisper.host.atomic_files import sync_directory, write_durably
from neuron_whisper.profile import DEFAULT_PROFILE, follow_renaming

_LOG = logging.getLogger(__name__)
_DAY_S = 86_400
# errors of rename when something other than an empty directory is in the way
_DESTINATION_EXISTS = (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR)
# errors of taking a lock in a cache that this user may only read, and outside of a store
_LOCK_UNAVAILABLE = (errno.EACCES, errno.EROFS, errno.EPERM, errno.ENOENT, errno.ENOTDIR)


@dataclass(frozen=True, slots=True, kw_only=True)
class PrunedPath:
    """A file or directory that prune removed (or would remove), why, and its size."""

    path: Path
    reason: str
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OutdatedArtifact:
    """A whole artifact that this installation cannot use, and why (compatibility.explain_outdated)."""

    artifact: Artifact
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredArtifacts:
    """Everything in a store, by name: what can be opened, what an upgrade made useless, and what is damaged."""

    current: list[Artifact] = field(default_factory=list)
    outdated: list[OutdatedArtifact] = field(default_factory=list)
    broken: list[tuple[Path, ArtifactError]] = field(default_factory=list)


class ArtifactStore:
    """The artifacts below one cache directory. Any number of threads and processes may use it at once.

    Every method raises ArtifactUnsafe when others can write the cache directory.
    """

    def __init__(self, root: Path) -> None:
        self.directory = CacheDirectory(root)

    def find(self, key: str) -> Artifact | None:
        """The artifact of that key, by its manifest and file sizes alone.

        None when there is none, or (with a warning) a broken one, which publish then replaces.
        Raises ArtifactUnsafe.
        """
        for path in self._list_paths():
            if path.name.endswith(f"-{key[:KEY_DIGITS_IN_NAME]}"):
                try:
                    artifact = self._read(path)
                    check_files(artifact)
                except ArtifactCorrupt as error:
                    _LOG.warning("not used: %s", error)
                    continue
                if artifact.key == key:
                    return artifact
        return None

    def list_artifacts(self) -> StoredArtifacts:
        """Every artifact by name, and every broken entry with its error. Digests are not checked."""
        stored = StoredArtifacts()
        for path in self._list_paths():
            try:
                artifact = self._read(path)
                check_files(artifact)
                if reason := explain_outdated(artifact.manifest):
                    stored.outdated.append(OutdatedArtifact(artifact=artifact, reason=reason))
                    continue
                artifact.check_tables()
                stored.current.append(artifact)
            except ArtifactError as error:
                stored.broken.append((path, error))
        return stored

    def resolve(self, reference: str, *, profile: str | None = None) -> Artifact:
        """The artifact by name, model's label, beginning of its name or key (key.match_reference), or path.

        Of several artifacts with the label, the newest with the default profile is meant, or the newest when all have
        one profile; with `profile`, the newest with that one, or with what an earlier name leads to where no artifact
        has that name. Outdated ones are no candidates. Raises
        ArtifactNotFound, ArtifactOutdated when all that match are, InvalidOption listing the candidates and their
        profiles when that does not decide, and the artifact's own error when it is broken.
        """
        known = {path.name: path for path in self._list_paths()}
        matching = match_reference(reference, known)
        outdated = {name: reason for name in matching if (reason := self._explain_outdated(known[name]))}
        candidates = [name for name in matching if name not in outdated]
        if len(candidates) > 1 or (candidates and profile is not None):
            return self._choose(reference, [known[name] for name in candidates], profile)
        if candidates:
            artifact = self._read(known[candidates[0]])
            # a reference longer than the digits in a name has to match the whole key too
            if artifact.name.startswith(reference) or artifact.key.startswith(reference):
                return artifact
        path = Path(reference)
        with suppress(OSError):  # too long, or closed to us: no path then
            if (path / MANIFEST_NAME).is_file():
                artifact = read_artifact(path.resolve())
                if reason := explain_outdated(artifact.manifest):
                    raise ArtifactOutdated(str(path), reason)
                return artifact
        for name, reason in outdated.items():
            raise ArtifactOutdated(name, reason)
        raise ArtifactNotFound(reference, known)

    def _explain_outdated(self, path: Path) -> str:
        """As compatibility.explain_outdated; "" for a broken one, whose own error is raised when it is read."""
        try:
            return explain_outdated(self._read(path).manifest)
        except ArtifactError:
            return ""

    def _choose(self, reference: str, paths: list[Path], profile: str | None) -> Artifact:
        profiles: dict[str, str | None] = {}
        artifacts: list[Artifact] = []
        for path in paths:
            with suppress(ArtifactError):  # `artifacts list` names the broken ones
                artifact = self._read(path)
                profiles[artifact.name] = artifact.profile_name
                artifacts.append(artifact)
        names = set(profiles.values())
        if profile is not None and profile not in names:
            profile = follow_renaming(profile)
        if profile is None and all(parse_label(path.name) == reference for path in paths):
            profile = DEFAULT_PROFILE if DEFAULT_PROFILE in names else names.pop() if len(names) == 1 else None
        if chosen := [it for it in artifacts if profile is not None and profiles[it.name] == profile]:
            return max(chosen, key=lambda it: datetime.fromisoformat(it.manifest.created))
        listed = ", ".join(f"{path.name} (profile {profiles.get(path.name) or '-'})" for path in paths)
        if profile is not None:
            raise InvalidOption("profile", profile, f"the profile of one of these artifacts: {listed}")
        raise InvalidOption("artifact", reference, f"several artifacts match; give a profile, or one name: {listed}")

    @contextmanager
    def lock_compile(self, key: str, on_wait: Callable[[], None] | None = None) -> Iterator[None]:
        """Only one process at a time compiles a key; `on_wait` is called once when another one does now."""
        self.directory.create()
        path = self.directory.locks / f"compile-{key[:KEY_DIGITS_IN_NAME]}.lock"
        descriptor = locks.acquire_exclusive(path, on_wait)
        try:
            yield
        finally:
            locks.release_and_delete(descriptor, path)

    @contextmanager
    def lock_shared(self, artifact: Artifact) -> Iterator[None]:
        """Keep an artifact from being pruned while a session uses it; prune counts its age from the last such lock.

        An artifact outside a store, or in one that this user may only read, has no lock to take.
        Raises ArtifactNotFound when it was removed before it could be locked.
        """
        descriptor = None
        try:
            descriptor = locks.acquire_shared(_shared_lock_path(artifact.path))
            os.utime(descriptor)
        except OSError as error:
            if error.errno not in _LOCK_UNAVAILABLE:
                raise
        try:
            if not artifact.path.is_dir():
                raise ArtifactNotFound(artifact.name, (path.name for path in self._list_paths()))
            yield
        finally:
            if descriptor is not None:
                locks.release(descriptor)

    @contextmanager
    def stage(self, name: str) -> Iterator[StagingDirectory]:
        """An empty private directory to fill and then to publish; without publish it is removed again."""
        self.directory.create()
        clean_stale(self.directory)
        with staging_directory(self.directory, name) as staging:
            yield staging

    @contextmanager
    def scratch(self, key: str) -> Iterator[Path]:
        """An empty directory for the compiler of `key`: at the same path in every process, of one at a time."""
        self.directory.create()
        with scratch_directory(self.directory, key) as path:
            yield path

    def publish(self, staging: StagingDirectory, manifest: Manifest) -> Artifact:
        """Make the staged directory an artifact, all at once, and return it. `manifest.files` is filled here.

        When a sound artifact of that name is there already, that one is returned; a broken one is replaced.
        Raises ArtifactUnsafe for staged links, InvalidOption for a manifest that contradicts itself.
        """
        content = encode_manifest(msgspec.structs.replace(manifest, files=finalize(staging.path)))
        # last: a directory with a manifest is complete
        write_durably(staging.path / MANIFEST_NAME, content, mode=0o644)  # whatever the umask, others cannot write it
        for relative in scan(staging.path).directories:
            sync_directory(staging.path / relative)
        sync_directory(staging.path)
        destination = self.directory.artifacts / manifest.name
        with self._write_lock():
            try:
                staging.path.rename(destination)
            except OSError as error:
                if error.errno not in _DESTINATION_EXISTS:
                    raise
                if (existing := self._read_valid(destination)) is not None:
                    return existing
                self._quarantine(destination)
                staging.path.rename(destination)
            sync_directory(self.directory.artifacts)
        clean_stale(self.directory)
        return read_artifact(destination)

    def remove(self, artifact: Artifact) -> None:
        """Delete an artifact of this store. Raises InvalidOption when a session uses it, or it lies elsewhere."""
        path = self.directory.artifacts / artifact.path.name
        if artifact.path.resolve() != path.resolve():
            raise InvalidOption("artifact", str(artifact.path), f"one in {self.directory.artifacts}")
        self.directory.create()
        with self._write_lock():
            if not self._try_remove(path):
                raise InvalidOption("artifact", artifact.name, "one that no session uses")
        clean_stale(self.directory)

    def prune(
        self,
        *,
        keep: Collection[str] = (),
        older_than_days: float | None = None,
        everything: bool = False,
        compile_cache: bool = False,
        dry_run: bool = False,
        now: datetime | None = None,
    ) -> list[PrunedPath]:
        """Remove leftovers of dead processes, outdated artifacts, broken ones (digests are checked), and too old ones.

        An age counts from the last use, or from the compilation where none is known. Artifacts that a session
        uses, and those named in `keep`, stay. `everything` removes all others. `compile_cache`: also what compilers
        keep, or of it what was not written for `older_than_days`; all of it stays while something compiles.
        """
        if not self.directory.check():
            return []
        self.directory.create()
        now_s = (now or datetime.now(UTC)).timestamp()
        removed = [
            PrunedPath(path=path, reason="left by a process that ended", size_bytes=size)
            for path, size in find_stale_paths(self.directory)
        ]
        if not dry_run:
            clean_stale(self.directory)
        for path in self._list_paths():
            if path.name in keep:
                continue
            with self._write_lock():
                reason = "asked for" if everything else self._explain_prune(path, now_s, older_than_days)
                if not reason or locks.is_held(_shared_lock_path(path)):
                    continue
                pruned = PrunedPath(path=path, reason=reason, size_bytes=count_bytes(path))
                if dry_run or self._try_remove(path):
                    removed.append(pruned)
        if compile_cache:
            removed += self._prune_compile_cache(now_s, older_than_days, dry_run=dry_run)
        if not dry_run:
            clean_stale(self.directory)
        return removed

    def _prune_compile_cache(self, now_s: float, older_than_days: float | None, *, dry_run: bool) -> list[PrunedPath]:
        if any(locks.is_held(path) for path in self.directory.locks.glob("compile-*.lock")):
            _LOG.warning("%s is left alone: something is being compiled", self.directory.compile_cache)
            return []
        removed = []
        for path in find_compiled_entries(self.directory, whole=older_than_days is None):
            with suppress(FileNotFoundError):  # another process removes it as well
                age_days = (now_s - find_last_write(path)) / _DAY_S
                if older_than_days is not None and age_days <= older_than_days:
                    continue
                reason = "asked for" if older_than_days is None else f"not written for {age_days:.0f} days"
                pruned = PrunedPath(path=path, reason=f"compile cache, {reason}", size_bytes=count_bytes(path))
                if not dry_run:
                    self._quarantine(path)
                removed.append(pruned)
        return removed

    def _list_paths(self) -> list[Path]:
        return sorted(self.directory.artifacts.iterdir()) if self.directory.check() else []

    def _read(self, path: Path) -> Artifact:
        artifact = read_artifact(path)
        if artifact.name != path.name:
            raise ArtifactCorrupt(path, expected=f"the name {artifact.name}", found=path.name)
        return artifact

    def _read_valid(self, path: Path) -> Artifact | None:
        try:
            artifact = self._read(path)
            check_files(artifact, verify_digests=True)
        except ArtifactError as error:
            _LOG.warning("replaced: %s", error)
            return None
        return artifact

    @contextmanager
    def _write_lock(self) -> Iterator[None]:
        """Let one process at a time rename in artifacts/, so that a broken artifact is not replaced before it goes."""
        descriptor = locks.acquire_exclusive(self.directory.locks / "changing.lock")
        try:
            yield
        finally:
            locks.release(descriptor)

    def _quarantine(self, path: Path) -> None:
        path.rename(make_staging_path(self.directory, path.name))

    def _try_remove(self, path: Path) -> bool:
        """Rename it out of artifacts/, so that a crash leaves no half of it; False when a session uses it."""
        lock_path = _shared_lock_path(path)
        descriptor = locks.try_acquire_exclusive(lock_path)
        if descriptor is None:
            return False
        try:
            with suppress(FileNotFoundError):
                self._quarantine(path)
            sync_directory(self.directory.artifacts)
        finally:
            locks.release_and_delete(descriptor, lock_path)
        return True

    def _explain_prune(self, path: Path, now_s: float, older_than_days: float | None) -> str:
        """Why the artifact is removed, or "". Unsafe ones and those of a later version stay: they may still be used."""
        try:
            artifact = self._read(path)
            if reason := explain_outdated(artifact.manifest):
                return "" if is_later_version(artifact.manifest.neuron_whisper) else f"outdated: {reason}"
            check_files(artifact, verify_digests=True)
        except ArtifactCorrupt as error:
            return str(error)
        except ArtifactError:
            return ""
        age_days = (now_s - _read_last_use(artifact)) / _DAY_S
        if older_than_days is not None and age_days > older_than_days:
            return f"not used for {age_days:.0f} days"
        return ""


def _shared_lock_path(path: Path) -> Path:
    """The lock file in locks/ of the artifact's store; for an artifact outside a store a path that cannot be made."""
    if path.parent.name != "artifacts":
        return path / MANIFEST_NAME / "outside-a-store"
    return path.parent.parent / "locks" / f"hold-{path.name}.lock"


def _read_last_use(artifact: Artifact) -> float:
    created = datetime.fromisoformat(artifact.manifest.created).timestamp()
    try:
        return max(created, _shared_lock_path(artifact.path).stat().st_mtime)
    except FileNotFoundError:
        return created
