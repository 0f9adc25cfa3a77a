"""How many jobs and bytes may be stored, in all and by one API key; uploads are counted as their bytes arrive."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from neuron_whisper.errors import JobsFull
from neuron_whisper.server.config.settings import ServerSettings
from neuron_whisper.server.http.api_keys import get_share


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageUsage:
    """Jobs and bytes that are stored, and those of one owner."""

    jobs: int = 0
    size_bytes: int = 0
    own_jobs: int = 0
    own_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageLimits:
    """Jobs and bytes that may be stored, in all and by one owner."""

    max_jobs: int
    max_bytes: int
    max_own_jobs: int
    max_own_bytes: int

    @classmethod
    def from_settings(cls, settings: ServerSettings, n_keys: int) -> StorageLimits:
        return cls(
            max_jobs=settings.jobs_max,
            max_bytes=settings.jobs_max_bytes,
            max_own_jobs=get_share(settings.jobs_max, settings.jobs_max_per_key, n_keys),
            max_own_bytes=get_share(settings.jobs_max_bytes, settings.jobs_max_bytes_per_key, n_keys),
        )

    def check(self, usage: StorageUsage, more_bytes: int) -> None:
        """Raises JobsFull where another job of this size does not fit."""
        if usage.jobs >= self.max_jobs:
            raise JobsFull(f"{self.max_jobs:,} jobs are stored")
        if usage.own_jobs >= self.max_own_jobs:
            raise JobsFull(f"{self.max_own_jobs:,} jobs of your API key are stored")
        if usage.size_bytes + more_bytes > self.max_bytes:
            raise JobsFull(f"{self.max_bytes:,} bytes of jobs may be stored")
        if usage.own_bytes + more_bytes > self.max_own_bytes:
            raise JobsFull(f"{self.max_own_bytes:,} bytes of jobs of your API key may be stored")


class UploadLedger:
    """The bytes of uploads that are not stored yet, by owner. Used by the event loop's thread."""

    def __init__(self) -> None:
        self._uploads: list[IncomingUpload] = []

    @contextmanager
    def open(self, owner: str, usage: StorageUsage, limits: StorageLimits) -> Iterator[IncomingUpload]:
        """An upload while the block runs; `usage` is what is stored when it begins."""
        upload = IncomingUpload(owner, usage, limits, self)
        self._uploads.append(upload)
        try:
            yield upload
        finally:
            self._uploads.remove(upload)

    def add_to(self, usage: StorageUsage, owner: str) -> StorageUsage:
        """`usage` and what has arrived."""
        return replace(
            usage,
            size_bytes=usage.size_bytes + sum(upload.n_bytes for upload in self._uploads),
            own_bytes=usage.own_bytes + sum(upload.n_bytes for upload in self._uploads if upload.owner == owner),
        )


class IncomingUpload:
    """One upload, whose bytes count from the moment at which they arrive."""

    def __init__(self, owner: str, usage: StorageUsage, limits: StorageLimits, ledger: UploadLedger) -> None:
        self.owner, self._usage, self._limits, self._ledger = owner, usage, limits, ledger
        self.n_bytes = 0

    def check(self, more_bytes: int) -> None:
        """Raises JobsFull where so many bytes do not fit: of a Content-Length, before the upload is read."""
        self._limits.check(self._ledger.add_to(self._usage, self.owner), more_bytes)

    def count(self, n_bytes: int) -> None:
        """Count bytes that arrived. Raises JobsFull."""
        self.check(n_bytes)
        self.n_bytes += n_bytes
