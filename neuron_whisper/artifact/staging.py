"""Staging directories: private, locked while their process lives, and finalized before they are published."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from neuron_whisper.artifact import locks
from neuron_whisper.artifact.cache_directory import (
    OTHERS_CAN_WRITE,
    CacheDirectory,
    check_safe,
    count_bytes,
    discard,
    scan,
)
from neuron_whisper.artifact.key import KEY_DIGITS_IN_NAME
from neuron_whisper.artifact.loader import digest_files
from neuron_whisper.artifact.manifest import FileEntry
from neuron_whisper.host.atomic_files import sync_file

_LOCK_PREFIX = "staging-"


@dataclass(frozen=True, slots=True)
class StagingDirectory:
    """A private directory that becomes an artifact, or nothing."""

    path: Path


@contextmanager
def staging_directory(directory: CacheDirectory, name: str) -> Iterator[StagingDirectory]:
    """An empty staging directory, removed again unless it was renamed away."""
    path = make_staging_path(directory, name)
    lock_path = _lock_path(directory, path.name)
    # locked before the directory is there: a process that sees the directory knows that its owner is alive,
    # also from another container, where this process id means nothing
    descriptor = locks.acquire_exclusive(lock_path)
    try:
        path.mkdir(mode=0o700)
        yield StagingDirectory(path)
    finally:
        discard(path)
        locks.release_and_delete(descriptor, lock_path)


@contextmanager
def scratch_directory(directory: CacheDirectory, key: str) -> Iterator[Path]:
    """The directory in staging/ for what the compiler of `key` writes: empty, locked, and removed again.

    Its path is the same in every process: compilers hash the paths that they are given to find what they compiled.
    """
    path = directory.staging / f"compile-{key[:KEY_DIGITS_IN_NAME]}"
    lock_path = _lock_path(directory, path.name)
    descriptor = locks.acquire_exclusive(lock_path)
    try:
        discard(path)  # of a process that was killed
        path.mkdir(mode=0o700)
        yield path
    finally:
        discard(path)
        locks.release_and_delete(descriptor, lock_path)


def make_staging_path(directory: CacheDirectory, name: str) -> Path:
    """A new path in staging/ whose name holds the process id and the purpose, for people who look there."""
    return directory.staging / f"{os.getpid()}-{secrets.token_hex(4)}-{name}"


def find_stale_paths(directory: CacheDirectory) -> list[tuple[Path, int]]:
    """What dead processes left in staging/, with its bytes."""
    stale = []
    for path in sorted(directory.staging.iterdir()):
        with suppress(FileNotFoundError):  # its process ends in this moment, or another one sweeps
            if not locks.is_held(_lock_path(directory, path.name)):
                stale.append((path, count_bytes(path)))
    return stale


def clean_stale(directory: CacheDirectory) -> None:
    """Remove what dead processes left in staging/, and their locks."""
    left = {_lock_path(directory, path.name): path for path in directory.staging.iterdir()}
    for lock_path in sorted({*left, *directory.locks.glob(f"{_LOCK_PREFIX}*")}):
        # the lock's file is deleted only under the lock: its maker may be about to take it
        descriptor = locks.try_acquire_exclusive(lock_path)
        if descriptor is not None:
            if lock_path in left:
                discard(left[lock_path])
            locks.release_and_delete(descriptor, lock_path)


def finalize(directory: Path) -> dict[str, FileEntry]:
    """Make a staged tree plain, closed to other writers and durable; the manifest's entries for its files.

    Empty directories go: no manifest lists them. Raises ArtifactUnsafe for links and anything else but files.
    """
    for relative in sorted(scan(directory).directories, reverse=True):  # the deepest first
        with suppress(OSError):  # not empty
            (directory / relative).rmdir()
    found = scan(directory)
    for relative in (*found.files, *found.directories):
        path = directory / relative
        if not path.is_symlink():
            path.chmod(path.stat().st_mode & 0o777 & ~OTHERS_CAN_WRITE)
        check_safe(path)
    for relative in found.files:
        sync_file(directory / relative)
    digests = digest_files(directory, found.files)
    return {name: FileEntry(size=info.st_size, sha256=digests[name]) for name, info in found.files.items()}


def _lock_path(directory: CacheDirectory, name: str) -> Path:
    return directory.locks / f"{_LOCK_PREFIX}{name}.lock"
