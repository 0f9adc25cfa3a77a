"""Files that appear whole or not at all, and survive a power cut: temporary file, fsync, rename."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

PARTIAL_SUFFIX = ".partial"


@contextmanager
def open_atomically(path: Path, *, mode: int = 0o666) -> Iterator[BinaryIO]:
    """Open a new file that takes the place of `path`, synced to disk, when the block ends.

    A reader sees the old file or the new one. When the block raises, `path` stays as it was and the new file is
    removed; a process that dies leaves it as `.<random>.partial`. `mode` is subject to the umask.
    """
    # not derived from the name of `path`, which may already have a file name's maximum length
    partial = path.with_name(f".{secrets.token_hex(8)}{PARTIAL_SUFFIX}")
    try:
        with _create(partial, mode) as file:
            yield file
            _sync(file)
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


def write_atomically(path: Path, content: bytes, *, mode: int = 0o666) -> None:
    """Write `path`, or replace it, as open_atomically does."""
    with open_atomically(path, mode=mode) as file:
        file.write(content)


def write_durably(path: Path, content: bytes, *, mode: int = 0o666) -> None:
    """Write a new file, synced to disk. Its name is durable after sync_directory. Raises FileExistsError."""
    with _create(path, mode) as file:
        file.write(content)
        _sync(file)


def sync_file(path: Path) -> None:
    """Make a file's content survive a power cut."""
    _sync_descriptor(os.open(path, os.O_RDONLY))


def sync_directory(path: Path) -> None:
    """Make the names in a directory survive a power cut."""
    _sync_descriptor(os.open(path, os.O_RDONLY | os.O_DIRECTORY))


def _create(path: Path, mode: int) -> BinaryIO:
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode), "wb")


def _sync(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


def _sync_descriptor(descriptor: int) -> None:
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
