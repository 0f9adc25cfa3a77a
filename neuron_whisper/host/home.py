"""The home directory of this user, who may have none: a container's user without a name or a HOME."""

from __future__ import annotations

import os
import pwd
import tempfile
from pathlib import Path


def expand_home(path: str | os.PathLike[str]) -> Path:
    """~/a -> /home/me/a; the path as it is where that home directory is not known."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)


def find_home() -> Path | None:
    """The home directory by $HOME or the user's entry in the password database, None where there is neither."""
    if home := os.environ.get("HOME"):
        return Path(home)
    try:
        return Path(pwd.getpwuid(os.getuid()).pw_dir)
    except KeyError:
        return None


def find_private_temporary_directory() -> Path:
    """Where a user without a home directory keeps files: below the temporary directory, by user id. Not created."""
    return Path(tempfile.gettempdir()) / f"neuron-whisper-{os.geteuid()}"
