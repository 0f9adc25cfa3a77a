"""Jobs on a full disk: an error for the client, no partial files, and jobs continue when there is space."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from neuron_whisper.server import ServerSettings
from tests.support.job_clients import JOBS, create_job, wait_for_job
from tests.support.servers import read_error, run_server, tone
from tests.support.small_disks import small_disk as mounted

DISK_BYTES = 2 << 20


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MB."""
    path = tmp_path / "disk"
    path.mkdir()
    with mounted(path, DISK_BYTES) as is_mounted:
        if not is_mounted:
            pytest.skip("no small file system can be mounted here: a full disk is not proved over the wire")
        yield path


def test_a_full_disk_is_507_and_jobs_continue_when_there_is_space(small_disk: Path) -> None:
    settings = ServerSettings(vad_filter=False, jobs_dir=small_disk / "jobs")
    with run_server(settings) as server, server.client() as client:
        first = create_job(client, tone())
        wait_for_job(client, first["id"], "succeeded")
        filler = small_disk / "filler"
        filler.write_bytes(bytes(DISK_BYTES - 800_000))
        answer = client.post(JOBS, files={"file": tone(seconds=60.0)})  # 1.9 MB
        assert read_error(answer, 507)["code"] == "storage_full"
        assert int(answer.headers["retry-after"]) >= 1
        assert list((small_disk / "jobs" / "uploads").iterdir()) == []
        assert [job["id"] for job in client.get(JOBS).json()["data"]] == [first["id"]]
        assert server.post().status_code == 200  # requests need no disk
        filler.unlink()
        wait_for_job(client, create_job(client, tone())["id"], "succeeded")
