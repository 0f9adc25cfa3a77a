"""Progress of downloads, reported to a callback."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

POLL_S = 0.2


class DownloadProgress(Protocol):
    """Called now and then, from another thread too: `done` of `total` bytes (None: not known) of `what`."""

    def __call__(self, what: str, done: int, total: int | None) -> None: ...


@contextmanager
def track_download(progress: DownloadProgress | None, what: str, folder: Path, total: int | None) -> Iterator[None]:
    """Reports the growth of `folder` while the block runs, for downloaders that report nothing themselves.

    When the block ends without an error the last call reports that all is done.
    """
    if progress is None:
        yield
        return
    stop = threading.Event()
    before = count_bytes(folder)

    def report() -> None:
        while not stop.wait(POLL_S):
            grown = max(0, count_bytes(folder) - before)
            progress(what, grown if total is None else min(grown, total), total)

    thread = threading.Thread(target=report, name="fetch-progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
    grown = max(0, count_bytes(folder) - before)
    progress(what, grown if total is None else total, total)


def count_bytes(folder: Path) -> int:
    """The size of the files below; those that vanish meanwhile count nothing."""
    size = 0
    for path in folder.rglob("*"):
        try:
            size += 0 if path.is_symlink() or path.is_dir() else path.stat().st_size
        except FileNotFoundError:
            continue
    return size
