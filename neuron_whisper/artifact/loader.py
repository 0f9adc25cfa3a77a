"""Reading a stored artifact: every check between bytes on disk and trusting them."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import msgspec

from neuron_whisper.artifact.cache_directory import check_safe, scan
from neuron_whisper.artifact.key import explain_difference
from neuron_whisper.artifact.manifest import (
    MANIFEST_LIMIT_BYTES,
    MANIFEST_NAME,
    Manifest,
    decode_manifest,
    profile_from_data,
    spec_from_data,
)
from neuron_whisper.errors import ArtifactCorrupt, ArtifactError, ArtifactIncompatible, ArtifactUnsafe
from neuron_whisper.profile import CompileProfile, find_profile_name
from neuron_whisper.target.interfaces import ProgramSpec

WEIGHTS_DIRECTORY = "weights"  # of numbers, none of which is a program
HASH_THREADS = 2  # hashlib lets go of the interpreter lock; more threads wait for the disk


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """A directory whose manifest was read. check_artifact checks whether its files can be used."""

    path: Path
    manifest: Manifest

    @property
    def name(self) -> str:
        return self.manifest.name

    @property
    def key(self) -> str:
        return self.manifest.key

    @property
    def profile_name(self) -> str | None:
        """The profile's name as it was compiled with.

        Of an artifact without a name: that of the packaged profile with the same settings. Raises ArtifactCorrupt.
        """
        name = self.manifest.profile_name
        return find_profile_name(self.profile) if isinstance(name, msgspec.UnsetType) else name

    @property
    def size_bytes(self) -> int:
        """Of its files, without the manifest."""
        return sum(entry.size for entry in self.manifest.files.values())

    @property
    def spec(self) -> ProgramSpec:
        """Raises ArtifactCorrupt."""
        return spec_from_data(self.manifest.spec, self.path / MANIFEST_NAME)

    @property
    def profile(self) -> CompileProfile:
        """Raises ArtifactCorrupt."""
        return profile_from_data(self.manifest.profile, self.path / MANIFEST_NAME)

    def check_tables(self) -> None:
        """Raises ArtifactCorrupt when the manifest's profile or spec cannot be read."""
        _ = self.profile, self.spec


def read_artifact(path: Path) -> Artifact:
    """The artifact in a directory, by its manifest alone.

    Raises ArtifactCorrupt, ArtifactUnsafe, ArtifactIncompatible (another format).
    """
    manifest_path = path / MANIFEST_NAME
    try:
        check_safe(path)
        check_safe(manifest_path)
        with manifest_path.open("rb") as file:
            content = file.read(MANIFEST_LIMIT_BYTES + 1)
    except OSError as error:
        raise ArtifactCorrupt(manifest_path, expected="a manifest", found=error.strerror) from None
    if len(content) > MANIFEST_LIMIT_BYTES:
        raise ArtifactCorrupt(manifest_path, expected=f"at most {MANIFEST_LIMIT_BYTES} bytes", found="more")
    return Artifact(path=path, manifest=decode_manifest(content, manifest_path))


def check_artifact(artifact: Artifact, toolchain: Mapping[str, str], *, verify_digests: bool = True) -> None:
    """Check that the artifact can run with this toolchain and has the files that were published.

    Raises ArtifactIncompatible with every difference of the toolchain, ArtifactUnsafe when others can write a
    file, ArtifactCorrupt naming the first file that is missing, surplus, of another size or digest.
    """
    _check_toolchain(artifact, toolchain)
    check_files(artifact, verify_digests=verify_digests)


