"""SQLite store of the jobs and of their webhooks: every change is one transaction, synced to disk when it returns."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

from sqlalchemy import (
    JSON,
    Column,
    ColumnElement,
    Connection,
    Float,
    Integer,
    MetaData,
    RowMapping,
    String,
    Table,
    UniqueConstraint,
    and_,
    create_engine,
    delete,
    event,
    func,
    insert,
    not_,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.engine import URL
from sqlalchemy.exc import DatabaseError
from sqlalchemy.pool import StaticPool

from neuron_whisper.errors import InvalidOption, StorageFull, UnknownJob
from neuron_whisper.server.jobs.entities import FINAL_STATUSES, Job, JobError, JobStatus, WebhookDelivery
from neuron_whisper.server.jobs.quota import StorageLimits, StorageUsage

SCHEMA_VERSION = 3
MAX_DEFERRAL_S = 600.0
SERVER_CRASHED = "the server crashed while the job ran"
TOO_MANY_ATTEMPTS = "too_many_attempts"

DeliveryFactory: TypeAlias = Callable[[Job], WebhookDelivery | None]
"""Makes the webhook message for a job that ended, None where the job has no webhook."""

_metadata = MetaData()
_jobs = Table(
    "jobs",
    _metadata,
    Column("number", Integer, primary_key=True, autoincrement=True),  # the order of creation
    Column("id", String, nullable=False, unique=True),
    Column("owner", String, nullable=False),
    Column("idempotency_key", String),
    Column("created_at", Float, nullable=False),
    Column("status", String, nullable=False, index=True),
    Column("task", String, nullable=False),
    Column("fields", JSON, nullable=False),
    Column("model", String, nullable=False),
    Column("response_format", String, nullable=False),
    Column("file_name", String, nullable=False),
    Column("upload_bytes", Integer, nullable=False),
    Column("url", String),
    Column("webhook_url", String),
    Column("attempts", Integer, nullable=False),
    Column("restart_reason", String),
    Column("waiting_reason", String),
    Column("not_before", Float, nullable=False),
    Column("started_at", Float),
    Column("ended_at", Float),
    Column("error", JSON(none_as_null=True)),
    Column("audio_s", Float),
    Column("language", String),
    Column("result_bytes", Integer, nullable=False),
    UniqueConstraint("owner", "idempotency_key"),
)
_deliveries = Table(
    "deliveries",
    _metadata,
    Column("id", String, primary_key=True),
    Column("job_id", String, nullable=False, index=True),
    Column("url", String, nullable=False),
    Column("payload", String, nullable=False),
    Column("status", String, nullable=False, index=True),
    Column("attempts", Integer, nullable=False),
    Column("next_at", Float, nullable=False),
    Column("last_error", String),
)
_STORED_BYTES = _jobs.c.upload_bytes + _jobs.c.result_bytes
_needs_download = and_(_jobs.c.url.is_not(None), _jobs.c.upload_bytes == 0)
_job_columns = [column for column in _jobs.c if column.name != "number"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredCounts:
    """Number of jobs by status, bytes of uploads and results, and webhooks not delivered yet."""

    jobs: dict[str, int]
    stored_bytes: int
    webhooks_pending: int


class JobStore:
    """Stores jobs and webhooks. Any thread may call it; a lock serialises calls. Every method may raise StorageFull.

    Opening creates the file, or migrates one of an older version. Raises InvalidOption for one of a newer version.
    """

    def __init__(self, path: Path) -> None:
        path.touch(mode=0o600)
        self._lock = threading.Lock()
        self._engine = create_engine(
            URL.create("sqlite", database=os.fspath(path)),
            poolclass=StaticPool,
            connect_args={"check_same_thread": False},
        )
        event.listen(self._engine, "connect", _configure_connection)
        with self._transaction() as db:
            db.execute(text("BEGIN IMMEDIATE"))  # sqlite3 begins no transaction before DDL by itself
            version = db.execute(text("PRAGMA user_version")).scalar_one()
            if version > SCHEMA_VERSION:
                reason = f"its jobs were written by a newer version (schema {version}, here {SCHEMA_VERSION})"
                raise InvalidOption("jobs_dir", str(path), reason)
            if version == 1:
                _migrate_from_1(db)
            _metadata.create_all(db)
            db.execute(text(f"PRAGMA user_version = {SCHEMA_VERSION}"))
        self._erase_deleted("VACUUM" if version in (1, 2) else "")  # older versions did not overwrite what they deleted

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        with self._lock:
            try:
                with self._engine.begin() as db:
                    yield db
            except DatabaseError as error:
                if "disk is full" in str(error.orig) or "disk I/O error" in str(error.orig):
                    raise StorageFull from error
                raise

    def _erase_deleted(self, *statements: str) -> None:
        """Copy the write-ahead log into the database and empty it: it has deleted rows until then."""
        with self._lock, self._engine.connect().execution_options(isolation_level="AUTOCOMMIT") as db:
            for statement in (*filter(None, statements), "PRAGMA wal_checkpoint(TRUNCATE)"):
                db.execute(text(statement))

    def close(self) -> None:
        with self._lock:
            self._engine.dispose()

    # --- jobs -------------------------------------------------------------------------------------

    def add(self, job: Job, limits: StorageLimits) -> Job:
        """Store a new job; if its owner used the idempotency key before, return that job instead.

        Raises JobsFull.
        """
        with self._transaction() as db:
            if job.idempotency_key is not None and (
                existing := _find_by_idempotency_key(db, job.owner, job.idempotency_key)
            ):
                return existing
            limits.check(_measure_usage(db, job.owner), job.upload_bytes)
            db.execute(insert(_jobs).values(**asdict(job)))
            return job

    def measure_usage(self, owner: str) -> StorageUsage:
        """Jobs and bytes stored, and those of this owner."""
        with self._transaction() as db:
            return _measure_usage(db, owner)

    def get(self, job_id: str, owner: str | None = None) -> Job:
        """The job. Raises UnknownJob, also for a job of another owner than `owner`."""
        with self._transaction() as db:
            row = db.execute(select(*_job_columns).where(_jobs.c.id == job_id)).mappings().one_or_none()
        if row is None or owner not in (None, row["owner"]):
            raise UnknownJob(job_id)
        return _job_from_row(row)

    def find_by_idempotency_key(self, owner: str, idempotency_key: str) -> Job | None:
        """The job that the owner created with this key, if there is one."""
        with self._transaction() as db:
            return _find_by_idempotency_key(db, owner, idempotency_key)

    def list_page(
        self, owner: str, *, limit: int, after: str | None = None, status: JobStatus | None = None
    ) -> list[Job]:
        """An owner's jobs, the newest first, those after `after`. Raises UnknownJob for `after`."""
        query = select(*_job_columns).where(_jobs.c.owner == owner).order_by(_jobs.c.number.desc()).limit(limit)
        with self._transaction() as db:
            if after is not None:
                number = db.execute(
                    select(_jobs.c.number).where(_jobs.c.id == after, _jobs.c.owner == owner)
                ).scalar_one_or_none()
                if number is None:
                    raise UnknownJob(after)
                query = query.where(_jobs.c.number < number)
            if status is not None:
                query = query.where(_jobs.c.status == status)
            return [_job_from_row(row) for row in db.execute(query).mappings()]

    def claim(
        self, now: float, *, needs_download: bool = False, accept: Callable[[Job], bool] = lambda job: True
    ) -> Job | None:
        """Mark the oldest job that may run and is accepted as running, count the attempt, and return it.

        `needs_download`: one whose audio is still to be fetched from its URL; otherwise one whose audio is here.
        """
        at = _jobs.c.not_before
        query = (
            select(*_job_columns)
            # deferred for longer than any job can be: the clock was set back
            .where(_jobs.c.status == "queued", or_(at <= now, at > now + MAX_DEFERRAL_S))
            .where(_needs_download if needs_download else not_(_needs_download))
            .order_by(_jobs.c.number)
        )
        with self._transaction() as db:
            rows = db.execute(query if needs_download else query.limit(1)).mappings()
            row = next((row for row in rows if accept(_job_from_row(row))), None)
            if row is None:
                return None
            changes: dict[str, Any] = {
                "status": "running",
                "attempts": row["attempts"] + 1,
                "started_at": now,
                "waiting_reason": None,
            }
            db.execute(update(_jobs).where(_jobs.c.id == row["id"]).values(**changes))
        return replace(_job_from_row(row), **changes)

    def get_next_claim_time(self, *, needs_download: bool = False) -> float | None:
        """When the next queued job may run; None where no job is queued."""
        wanted = _needs_download if needs_download else not_(_needs_download)
        with self._transaction() as db:
            query = select(func.min(_jobs.c.not_before)).where(_jobs.c.status == "queued", wanted)
            earliest = db.execute(query).scalar_one()
        return None if earliest is None else float(earliest)

    def requeue(self, job_id: str, reason: str) -> None:
        """Queue a running job for another attempt, for `reason`."""
        with self._transaction() as db:
            db.execute(
                _update_if_status(job_id, "running").values(status="queued", restart_reason=reason, started_at=None)
            )

    def defer(self, job_id: str, waiting_reason: str, *, now: float, wait_s: float) -> None:
        """Queue a running job that could not begin, to start in `wait_s`, at most 10 minutes; that was no attempt."""
        not_before = now + min(wait_s, MAX_DEFERRAL_S)
        with self._transaction() as db:
            db.execute(
                _update_if_status(job_id, "running").values(
                    status="queued",
                    attempts=_jobs.c.attempts - 1,
                    waiting_reason=waiting_reason,
                    not_before=not_before,
                    started_at=None,
                )
            )

    def set_upload_size(self, job_id: str, owner: str, size_bytes: int, limits: StorageLimits) -> None:
        """Store the size of a downloaded file. Raises JobsFull."""
        with self._transaction() as db:
            usage = _measure_usage(db, owner)
            limits.check(replace(usage, jobs=usage.jobs - 1, own_jobs=usage.own_jobs - 1), size_bytes)
            db.execute(update(_jobs).where(_jobs.c.id == job_id).values(upload_bytes=size_bytes))

    def set_peaks_size(self, job_id: str, owner: str, size_bytes: int, limits: StorageLimits) -> None:
        """Count a running job's waveform as a part of its result. Raises JobsFull."""
        with self._transaction() as db:
            db.execute(update(_jobs).where(_jobs.c.id == job_id).values(result_bytes=0))  # of an earlier attempt
            usage = _measure_usage(db, owner)
            limits.check(replace(usage, jobs=usage.jobs - 1, own_jobs=usage.own_jobs - 1), size_bytes)
            db.execute(update(_jobs).where(_jobs.c.id == job_id).values(result_bytes=size_bytes))

    def queue_downloaded(self, job_id: str) -> None:
        """Queue a running job whose file was downloaded; that was no attempt."""
        with self._transaction() as db:
            changes = {"status": "queued", "attempts": _jobs.c.attempts - 1, "started_at": None}
            db.execute(_update_if_status(job_id, "running").values(**changes))

    def end(
        self,
        job_id: str,
        status: JobStatus,
        now: float,
        *,
        error: JobError | None = None,
        result_bytes: int = 0,
        audio_s: float | None = None,
        language: str | None = None,
        create_delivery: DeliveryFactory = lambda job: None,
    ) -> Job | None:
        """End a job and store the webhook that `create_delivery` makes; None where it had ended, or is deleted."""
        changes: dict[str, Any] = {
            "status": status,
            "ended_at": now,
            "error": asdict(error) if error else None,
            "result_bytes": result_bytes,
            "audio_s": audio_s,
            "language": language,
            "upload_bytes": 0,
            "waiting_reason": None,
        }
        with self._transaction() as db:
            update_result = db.execute(_update_if_status(job_id, "queued", "running").values(**changes))
            if not update_result.rowcount:
                return None
            return self._insert_delivery(db, job_id, create_delivery)

    def _insert_delivery(self, db: Connection, job_id: str, create_delivery: DeliveryFactory) -> Job:
        job = _job_from_row(db.execute(select(*_job_columns).where(_jobs.c.id == job_id)).mappings().one())
        if (delivery := create_delivery(job)) is not None:
            db.execute(insert(_deliveries).values(**asdict(delivery)))
        return job

    def cancel_queued(self, job_id: str, now: float, *, create_delivery: DeliveryFactory) -> bool:
        """Cancel a queued job; False where it is not queued."""
        with self._transaction() as db:
            changes = {
                "status": "cancelled",
                "ended_at": now,
                "upload_bytes": 0,
                "result_bytes": 0,  # the waveform of an earlier attempt
                "waiting_reason": None,
            }
            if not db.execute(_update_if_status(job_id, "queued").values(**changes)).rowcount:
                return False
            self._insert_delivery(db, job_id, create_delivery)
            return True

    def delete(self, job_id: str) -> None:
        """Delete a job and its webhooks, so that the files have nothing of them."""
        with self._transaction() as db:
            db.execute(delete(_jobs).where(_jobs.c.id == job_id))
            db.execute(delete(_deliveries).where(_deliveries.c.job_id == job_id))
        self._erase_deleted()

    def recover(
        self, now: float, *, max_attempts: int, create_delivery: DeliveryFactory = lambda job: None
    ) -> tuple[list[Job], list[Job]]:
        """After a crash: requeue the jobs that ran, or fail those without attempts left. Returns (requeued, failed)."""
        with self._transaction() as db:
            interrupted = [
                _job_from_row(row)
                for row in db.execute(select(*_job_columns).where(_jobs.c.status == "running")).mappings()
            ]
        requeued = [job for job in interrupted if job.attempts < max_attempts]
        for job in requeued:
            self.requeue(job.id, SERVER_CRASHED)
        message = f"{SERVER_CRASHED}, {max_attempts} times"
        failed = [
            self.end(
                job.id,
                "failed",
                now,
                error=JobError(message=message, code=TOO_MANY_ATTEMPTS),
                create_delivery=create_delivery,
            )
            for job in interrupted
            if job.attempts >= max_attempts
        ]
        return requeued, [job for job in failed if job is not None]

    def find_ended_before(self, time: float) -> list[str]:
        """Ids of jobs that ended before this time."""
        with self._transaction() as db:
            query = select(_jobs.c.id).where(_jobs.c.status.in_(FINAL_STATUSES), _jobs.c.ended_at < time)
            return list(db.execute(query).scalars())

    def list_statuses(self) -> dict[str, JobStatus]:
        """Every job's status."""
        with self._transaction() as db:
            return {row.id: row.status for row in db.execute(select(_jobs.c.id, _jobs.c.status))}

    def count_stored(self) -> StoredCounts:
        with self._transaction() as db:
            by_status = db.execute(select(_jobs.c.status, func.count()).group_by(_jobs.c.status))
            jobs = {status: int(count) for status, count in by_status}
            size = db.execute(select(func.coalesce(func.sum(_STORED_BYTES), 0))).scalar_one()
            pending = db.execute(select(func.count()).where(_deliveries.c.status == "pending")).scalar_one()
        return StoredCounts(jobs=jobs, stored_bytes=int(size), webhooks_pending=int(pending))

    # --- webhooks ---------------------------------------------------------------------------------

    def find_deliveries(self, job_ids: Sequence[str]) -> dict[str, WebhookDelivery]:
        """The latest webhook of each of these jobs that has one, by job id."""
        with self._transaction() as db:
            rows = db.execute(select(_deliveries).where(_deliveries.c.job_id.in_(job_ids))).mappings()
            return {row["job_id"]: WebhookDelivery(**row) for row in rows}

    def list_pending_deliveries(self) -> list[WebhookDelivery]:
        """Webhooks not delivered yet, the earliest due first."""
        query = select(_deliveries).where(_deliveries.c.status == "pending").order_by(_deliveries.c.next_at)
        with self._transaction() as db:
            return [WebhookDelivery(**row) for row in db.execute(query).mappings()]

    def update_delivery(self, delivery: WebhookDelivery) -> None:
        """Store the outcome of a delivery attempt."""
        with self._transaction() as db:
            db.execute(update(_deliveries).where(_deliveries.c.id == delivery.id).values(**asdict(delivery)))


