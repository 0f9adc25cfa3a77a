"""The directory of the jobs: permissions, the lock, atomic writes, and orphaned files."""

from __future__ import annotations

import errno
import io
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from neuron_whisper.errors import InvalidOption, StorageFull
from neuron_whisper.server.jobs.files import JobFiles


@pytest.fixture
def files(tmp_path: Path) -> Iterator[JobFiles]:
    opened = JobFiles(tmp_path / "jobs")
    yield opened
    opened.close()


def list_files(files: JobFiles) -> set[str]:
    return {str(path.relative_to(files.directory)) for path in files.directory.rglob("*") if path.is_file()}


def test_the_directories_are_private_to_this_user(files: JobFiles) -> None:
    for path in (
        files.directory,
        files.uploads_directory,
        files.result_path("job_1").parent,
        files.directory / "peaks",
    ):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700


def test_a_directory_that_others_can_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "jobs").mkdir(mode=0o755)
    with pytest.raises(InvalidOption) as error:
        JobFiles(tmp_path / "jobs")
    assert error.value.field == "jobs_dir"


def test_a_path_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "jobs").write_text("")
    with pytest.raises(InvalidOption) as error:
        JobFiles(tmp_path / "jobs")
    assert error.value.field == "jobs_dir"


def test_a_directory_is_used_by_one_server_until_it_closes(files: JobFiles) -> None:
    with pytest.raises(InvalidOption):
        JobFiles(files.directory)
    files.close()
    JobFiles(files.directory).close()


def test_an_upload_is_stored_under_the_id_of_its_job(files: JobFiles) -> None:
    assert files.store_upload("job_1", io.BytesIO(b"audio")) == 5
    assert files.upload_path("job_1").read_bytes() == b"audio"


def test_a_write_that_fails_leaves_no_file(files: JobFiles) -> None:
    before = list_files(files)
    with pytest.raises(StorageFull):
        write_until_disk_full(files)
    assert list_files(files) == before


def test_a_write_that_fails_leaves_the_file_that_was_there(files: JobFiles) -> None:
    files.store_upload("job_1", io.BytesIO(b"all of it"))
    with pytest.raises(StorageFull):
        write_until_disk_full(files)
    assert files.upload_path("job_1").read_bytes() == b"all of it"


def write_until_disk_full(files: JobFiles) -> None:
    with files.write_atomically(files.upload_path("job_1")) as file:
        file.write(b"a part of it")
        raise OSError(errno.ENOSPC, "No space left on device")


def test_deleting_a_job_deletes_its_files_and_no_others(files: JobFiles) -> None:
    for job_id in ("job_1", "job_2"):
        files.store_upload(job_id, io.BytesIO(b"audio"))
        files.store_result(job_id, b"{}")
        files.store_peaks(job_id, b"\0\1")
    files.delete("job_1")
    assert list_files(files) >= {"uploads/job_2", "peaks/job_2", "results/job_2.json"}
    assert not list_files(files) & {"uploads/job_1", "peaks/job_1", "results/job_1.json"}


def test_a_waveform_is_read_as_it_was_stored(files: JobFiles) -> None:
    assert (files.read_peaks("job_1"), files.measure_peaks("job_1")) == (None, 0)
    files.store_peaks("job_1", b"\0\xff\x80")
    assert (files.read_peaks("job_1"), files.measure_peaks("job_1")) == (b"\0\xff\x80", 3)
    assert files.read_peaks("job_2") is None
    files.delete_peaks("job_1")
    files.delete_peaks("job_1")
    assert files.read_peaks("job_1") is None


def test_orphaned_and_partial_files_are_deleted(files: JobFiles) -> None:
    for job_id in ("job_1", "job_2"):
        files.store_upload(job_id, io.BytesIO(b"audio"))
        files.store_result(job_id, b"{}")
        files.store_peaks(job_id, b"\0")
    (files.uploads_directory / "1f2e.partial").write_bytes(b"")
    assert files.delete_orphans(upload_ids=["job_1"], peaks_ids=["job_2"], result_ids=["job_2"]) == 4
    assert list_files(files) >= {"uploads/job_1", "peaks/job_2", "results/job_2.json"}
    orphans = {"uploads/job_2", "uploads/1f2e.partial", "peaks/job_1", "results/job_1.json"}
    assert not list_files(files) & orphans
