"""Directories that only this user can read, whatever the umask."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from neuron_whisper.model.private_directory import make_private_directory


def test_every_missing_parent_is_closed_to_others(tmp_path: Path) -> None:
    before = os.umask(0o000)
    try:
        make_private_directory(tmp_path / "a" / "b" / "c")
    finally:
        os.umask(before)
    made = [tmp_path / "a", tmp_path / "a/b", tmp_path / "a/b/c"]
    assert [stat.S_IMODE(path.stat().st_mode) for path in made] == [0o700] * 3


def test_a_directory_that_is_there_keeps_its_mode(tmp_path: Path) -> None:
    (tmp_path / "open").mkdir(mode=0o755)
    make_private_directory(tmp_path / "open")
    assert stat.S_IMODE((tmp_path / "open").stat().st_mode) == 0o755
