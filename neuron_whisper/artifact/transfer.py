"""An artifact as one tar with checksums, for machines without a network: written one way, read strictly."""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from neuron_whisper.artifact.loader import Artifact, check_files
from neuron_whisper.artifact.manifest import (
    MANIFEST_LIMIT_BYTES,
    MANIFEST_NAME,
    FileEntry,
    decode_manifest,
    encode_manifest,
)
from neuron_whisper.artifact.store import ArtifactStore
from neuron_whisper.errors import ArtifactCorrupt, InvalidOption
from neuron_whisper.host.atomic_files import open_atomically

CHECKSUMS_NAME = "SHA256SUMS"
CHECKSUMS_LIMIT_BYTES = MANIFEST_LIMIT_BYTES  # a line is shorter than the manifest's entry of the same file
_CHUNK_BYTES = 1 << 20
_END_OF_ARCHIVE = bytes(2 * tarfile.BLOCKSIZE)  # a tar ends with two empty blocks


def export_artifact(artifact: Artifact, destination: Path | BinaryIO) -> None:
    """Write SHA256SUMS, manifest.json and the sorted files as a plain tar; equal artifacts give equal bytes.

    A file appears under its name only when it is whole; `sha256sum -c SHA256SUMS` checks what tar unpacks.
    Raises ArtifactCorrupt when the artifact is not what its manifest says, InvalidOption for a destination
    that cannot be written.
    """
    check_files(artifact)
    if not isinstance(destination, Path):
        _write_archive(artifact, destination)
        return
    try:
        if destination.exists() and not destination.is_file():
            with destination.open("wb") as stream:  # a device or a pipe: renaming would replace it
                _write_archive(artifact, stream)
        else:
            with open_atomically(destination) as stream:
                _write_archive(artifact, stream)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError, PermissionError) as error:
        reason = f"a file in an existing directory that this user can write ({error.strerror})"
        raise InvalidOption("destination", str(destination), reason) from None


def import_artifact(store: ArtifactStore, source: Path | BinaryIO) -> Artifact:
    """Check a tar that export_artifact wrote, member by member, and publish it.

    The checksums find damage, not malice: import only artifacts from a source you trust.
    Raises ArtifactCorrupt naming the member that is damaged, missing, surplus or no plain file,
    ArtifactIncompatible for another format, InvalidOption when there is no such file.
    """
    if not isinstance(source, Path):
        return _ArchiveReader(source, "archive").publish_into(store)
    try:
        stream = source.open("rb")
    except OSError as error:
        raise InvalidOption("archive", str(source), f"a file that can be read ({error.strerror})") from None
    with stream:
        return _ArchiveReader(stream, str(source)).publish_into(store)


def _write_archive(artifact: Artifact, stream: BinaryIO) -> None:
    content = encode_manifest(artifact.manifest)
    files = sorted(artifact.manifest.files.items())
    _write_member(stream, CHECKSUMS_NAME, _format_checksums(content, files))
    _write_member(stream, MANIFEST_NAME, content)
    for name, entry in files:
        stream.write(_make_header(name, entry.size))
        with (artifact.path / name).open("rb") as file:
            digest = hashlib.sha256()
            while chunk := file.read(_CHUNK_BYTES):
                digest.update(chunk)
                stream.write(chunk)
        if digest.hexdigest() != entry.sha256:
            found = f"sha256 {digest.hexdigest()}"
            raise ArtifactCorrupt(artifact.path / name, expected=f"sha256 {entry.sha256}", found=found)
        stream.write(_make_padding(entry.size))
    stream.write(_END_OF_ARCHIVE)


def _format_checksums(manifest: bytes, files: list[tuple[str, FileEntry]]) -> bytes:
    """What sha256sum prints for the manifest and the files."""
    digests = [(hashlib.sha256(manifest).hexdigest(), MANIFEST_NAME)]
    digests += [(entry.sha256, name) for name, entry in files]
    return "".join(f"{digest}  {name}\n" for digest, name in digests).encode()


def _write_member(stream: BinaryIO, name: str, content: bytes) -> None:
    stream.write(_make_header(name, len(content)) + content + _make_padding(len(content)))


