"""Progress of a download, measured by the growth of a folder."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from neuron_whisper.model.progress import count_bytes, track_download

TIMEOUT_S = 30
Call = tuple[str, int, int | None]


def test_the_last_report_is_the_whole_total(tmp_path: Path) -> None:
    (tmp_path / "before").write_bytes(b"x" * 100)
    calls: list[Call] = []
    with track_download(lambda what, done, total: calls.append((what, done, total)), "base", tmp_path, 10):
        (tmp_path / "new").write_bytes(b"x" * 7)
    assert calls[-1] == ("base", 10, 10)


def test_without_a_total_the_last_report_is_the_growth(tmp_path: Path) -> None:
    (tmp_path / "before").write_bytes(b"x" * 100)
    calls: list[Call] = []
    with track_download(lambda what, done, total: calls.append((what, done, total)), "base", tmp_path, None):
        (tmp_path / "new").write_bytes(b"x" * 7)
    assert calls[-1] == ("base", 7, None)


def test_a_failed_download_is_not_reported_as_done(tmp_path: Path) -> None:
    calls: list[Call] = []

    def fail() -> None:
        with track_download(lambda what, done, total: calls.append((what, done, total)), "base", tmp_path, 10):
            raise ConnectionError

    with pytest.raises(ConnectionError):
        fail()
    assert ("base", 10, 10) not in calls


def test_a_download_is_reported_while_it_grows(tmp_path: Path) -> None:
    calls: list[Call] = []
    reported = threading.Event()

    def report(what: str, done: int, total: int | None) -> None:
        calls.append((what, done, total))
        (tmp_path / f"part{len(calls)}").write_bytes(b"x")
        if len(calls) == 3:
            reported.set()

    with track_download(report, "base", tmp_path, 1000):
        assert reported.wait(TIMEOUT_S)
    assert [done for _, done, _ in calls[:3]] == [0, 1, 2]


def test_nothing_is_measured_without_a_callback(tmp_path: Path) -> None:
    with track_download(None, "base", tmp_path / "missing", 10):
        pass


def test_bytes_of_a_folder_are_those_of_its_files_and_not_of_links(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "file").write_bytes(b"12345")
    (tmp_path / "link").symlink_to(tmp_path / "below" / "file")
    assert count_bytes(tmp_path) == 5
