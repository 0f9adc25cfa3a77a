"""The jobs' directory: uploads and results that are there whole or not at all, for this user and one server alone."""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import shutil
import stat
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from neuron_whisper.errors import InvalidOption, StorageFull
from neuron_whisper.model.private_directory import make_private_directory

COPY_BYTES = 1 << 20
PARTIAL = ".partial"


class JobFiles:
    """uploads/<id>, results/<id>.json, jobs.sqlite3 and a lock below one directory.

    Raises InvalidOption for a directory that others can read, that cannot be made, or that another server uses.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        try:
            for path in (directory, self.uploads, self._results):
                make_private_directory(path)
            facts = directory.stat()
            if stat.S_IMODE(facts.st_mode) & 0o077 or facts.st_uid != os.geteuid():
                raise InvalidOption("jobs_dir", str(directory), "a directory of this user with mode 0700")
            self._lock = (directory / "lock").open("wb")
        except OSError as error:
            reason = f"it cannot be used: {error.strerror or error}"
            raise InvalidOption("jobs_dir", str(directory), reason) from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._lock.close()
            raise InvalidOption("jobs_dir", str(directory), "another server uses it") from None

    @property
    def database(self) -> Path:
        return self.directory / "jobs.sqlite3"

    @property
    def uploads(self) -> Path:
        return self.directory / "uploads"

    @property
    def _results(self) -> Path:
        return self.directory / "results"

    def upload(self, job_id: str) -> Path:
        return self.uploads / job_id

    def result(self, job_id: str) -> Path:
        return self._results / f"{job_id}.json"

    def keep_upload(self, job_id: str, source: BinaryIO) -> int:
        """Copy an upload from where it stands to its place; its size in bytes. Raises StorageFull."""
        with self.writing(self.upload(job_id)) as file:
            shutil.copyfileobj(source, file, COPY_BYTES)
            return file.tell()

    def keep_result(self, job_id: str, content: bytes) -> None:
        """Raises StorageFull."""
        with self.writing(self.result(job_id)) as file:
            file.write(content)

    @contextmanager
    def writing(self, path: Path) -> Iterator[BinaryIO]:
        """A file that stands at `path`, on the disk, when the block ends, and nowhere when it raises.

        Raises StorageFull.
        """
        partial = path.with_name(f"{secrets.token_hex(8)}{PARTIAL}")
        try:
            with partial.open("xb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
            _sync_directory(path.parent)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise StorageFull from error
            raise
        finally:
            partial.unlink(missing_ok=True)

    def drop_upload(self, job_id: str) -> None:
        self.upload(job_id).unlink(missing_ok=True)

    def drop(self, job_id: str) -> None:
        """All files of a job."""
        self.drop_upload(job_id)
        self.result(job_id).unlink(missing_ok=True)

    def sweep(self, *, waiting: Collection[str], done: Collection[str]) -> int:
        """Remove what belongs to no job: uploads but of `waiting` ids, results but of `done` ones; how many files."""
        removed = 0
        for folder, known in ((self.uploads, set(waiting)), (self._results, {f"{job_id}.json" for job_id in done})):
            for path in folder.iterdir():
                if path.name not in known:
                    path.unlink(missing_ok=True)
                    removed += 1
        return removed

    def close(self) -> None:
        with suppress(OSError):
            self._lock.close()


def _sync_directory(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
