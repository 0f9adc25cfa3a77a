"""Locks between processes: flock on small files, released by the kernel when a process dies."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable
from pathlib import Path


def acquire_exclusive(path: Path, on_wait: Callable[[], None] | None = None) -> int:
    """Wait for the lock and return its descriptor; `on_wait` is called once when another process holds it."""
    descriptor = _acquire(path, fcntl.LOCK_EX | fcntl.LOCK_NB)
    if descriptor is None:
        if on_wait is not None:
            on_wait()
        descriptor = _acquire(path, fcntl.LOCK_EX)
    assert descriptor is not None  # without LOCK_NB flock waits
    return descriptor


def try_acquire_exclusive(path: Path) -> int | None:
    """The lock's descriptor, or None when another process holds it, shared or exclusively."""
    return _acquire(path, fcntl.LOCK_EX | fcntl.LOCK_NB)


def acquire_shared(path: Path) -> int:
    """Wait until no process holds the lock exclusively and return its descriptor."""
    descriptor = _acquire(path, fcntl.LOCK_SH)
    assert descriptor is not None  # without LOCK_NB flock waits
    return descriptor


def release(descriptor: int) -> None:
    # unlock explicitly: a forked child may still have the descriptor, and closing ours would not release then
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    os.close(descriptor)


def release_and_delete(descriptor: int, path: Path) -> None:
    """Delete the file of an exclusive lock: no other process can hold it, and one that waits opens it anew."""
    path.unlink(missing_ok=True)
    release(descriptor)


def is_held(path: Path) -> bool:
    """Whether any process holds the lock now. Leaves no file behind."""
    if not path.exists():
        return False
    descriptor = try_acquire_exclusive(path)
    if descriptor is None:
        return True
    release(descriptor)
    return False


def _acquire(path: Path, operation: int) -> int | None:
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(descriptor, operation)
        except BlockingIOError:
            os.close(descriptor)
            return None
        except BaseException:
            os.close(descriptor)
            raise
        # a holder may have deleted the file while we waited: then our lock is on a file no other process will open
        try:
            if os.path.samestat(os.fstat(descriptor), path.lstat()):
                return descriptor
        except FileNotFoundError:
            pass
        os.close(descriptor)
