"""The stored records: their fields are the columns of the store."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import fields
from pathlib import Path

import pytest

from neuron_whisper.server.jobs.entities import FINAL_STATUSES, STATUSES, Job, WebhookDelivery
from neuron_whisper.server.jobs.store import JobStore


@pytest.mark.parametrize(
    ("record", "table", "others"), [(Job, "jobs", {"number"}), (WebhookDelivery, "deliveries", set())]
)
def test_every_field_is_a_column(tmp_path: Path, record: type, table: str, others: set[str]) -> None:
    path = tmp_path / "jobs.sqlite3"
    JobStore(path).close()
    with closing(sqlite3.connect(path)) as db:
        columns = {row[1] for row in db.execute(f"PRAGMA table_info({table})")}
    assert {field.name for field in fields(record)} == columns - others


def test_a_job_that_is_queued_or_running_has_not_ended() -> None:
    assert set(STATUSES) - set(FINAL_STATUSES) == {"queued", "running"}