def _configure_connection(connection: Any, record: object) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA synchronous = FULL")  # a stored job survives a power cut
    cursor.execute("PRAGMA secure_delete = ON")  # what is deleted is overwritten
    cursor.close()


def _migrate_from_1(db: Connection) -> None:
    """Version 2 renamed two columns of the jobs and a status of the webhooks."""
    db.execute(text("ALTER TABLE jobs RENAME COLUMN restarted TO restart_reason"))
    db.execute(text("ALTER TABLE jobs RENAME COLUMN waits_for TO waiting_reason"))
    db.execute(update(_deliveries).where(_deliveries.c.status == "given_up").values(status="failed"))


def _measure_usage(db: Connection, owner: str) -> StorageUsage:
    def measure(*conditions: ColumnElement[bool]) -> tuple[int, int]:
        size = func.coalesce(func.sum(_STORED_BYTES), 0)
        count, stored = db.execute(select(func.count(), size).select_from(_jobs).where(*conditions)).one()
        return int(count), int(stored)

    (jobs, size_bytes), (own_jobs, own_bytes) = measure(), measure(_jobs.c.owner == owner)
    return StorageUsage(jobs=jobs, size_bytes=size_bytes, own_jobs=own_jobs, own_bytes=own_bytes)


def _update_if_status(job_id: str, *statuses: JobStatus) -> Any:
    """An UPDATE that changes the job only if it has one of these statuses."""
    return update(_jobs).where(_jobs.c.id == job_id, _jobs.c.status.in_(statuses))


def _find_by_idempotency_key(db: Connection, owner: str, key: str) -> Job | None:
    query = select(*_job_columns).where(_jobs.c.owner == owner, _jobs.c.idempotency_key == key)
    row = db.execute(query).mappings().one_or_none()
    return None if row is None else _job_from_row(row)


def _job_from_row(row: RowMapping) -> Job:
    return Job(**row)
