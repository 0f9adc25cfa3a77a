"""The directory of the jobs: uploads and results, written atomically, private to this user, locked by one server."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import stat
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from neuron_whisper.errors import InvalidOption, StorageFull
from neuron_whisper.host.atomic_files import open_atomically
from neuron_whisper.model.private_directory import make_private_directory

COPY_CHUNK_BYTES = 1 << 20


class JobFiles:
    """uploads/<id>, peaks/<id>, results/<id>.json, jobs.sqlite3 and a lock below one directory.

    Raises InvalidOption for a directory that others can read, that cannot be made, or that another server uses.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        try:
            for path in (directory, self.uploads_directory, self._peaks_directory, self._results_directory):
                make_private_directory(path)
            status = directory.stat()
            if stat.S_IMODE(status.st_mode) & 0o077 or status.st_uid != os.geteuid():
                raise InvalidOption("jobs_dir", str(directory), "use a directory of this user with mode 0700")
            self._lock = (directory / "lock").open("wb")
        except OSError as error:
            reason = f"it cannot be used: {error.strerror or error}"
            raise InvalidOption("jobs_dir", str(directory), reason) from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._lock.close()
            raise InvalidOption("jobs_dir", str(directory), "another server is using it") from None

    @property
    def database_path(self) -> Path:
        return self.directory / "jobs.sqlite3"

    @property
    def uploads_directory(self) -> Path:
        return self.directory / "uploads"

    @property
    def _peaks_directory(self) -> Path:
        return self.directory / "peaks"

    @property
    def _results_directory(self) -> Path:
        return self.directory / "results"

    def upload_path(self, job_id: str) -> Path:
        return self.uploads_directory / job_id

    def result_path(self, job_id: str) -> Path:
        return self._results_directory / f"{job_id}.json"

    def store_upload(self, job_id: str, source: BinaryIO) -> int:
        """Copy an upload into the directory and return its size in bytes. Raises StorageFull."""
        with self.write_atomically(self.upload_path(job_id)) as file:
            shutil.copyfileobj(source, file, COPY_CHUNK_BYTES)
            return file.tell()

    def store_result(self, job_id: str, content: bytes) -> None:
        """Raises StorageFull."""
        with self.write_atomically(self.result_path(job_id)) as file:
            file.write(content)

    def store_peaks(self, job_id: str, content: bytes) -> None:
        """Store a job's waveform, a byte for each peak. Raises StorageFull."""
        with self.write_atomically(self._peaks_directory / job_id) as file:
            file.write(content)

    def read_peaks(self, job_id: str) -> bytes | None:
        """A job's waveform; None where the job has none."""
        try:
            return (self._peaks_directory / job_id).read_bytes()
        except FileNotFoundError:
            return None

    def measure_peaks(self, job_id: str) -> int:
        """The size of a job's waveform in bytes; 0 where the job has none."""
        try:
            return (self._peaks_directory / job_id).stat().st_size
        except FileNotFoundError:
            return 0

    @contextmanager
    def write_atomically(self, path: Path) -> Iterator[BinaryIO]:
        """Open a file that is at `path`, synced to disk, when the block ends, and is removed when the block raises.

        Raises StorageFull.
        """
        try:
            with open_atomically(path) as file:
                yield file
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise StorageFull from error
            raise

    def delete_upload(self, job_id: str) -> None:
        self.upload_path(job_id).unlink(missing_ok=True)

    def delete(self, job_id: str) -> None:
        """Delete all files of a job."""
        self.delete_upload(job_id)
        self.delete_peaks(job_id)
        self.result_path(job_id).unlink(missing_ok=True)

    def delete_peaks(self, job_id: str) -> None:
        (self._peaks_directory / job_id).unlink(missing_ok=True)

    def delete_orphans(
        self, *, upload_ids: Collection[str], peaks_ids: Collection[str], result_ids: Collection[str]
    ) -> int:
        """Delete every upload, waveform and result whose job is not in `upload_ids`, `peaks_ids` and `result_ids`.

        Returns the number of deleted files.
        """
        removed = 0
        for folder, known in (
            (self.uploads_directory, set(upload_ids)),
            (self._peaks_directory, set(peaks_ids)),
            (self._results_directory, {f"{job_id}.json" for job_id in result_ids}),
        ):
            for path in folder.iterdir():
                if path.name not in known:
                    path.unlink(missing_ok=True)
                    removed += 1
        return removed

    def close(self) -> None:
        with suppress(OSError):
            self._lock.close()