def _make_header(name: str, size: int) -> bytes:
    """The one header of a member: mode 0644, no owner, no time. GNU's form holds sizes above 8 GiB."""
    member = tarfile.TarInfo(name)
    member.size = size
    return member.tobuf(tarfile.GNU_FORMAT)


def _make_padding(size: int) -> bytes:
    return bytes(-size % tarfile.BLOCKSIZE)


class _ArchiveReader:
    """Reads a tar front to back, keeps nothing it has not checked, and is used once.

    Not tarfile.open: that follows extension headers which an export never has, and which may ask for any
    amount of memory.
    """

    def __init__(self, stream: BinaryIO, label: str) -> None:
        self._stream, self._label = stream, label

    def publish_into(self, store: ArtifactStore) -> Artifact:
        sums = self._read_member(CHECKSUMS_NAME, CHECKSUMS_LIMIT_BYTES)
        content = self._read_member(MANIFEST_NAME, MANIFEST_LIMIT_BYTES)
        manifest = decode_manifest(content, self._member_path(MANIFEST_NAME))
        files = sorted(manifest.files.items())
        if sums != _format_checksums(content, files):
            raise self._make_error(CHECKSUMS_NAME, "the digests of the manifest and of the files in it", "others")
        with store.stage(manifest.name) as staging:
            for name, entry in files:
                self._extract(name, entry, staging.path / name)
            self._check_end()
            return store.publish(staging, manifest)

    def _extract(self, name: str, entry: FileEntry, path: Path) -> None:
        size = self._read_header(name)
        if size != entry.size:
            raise self._make_error(name, f"{entry.size} bytes", f"{size} bytes")
        path.parent.mkdir(parents=True, exist_ok=True)
        digest = hashlib.sha256()
        with path.open("xb") as file:
            for chunk in self._iter_content(name, size):
                digest.update(chunk)
                file.write(chunk)
        if digest.hexdigest() != entry.sha256:
            raise self._make_error(name, f"sha256 {entry.sha256}", f"sha256 {digest.hexdigest()}")

    def _read_member(self, name: str, limit_bytes: int) -> bytes:
        size = self._read_header(name)
        if size > limit_bytes:
            raise self._make_error(name, f"at most {limit_bytes} bytes", f"{size} bytes")
        return b"".join(self._iter_content(name, size))

    def _read_header(self, expected: str) -> int:
        """Read the next header, which has to be that of `expected` to the byte; the member's size."""
        block = self._read_exactly(expected, tarfile.BLOCKSIZE)
        if not block.strip(b"\0"):
            raise self._make_error(expected, "a member of this name", "the end of the archive")
        try:
            member = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
        except tarfile.HeaderError as error:
            raise self._make_error(expected, "the header of a tar member", error) from None
        if member.name != expected:
            raise self._make_error(expected, "a member of this name", repr(member.name))
        if not member.isreg():
            raise self._make_error(expected, "a plain file", f"a member of type {member.type!r}")
        if member.size < 0 or block != _make_header(member.name, member.size):
            raise self._make_error(expected, "a header as export writes it", "another")
        return member.size

    def _iter_content(self, name: str, size: int) -> Iterator[bytes]:
        left = size
        while left:
            chunk = self._read_exactly(name, min(left, _CHUNK_BYTES))
            left -= len(chunk)
            yield chunk
        padding = _make_padding(size)
        if self._read_exactly(name, len(padding)) != padding:
            raise self._make_error(name, "zeros after the file", "other bytes")

    def _check_end(self) -> None:
        block = self._read_exactly("", len(_END_OF_ARCHIVE))
        while block:
            if block.strip(b"\0"):
                raise self._make_error("", "the end of the archive after the last file of the manifest", "more")
            block = self._stream.read(_CHUNK_BYTES)

    def _read_exactly(self, name: str, size: int) -> bytes:
        """`size` bytes; a pipe may give them in pieces."""
        pieces = []
        while size:
            piece = self._stream.read(size)
            if not piece:
                raise self._make_error(name, f"{size} more bytes", "the end of the file")
            pieces.append(piece)
            size -= len(piece)
        return b"".join(pieces)

    def _member_path(self, name: str) -> str:
        return f"{self._label}: {name}" if name else self._label

    def _make_error(self, name: str, expected: object, found: object) -> ArtifactCorrupt:
        return ArtifactCorrupt(self._member_path(name), expected=expected, found=found)
