"""The store of jobs: the order they run in, recovery after a crash, owners, limits, and older files."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.exc import DatabaseError

from neuron_whisper.errors import InvalidOption, JobsFull, StorageFull, UnknownJob
from neuron_whisper.server.jobs.entities import Job, WebhookDelivery
from neuron_whisper.server.jobs.quota import StorageLimits, StorageUsage
from neuron_whisper.server.jobs.store import SERVER_CRASHED, JobStore

NOW = 1_800_000_000.0
DAY_S = 86_400.0
LIMITS = StorageLimits(max_jobs=10, max_bytes=1000, max_own_jobs=10, max_own_bytes=1000)


def make_job(number: int, **facts: Any) -> Job:
    return replace(
        Job(
            id=f"job_{number}",
            created_at=NOW,
            task="transcribe",
            fields={"language": ["en"]},
            model="turbo",
            response_format="json",
            file_name="a.wav",
            upload_bytes=100,
        ),
        **facts,
    )


def add_jobs(store: JobStore, *jobs: Job) -> None:
    for each in jobs:
        store.add(each, LIMITS)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[JobStore]:
    made = JobStore(tmp_path / "jobs.sqlite3")
    yield made
    made.close()


def create_delivery(ended: Job) -> WebhookDelivery | None:
    return WebhookDelivery(id=f"msg_{ended.id}", job_id=ended.id, url="https://example.org/", payload=ended.status)


def test_jobs_run_in_the_order_they_came_in(store: JobStore) -> None:
    add_jobs(store, make_job(1), make_job(2))
    first, second = store.claim(NOW), store.claim(NOW)
    assert first is not None
    assert second is not None
    assert [(it.id, it.status, it.attempts) for it in (first, second)] == [
        ("job_1", "running", 1),
        ("job_2", "running", 1),
    ]
    assert store.claim(NOW) is None
    assert store.get("job_1") == first


def test_a_deferred_job_lets_others_pass_and_counts_no_attempt(store: JobStore) -> None:
    add_jobs(store, make_job(1), make_job(2))
    store.claim(NOW)
    store.defer("job_1", "the queue is full", now=NOW, wait_s=5.0)
    other = store.claim(NOW + 1)
    assert other is not None
    assert other.id == "job_2"
    assert store.claim(NOW + 4) is None
    assert store.get_next_claim_time() == NOW + 5
    again = store.claim(NOW + 5.1)
    assert again is not None
    assert (again.id, again.attempts, again.waiting_reason) == ("job_1", 1, None)


def test_a_clock_that_is_set_back_does_not_hold_a_job_for_a_day(store: JobStore) -> None:
    add_jobs(store, make_job(1))
    store.claim(NOW)
    store.defer("job_1", "the queue is full", now=NOW, wait_s=5.0)
    assert store.claim(NOW - DAY_S) is not None


def test_recovery_requeues_running_jobs_and_fails_those_without_attempts_left(store: JobStore) -> None:
    add_jobs(store, make_job(1), make_job(2, attempts=2), make_job(3))
    store.claim(NOW)
    store.claim(NOW)
    requeued, failed = store.recover(NOW, max_attempts=3, create_delivery=create_delivery)
    assert [it.id for it in requeued] == ["job_1"]
    assert [(it.id, it.status, (it.error or {})["code"]) for it in failed] == [("job_2", "failed", "too_many_attempts")]
    assert [it.payload for it in store.list_pending_deliveries()] == ["failed"]
    assert (store.get("job_1").status, store.get("job_1").restart_reason) == ("queued", SERVER_CRASHED)
    assert (store.get("job_3").status, store.get("job_3").restart_reason) == ("queued", None)


def test_a_job_ends_once_and_has_one_webhook(store: JobStore) -> None:
    add_jobs(store, make_job(1))
    store.claim(NOW)
    ended = store.end("job_1", "succeeded", NOW, result_bytes=7, create_delivery=create_delivery)
    assert ended is not None
    assert (ended.status, ended.upload_bytes, ended.result_bytes) == ("succeeded", 0, 7)
    assert store.end("job_1", "cancelled", NOW, create_delivery=create_delivery) is None
    assert not store.cancel_queued("job_1", NOW, create_delivery=create_delivery)
    assert [it.payload for it in store.list_pending_deliveries()] == ["succeeded"]
    store.delete("job_1")
    assert store.list_pending_deliveries() == []
    with pytest.raises(UnknownJob):
        store.get("job_1")


def test_an_owner_has_access_to_its_own_jobs_only(store: JobStore) -> None:
    add_jobs(store, make_job(1, owner="ann", idempotency_key="k"), make_job(2, owner="bob", idempotency_key="k"))
    assert [it.id for it in store.list_page("ann", limit=10)] == ["job_1"]
    with pytest.raises(UnknownJob):
        store.get("job_1", "bob")
    with pytest.raises(UnknownJob):
        store.list_page("bob", limit=10, after="job_1")
    assert store.add(make_job(3, owner="ann", idempotency_key="k"), LIMITS).id == "job_1"


def test_jobs_and_bytes_are_bounded(store: JobStore) -> None:
    add_jobs(store, *(make_job(number) for number in range(10)))
    with pytest.raises(JobsFull):
        add_jobs(store, make_job(10))
    store.delete("job_0")
    with pytest.raises(JobsFull):
        add_jobs(store, make_job(10, upload_bytes=101))
    with pytest.raises(JobsFull):
        store.set_upload_size("job_1", "", 201, LIMITS)


def test_an_owner_has_a_share_of_jobs_and_bytes(store: JobStore) -> None:
    limits = replace(LIMITS, max_own_jobs=2, max_own_bytes=300)
    store.add(make_job(1, owner="ann"), limits)
    with pytest.raises(JobsFull):
        store.add(make_job(2, owner="ann", upload_bytes=201), limits)
    store.add(make_job(3, owner="ann"), limits)
    with pytest.raises(JobsFull):
        store.add(make_job(4, owner="ann", upload_bytes=0), limits)
    store.add(make_job(5, owner="bob"), limits)
    assert store.measure_usage("ann") == StorageUsage(jobs=3, size_bytes=300, own_jobs=2, own_bytes=200)


def test_a_waveform_counts_as_a_part_of_the_result_once(store: JobStore) -> None:
    add_jobs(store, make_job(1))
    upload_bytes = store.measure_usage("").size_bytes
    for size_bytes in (30, 50):  # of a second attempt
        store.set_peaks_size("job_1", "", size_bytes, LIMITS)
        assert store.measure_usage("").size_bytes == upload_bytes + size_bytes
    with pytest.raises(JobsFull):
        store.set_peaks_size("job_1", "", LIMITS.max_bytes - upload_bytes + 1, LIMITS)
    assert store.measure_usage("").size_bytes == upload_bytes + 50
    store.set_peaks_size("job_1", "", LIMITS.max_bytes - upload_bytes, LIMITS)
    store.cancel_queued("job_1", NOW, create_delivery=lambda _: None)
    assert store.measure_usage("").size_bytes == 0


def test_a_job_is_transcribed_when_its_audio_is_here(store: JobStore) -> None:
    url = "https://files.example.org/a.mp3"
    add_jobs(store, make_job(1, url=url, upload_bytes=0), make_job(2))
    here = store.claim(NOW)
    assert here is not None
    assert here.id == "job_2"
    assert store.claim(NOW) is None
    assert store.get_next_claim_time() is None
    assert store.get_next_claim_time(needs_download=True) == 0.0
    assert store.claim(NOW, needs_download=True, accept=lambda job: job.url != url) is None
    fetched = store.claim(NOW, needs_download=True)
    assert fetched is not None
    store.set_upload_size(fetched.id, "", 50, LIMITS)
    store.queue_downloaded(fetched.id)
    assert store.claim(NOW, needs_download=True) is None
    again = store.claim(NOW)
    assert again is not None
    assert (again.id, again.attempts, again.upload_bytes) == ("job_1", 1, 50)


def read_files(directory: Path) -> bytes:
    return b"".join(path.read_bytes() for path in directory.iterdir())


def test_a_deleted_job_leaves_nothing_in_the_files(tmp_path: Path) -> None:
    store = JobStore(tmp_path / "jobs.sqlite3")
    secret = "the-prompt-of-ann"
    add_jobs(
        store, *(make_job(n, fields={"prompt": [secret * 40]}, webhook_url="https://hook.example") for n in (1, 2))
    )
    store.claim(NOW)
    store.end("job_1", "succeeded", NOW, create_delivery=create_delivery)
    assert secret.encode() in read_files(tmp_path)
    for job in ("job_1", "job_2"):
        store.delete(job)
    assert secret.encode() not in read_files(tmp_path)
    assert b"job_1" not in read_files(tmp_path)
    store.close()


def test_what_an_earlier_version_deleted_is_erased_at_the_start(tmp_path: Path) -> None:
    path = tmp_path / "jobs.sqlite3"
    store = JobStore(path)
    add_jobs(store, make_job(1, file_name="private.wav" * 300), make_job(2))
    store.close()
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA secure_delete = OFF")
        db.execute("DELETE FROM jobs WHERE id = 'job_1'")
        db.execute("PRAGMA user_version = 2")
        db.commit()
    assert b"private.wav" in read_files(tmp_path)
    reopened = JobStore(path)
    assert b"private.wav" not in read_files(tmp_path)
    assert reopened.get("job_2").id == "job_2"
    reopened.close()


def test_a_full_disk_leaves_the_stored_jobs_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "jobs.sqlite3"
    store = JobStore(path)
    add_jobs(store, make_job(1))
    store._engine.connect().exec_driver_sql("PRAGMA max_page_count = 1").close()  # of the one connection there is
    with pytest.raises(StorageFull):
        add_jobs(store, *(make_job(number, fields={"prompt": ["p" * 50_000]}) for number in range(2, 10)))
    assert store.get("job_1") == make_job(1)
    store.close()
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_a_store_of_a_newer_version_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "jobs.sqlite3"
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version = 9")
    with pytest.raises(InvalidOption) as error:
        JobStore(path)
    assert error.value.field == "jobs_dir"
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (9,)
        assert db.execute("SELECT name FROM sqlite_master").fetchall() == []


# the schema of 0.2.0
VERSION_1 = """
CREATE TABLE jobs (
    number INTEGER NOT NULL, id VARCHAR NOT NULL, owner VARCHAR NOT NULL, idempotency_key VARCHAR,
    created_at FLOAT NOT NULL, status VARCHAR NOT NULL, task VARCHAR NOT NULL, fields JSON NOT NULL,
    model VARCHAR NOT NULL, response_format VARCHAR NOT NULL, file_name VARCHAR NOT NULL,
    upload_bytes INTEGER NOT NULL, url VARCHAR, webhook_url VARCHAR, attempts INTEGER NOT NULL, restarted VARCHAR,
    waits_for VARCHAR, not_before FLOAT NOT NULL, started_at FLOAT, ended_at FLOAT, error JSON, audio_s FLOAT,
    language VARCHAR, result_bytes INTEGER NOT NULL, PRIMARY KEY (number), UNIQUE (id), UNIQUE (owner, idempotency_key)
);
CREATE INDEX ix_jobs_status ON jobs (status);
CREATE TABLE deliveries (
    id VARCHAR NOT NULL, job_id VARCHAR NOT NULL, url VARCHAR NOT NULL, payload VARCHAR NOT NULL,
    status VARCHAR NOT NULL, attempts INTEGER NOT NULL, next_at FLOAT NOT NULL, last_error VARCHAR, PRIMARY KEY (id)
);
CREATE INDEX ix_deliveries_status ON deliveries (status);
CREATE INDEX ix_deliveries_job_id ON deliveries (job_id);
INSERT INTO jobs VALUES
    (1, 'job_1', 'ann', NULL, 1800000000.0, 'queued', 'transcribe', '{"language": ["en"]}', 'turbo', 'json', 'a.wav',
     100, NULL, NULL, 1, 'the server ended while it ran', 'the queue is full', 1800000005.0, NULL, NULL, NULL, NULL,
     NULL, 0);
