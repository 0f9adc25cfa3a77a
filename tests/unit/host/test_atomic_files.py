"""Files appear whole or not at all, and are on the disk before they have their name."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from neuron_whisper.host.atomic_files import open_atomically, sync_directory, sync_file, write_atomically, write_durably


def names_in(directory: Path) -> list[str]:
    return [path.name for path in directory.iterdir()]


def test_open_atomically_replaces_the_file_when_the_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with open_atomically(path) as file:
        file.write(b"new")
        file.flush()
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"
    assert names_in(tmp_path) == ["file"]


def test_open_atomically_leaves_the_old_file_when_the_block_raises(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def fail() -> None:
        with open_atomically(path) as file:
            file.write(b"new")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert path.read_bytes() == b"old"
    assert names_in(tmp_path) == ["file"]


def test_write_atomically_takes_a_name_of_the_maximum_length(tmp_path: Path) -> None:
    path = tmp_path / ("x" * os.pathconf(tmp_path, "PC_NAME_MAX"))
    write_atomically(path, b"1")
    assert path.read_bytes() == b"1"


def test_write_atomically_names_a_missing_directory(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write_atomically(tmp_path / "missing" / "file", b"1")


@pytest.mark.parametrize("mode", [0o600, 0o644])
def test_a_new_file_has_the_mode_that_was_asked_for(mode: int, tmp_path: Path) -> None:
    before = os.umask(0o000)
    try:
        write_atomically(tmp_path / "replaced", b"", mode=mode)
        write_durably(tmp_path / "new", b"", mode=mode)
    finally:
        os.umask(before)
    assert [stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()] == [mode, mode]


def test_write_durably_does_not_replace_a_file(tmp_path: Path) -> None:
    write_durably(tmp_path / "file", b"first")
    with pytest.raises(FileExistsError):
        write_durably(tmp_path / "file", b"second")
    assert (tmp_path / "file").read_bytes() == b"first"


def test_the_content_is_synced_before_the_rename_and_the_directory_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = []
    fsync, replace = os.fsync, os.replace

    def logged_fsync(descriptor: int) -> None:
        events.append("directory" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")
        fsync(descriptor)

    def logged_replace(source: Path, destination: Path) -> None:
        events.append("rename")
        replace(source, destination)

    monkeypatch.setattr(os, "fsync", logged_fsync)
    monkeypatch.setattr(os, "replace", logged_replace)
    write_atomically(tmp_path / "file", b"1")
    assert events == ["file", "rename", "directory"]


def test_sync_closes_what_it_opened(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    descriptors = names_in(Path("/proc/self/fd"))
    sync_file(tmp_path / "file")
    sync_directory(tmp_path)
    assert len(names_in(Path("/proc/self/fd"))) == len(descriptors)
