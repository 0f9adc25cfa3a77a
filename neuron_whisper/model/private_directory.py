"""Directories that only this user can read: made with their missing parents, whatever the umask."""

from __future__ import annotations

from pathlib import Path


def make_private_directory(path: Path) -> None:
    """Make `path` and every missing parent with mode 0700; mkdir(parents=True) leaves the parents to the umask."""
    for directory in (*reversed(path.parents), path):
        if not directory.exists():
            directory.mkdir(mode=0o700, exist_ok=True)