@contextmanager
def check_artifact_meanwhile(artifact: Artifact, toolchain: Mapping[str, str]) -> Iterator[None]:
    """As check_artifact, but the digests of weights are computed while the block runs, and compared at its end.

    Everything else is checked before. What the block opens must not be used until it has ended. An error of the
    block gives way to ArtifactCorrupt, which may be its reason.
    """
    _check_toolchain(artifact, toolchain)
    weights = {name for name in artifact.manifest.files if PurePosixPath(name).parts[0] == WEIGHTS_DIRECTORY}
    for problem in _iter_problems(artifact, verified={*artifact.manifest.files} - weights):
        raise problem
    with ThreadPoolExecutor(1, thread_name_prefix="digests") as pool:
        found = pool.submit(lambda: list(_iter_wrong_digests(artifact, weights)))
        try:
            yield
        finally:
            for problem in found.result():
                raise problem


def _check_toolchain(artifact: Artifact, toolchain: Mapping[str, str]) -> None:
    differences = {fact: (a, b) for fact, a, b in explain_difference(artifact.manifest.toolchain, toolchain)}
    if differences:
        raise ArtifactIncompatible(artifact.name, differences)


def check_files(artifact: Artifact, *, verify_digests: bool = False) -> None:
    """Raises the first of the artifact's problems: ArtifactUnsafe or ArtifactCorrupt."""
    for problem in _iter_problems(artifact, verified=artifact.manifest.files if verify_digests else ()):
        raise problem


def find_problems(artifact: Artifact) -> list[ArtifactError]:
    """Everything that is wrong with the artifact's files, digests included; empty when it is sound."""
    return list(_iter_problems(artifact, verified=artifact.manifest.files))


def digest_files(directory: Path, paths: Iterable[str]) -> dict[str, str]:
    """sha256, in hex, of each file."""
    paths = list(paths)
    with ThreadPoolExecutor(HASH_THREADS) as pool:
        return dict(zip(paths, pool.map(lambda path: _digest(directory / path), paths), strict=True))


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _iter_wrong_digests(artifact: Artifact, names: Iterable[str]) -> Iterator[ArtifactError]:
    path, listed = artifact.path, artifact.manifest.files
    try:
        for name, digest in digest_files(path, names).items():
            if digest != listed[name].sha256:
                expected, other = f"sha256 {listed[name].sha256}", f"sha256 {digest}"
                yield ArtifactCorrupt(path / name, expected=expected, found=other)
    except OSError as error:
        # removed or made unreadable while it was looked at
        yield ArtifactCorrupt(error.filename or path, expected="a readable file", found=error.strerror)


def _iter_problems(artifact: Artifact, *, verified: Collection[str]) -> Iterator[ArtifactError]:
    """`verified`: the files whose digests are computed; with any, the manifest is read again, too."""
    path, listed = artifact.path, artifact.manifest.files
    try:
        check_safe(path)
        found = scan(path)
        yield from (ArtifactUnsafe(path / name, reason) for name, reason in found.unsafe.items())
        for name in sorted({*found.files} - {*listed, MANIFEST_NAME}):
            yield ArtifactCorrupt(path / name, expected="no such file", found="one that is not listed")
        parents = {str(parent) for name in listed for parent in PurePosixPath(name).parents}
        for name in sorted({*found.directories} - parents):
            yield ArtifactCorrupt(path / name, expected="no such directory", found="one without listed files")
        whole = []
        for name, entry in listed.items():
            if name not in found.files:
                yield ArtifactCorrupt(path / name, expected=f"{entry.size} bytes", found="no such file")
            elif (size := found.files[name].st_size) != entry.size:
                yield ArtifactCorrupt(path / name, expected=f"{entry.size} bytes", found=f"{size} bytes")
            elif name not in found.unsafe:
                whole.append(name)
        if verified:
            yield from _iter_wrong_digests(artifact, [name for name in whole if name in verified])
            if (now := read_artifact(path).manifest.seal) != artifact.manifest.seal:
                expected, other = f"seal {artifact.manifest.seal}", f"seal {now}"
                yield ArtifactCorrupt(path / MANIFEST_NAME, expected=expected, found=other)
    except ArtifactError as error:
        yield error
    except OSError as error:
        # removed or made unreadable while it was looked at
        yield ArtifactCorrupt(error.filename or path, expected="a readable file", found=error.strerror)
