"""The cache directory: its layout, and whether others can change what it holds."""

from __future__ import annotations

import logging
import os
import shutil
import stat
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from neuron_whisper.errors import ArtifactUnsafe, InvalidOption
from neuron_whisper.host.atomic_files import sync_directory
from neuron_whisper.host.home import expand_home, find_home, find_private_temporary_directory

_LOG = logging.getLogger(__name__)
CACHE_VARIABLE = "NEURON_WHISPER_CACHE"
OTHERS_CAN_WRITE = stat.S_IWGRP | stat.S_IWOTH
# bford.info/cachedir: backup tools leave out a directory with this file
CACHEDIR_TAG = (
    b"Signature: 8a477f597d28d172789f06886806bc55\n# Artifacts of neuron-whisper; they can be compiled again.\n"
)


def default_cache_directory(environment: Mapping[str, str] = os.environ) -> Path:
    """$NEURON_WHISPER_CACHE, or ~/.cache/neuron-whisper; for a user without a home a temporary one, with a warning."""
    if chosen := environment.get(CACHE_VARIABLE, ""):
        return expand_home(chosen)
    if (home := find_home()) is not None:
        return home / ".cache" / "neuron-whisper"
    directory = find_private_temporary_directory()
    _LOG.warning("this user has no home directory: the cache is %s; %s names another", directory, CACHE_VARIABLE)
    return directory


def explain_unsafe(info: os.stat_result) -> str:
    """Why others could change what `info` (of lstat) describes; empty when they cannot.

    A POSIX ACL that lets others write shows in the group bits, so it is refused here too.
    """
    if stat.S_ISLNK(info.st_mode):
        return "it is a symbolic link"
    if not (stat.S_ISDIR(info.st_mode) or stat.S_ISREG(info.st_mode)):
        return "it is neither a file nor a directory"
    if info.st_uid not in (0, os.geteuid()):
        return f"it belongs to uid {info.st_uid}, not to uid {os.geteuid()} or root"
    if info.st_mode & OTHERS_CAN_WRITE:
        return f"others can write it (mode {stat.S_IMODE(info.st_mode):04o}; chmod go-w would change that)"
    return ""


def check_safe(path: Path) -> None:
    """Raises ArtifactUnsafe when others can change `path`, FileNotFoundError when it does not exist."""
    if reason := explain_unsafe(path.lstat()):
        raise ArtifactUnsafe(path, reason)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """The files and directories below a directory, as relative posix paths; `unsafe`: why others can change one."""

    files: Mapping[str, os.stat_result]
    directories: tuple[str, ...]
    unsafe: Mapping[str, str]


def scan(directory: Path) -> Scan:
    """Everything below `directory`; links are not followed. Raises OSError when it changes meanwhile."""
    files: dict[str, os.stat_result] = {}
    directories: list[str] = []
    unsafe: dict[str, str] = {}
    pending = [""]
    while pending:
        prefix = pending.pop()
        with os.scandir(directory / prefix) as entries:
            for entry in sorted(entries, key=lambda entry: entry.name):
                relative, info = prefix + entry.name, entry.stat(follow_symlinks=False)
                if reason := explain_unsafe(info):
                    unsafe[relative] = reason
                if stat.S_ISDIR(info.st_mode):
                    directories.append(relative)
                    pending.append(relative + "/")
                else:
                    files[relative] = info
    return Scan(files=files, directories=tuple(directories), unsafe=unsafe)


@dataclass(frozen=True, slots=True)
class CacheDirectory:
    """artifacts/, staging/, locks/ and compile-cache/ below `root`, which only its owner and root may write."""

    root: Path

    @property
    def artifacts(self) -> Path:
        return self.root / "artifacts"

    @property
    def staging(self) -> Path:
        return self.root / "staging"

    @property
    def locks(self) -> Path:
        return self.root / "locks"

    @property
    def compile_cache(self) -> Path:
        """What compilers keep for their next compilations: made by them, and safe to delete."""
        return self.root / "compile-cache"

    def check(self) -> bool:
        """False when there is no cache yet. Raises ArtifactUnsafe when others can change what it holds.

        A link to the cache is followed when it is ours or root's. The parents are not checked: another user who
        can write them can only put a directory of their own in its place, and those are refused.
        Raises InvalidOption when it is no directory, or closed to us.
        """
        try:
            link = self.root.lstat()
            if stat.S_ISLNK(link.st_mode) and link.st_uid not in (0, os.geteuid()):
                raise ArtifactUnsafe(self.root, f"it is a symbolic link of uid {link.st_uid}")
            check_safe(self.root.resolve(strict=True))
            for directory in (self.artifacts, self.staging, self.locks, self.compile_cache):
                with suppress(FileNotFoundError):
                    check_safe(directory)
            return self.artifacts.is_dir()
        except FileNotFoundError:
            return False
        except OSError as error:
            raise self._make_error(error) from None

    def create(self) -> None:
        """Make the missing directories, closed to others whatever the umask. Raises ArtifactUnsafe, InvalidOption."""
        try:
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.check()
            for directory in (self.artifacts, self.staging, self.locks):
                directory.mkdir(mode=0o700, exist_ok=True)
            tag = self.root / "CACHEDIR.TAG"
            if not tag.is_file() or tag.read_bytes() != CACHEDIR_TAG:
                tag.write_bytes(CACHEDIR_TAG)
            sync_directory(self.root)
        except OSError as error:
            raise self._make_error(error) from None

    def _make_error(self, error: OSError) -> InvalidOption:
        allowed = f"a directory this user can read and write ({error.strerror})"
        return InvalidOption("cache directory", str(self.root), f"{allowed}; {CACHE_VARIABLE} names another")


def find_compiled_entries(directory: CacheDirectory, *, whole: bool) -> list[Path]:
    """What lies in compile-cache/ but its locks: a folder for each compiler (`whole`), or each graph in them.

    Neuron's are neuron/neuronxcc-VERSION/MODULE_KEY+HASH.
    """
    pattern = "*" if whole else "*/*/*"
    found = sorted(directory.compile_cache.glob(pattern))
    return [path for path in found if path.relative_to(directory.compile_cache).parts[0] != "locks"]


def find_last_write(path: Path) -> float:
    """The latest time of modification of a file, or of a directory and all below it, in seconds since the epoch."""
    below = scan(path).files.values() if path.is_dir() and not path.is_symlink() else ()
    return max([path.lstat().st_mtime, *(info.st_mtime for info in below)])


def discard(path: Path) -> None:
    """Delete a file or a tree, as far as that is possible: another process may be deleting it as well."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def count_bytes(path: Path) -> int:
    """Bytes of a file or of all files below a directory."""
    if path.is_dir() and not path.is_symlink():
        return sum(info.st_size for info in scan(path).files.values())
    return path.lstat().st_size