INSERT INTO deliveries VALUES
    ('msg_1', 'job_1', 'https://example.org/', '{}', 'given_up', 8, 0.0, 'it answered 503'),
    ('msg_2', 'job_2', 'https://example.org/', '{}', 'pending', 1, 0.0, NULL);
PRAGMA user_version = 1;
"""


def test_a_store_of_version_1_keeps_its_jobs_and_webhooks(tmp_path: Path) -> None:
    path = tmp_path / "jobs.sqlite3"
    with closing(sqlite3.connect(path)) as db:
        db.executescript(VERSION_1)
    for _ in range(2):  # the second time it is of this version
        store = JobStore(path)
        stored = store.get("job_1", "ann")
        assert (stored.restart_reason, stored.waiting_reason) == ("the server ended while it ran", "the queue is full")
        assert (stored.fields, stored.status, stored.upload_bytes) == ({"language": ["en"]}, "queued", 100)
        statuses = {key: it.status for key, it in store.find_deliveries(["job_1", "job_2"]).items()}
        assert statuses == {"job_1": "failed", "job_2": "pending"}
        store.close()


def test_a_migration_that_is_interrupted_leaves_version_1(tmp_path: Path) -> None:
    path = tmp_path / "jobs.sqlite3"
    with closing(sqlite3.connect(path)) as db:
        db.executescript(VERSION_1)
        # the last statement of the migration fails
        db.execute("CREATE TRIGGER no BEFORE UPDATE ON deliveries BEGIN SELECT RAISE(ABORT, 'interrupted'); END")
    with pytest.raises(DatabaseError):
        JobStore(path)
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (1,)
        assert db.execute("SELECT restarted FROM jobs").fetchone() == ("the server ended while it ran",)
