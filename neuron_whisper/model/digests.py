"""sha256 of files, cached as long as they do not change."""

from __future__ import annotations

import contextlib
import hashlib
import os
from pathlib import Path

from neuron_whisper.host.atomic_files import write_atomically
from neuron_whisper.model.private_directory import make_private_directory


def hash_file(path: Path, *, cache_dir: Path | None = None) -> str:
    """The file's sha256, 64 hex digits. With `cache_dir` it is computed once per state of the file.

    The state is real path, size, modification time and inode change time: a write that restores the old
    modification time is noticed too. A cache that cannot be written is not used.
    """
    state = path.stat()
    facts = (os.path.realpath(path), state.st_size, state.st_mtime_ns, state.st_ctime_ns)
    entry = None
    if cache_dir is not None:
        entry = cache_dir / hashlib.sha256(repr(facts).encode()).hexdigest()
        with contextlib.suppress(OSError):
            remembered = entry.read_text("ascii", "replace")
            if len(remembered) == 64:
                return remembered
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if entry is not None:
        with contextlib.suppress(OSError):
            make_private_directory(entry.parent)
            write_atomically(entry, digest.encode(), mode=0o600)
    return digest
