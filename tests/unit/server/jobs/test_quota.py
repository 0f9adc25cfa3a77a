"""Room for jobs: what is stored, what arrives, and what one owner may have of it."""

from __future__ import annotations

import pytest

from neuron_whisper.errors import JobsFull
from neuron_whisper.server import ServerSettings
from neuron_whisper.server.jobs.quota import StorageLimits, StorageUsage, UploadLedger

LIMITS = StorageLimits(max_jobs=10, max_bytes=1000, max_own_jobs=5, max_own_bytes=500)


@pytest.mark.parametrize(
    ("usage", "more_bytes"),
    [
        (StorageUsage(jobs=10), 0),
        (StorageUsage(own_jobs=5), 0),
        (StorageUsage(size_bytes=901), 100),
        (StorageUsage(size_bytes=900, own_bytes=401), 100),
    ],
)
def test_each_limit_is_checked(usage: StorageUsage, more_bytes: int) -> None:
    with pytest.raises(JobsFull):
        LIMITS.check(usage, more_bytes)
    LIMITS.check(StorageUsage(jobs=9, size_bytes=900, own_jobs=4, own_bytes=400), 100)


def test_an_owner_is_bounded_by_its_own_uploads_and_all_by_those_of_all() -> None:
    ledger, nothing = UploadLedger(), StorageUsage()
    with ledger.open("ann", nothing, LIMITS) as first, ledger.open("ann", nothing, LIMITS) as second:
        first.count(300)
        second.count(200)
        with pytest.raises(JobsFull, match="of your API key"):
            second.count(1)
        with ledger.open("bob", nothing, LIMITS) as other:
            other.count(500)
        with ledger.open("carl", StorageUsage(size_bytes=400), LIMITS) as late, pytest.raises(JobsFull):
            late.count(101)
    with ledger.open("ann", nothing, LIMITS) as again:
        again.count(500)  # what ended takes no room


def test_limits_follow_the_settings_and_the_number_of_keys() -> None:
    settings = ServerSettings(jobs_max=100, jobs_max_bytes=1000, jobs_max_per_key=7)
    assert StorageLimits.from_settings(settings, 2) == StorageLimits(
        max_jobs=100, max_bytes=1000, max_own_jobs=7, max_own_bytes=500
    )
    assert StorageLimits.from_settings(settings, 1).max_own_bytes == 1000
