"""Locks between processes; two descriptors of one process exclude each other in the same way."""

from __future__ import annotations

import threading
from pathlib import Path

from neuron_whisper.artifact import locks

TIMEOUT_S = 30


def test_an_exclusive_lock_excludes_every_other(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    held = locks.acquire_exclusive(path)
    assert locks.try_acquire_exclusive(path) is None
    assert locks.is_held(path)
    locks.release(held)
    assert not locks.is_held(path)


def test_shared_locks_are_held_together_and_exclude_an_exclusive_one(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    first, second = locks.acquire_shared(path), locks.acquire_shared(path)
    locks.release(first)
    assert locks.try_acquire_exclusive(path) is None
    locks.release(second)
    assert locks.try_acquire_exclusive(path) is not None


def test_a_missing_lock_is_not_held_and_looking_leaves_no_file(tmp_path: Path) -> None:
    assert not locks.is_held(tmp_path / "lock")
    assert list(tmp_path.iterdir()) == []


def test_a_deleted_lock_is_not_held(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    locks.release_and_delete(locks.acquire_exclusive(path), path)
    assert not path.exists()
    assert locks.try_acquire_exclusive(path) is not None


def test_on_wait_is_called_once_by_a_waiter_and_not_without_waiting(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    held = locks.acquire_exclusive(path, lambda: calls.append("free"))
    waiting, calls = threading.Event(), []

    def on_wait() -> None:
        calls.append("held")
        waiting.set()

    acquired: list[int] = []
    thread = threading.Thread(target=lambda: acquired.append(locks.acquire_exclusive(path, on_wait)))
    thread.start()
    assert waiting.wait(TIMEOUT_S)
    locks.release(held)
    thread.join(TIMEOUT_S)
    assert calls == ["held"]
    assert len(acquired) == 1
