"""Digests of files: computed once for each state of a file."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path

from neuron_whisper.model.digests import hash_file


def test_a_digest_is_the_sha256_of_the_content(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"weights")
    assert hash_file(tmp_path / "file") == hashlib.sha256(b"weights").hexdigest()


def test_a_file_that_did_not_change_is_not_read_again(tmp_path: Path) -> None:
    file, cache = tmp_path / "file", tmp_path / "cache"
    file.write_bytes(b"weights")
    hash_file(file, cache_dir=cache)
    (entry,) = cache.iterdir()
    entry.write_text("0" * 64)
    assert hash_file(file, cache_dir=cache) == "0" * 64


def test_a_write_that_restores_size_and_time_is_noticed(tmp_path: Path) -> None:
    file, cache = tmp_path / "file", tmp_path / "cache"
    file.write_bytes(b"weights")
    hash_file(file, cache_dir=cache)
    before = file.stat()
    while file.stat().st_ctime_ns == before.st_ctime_ns:  # the file system's clock may be coarse
        file.write_bytes(b"WEIGHTS")
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert hash_file(file, cache_dir=cache) == hashlib.sha256(b"WEIGHTS").hexdigest()


def test_a_damaged_cache_entry_is_replaced(tmp_path: Path) -> None:
    file, cache = tmp_path / "file", tmp_path / "cache"
    file.write_bytes(b"weights")
    digest = hash_file(file, cache_dir=cache)
    (entry,) = cache.iterdir()
    entry.write_text("half")
    assert hash_file(file, cache_dir=cache) == digest
    assert entry.read_text() == digest


def test_a_cache_that_cannot_be_written_is_not_used(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"weights")
    (tmp_path / "cache").touch()  # a file where the directory would be
    assert hash_file(tmp_path / "file", cache_dir=tmp_path / "cache") == hashlib.sha256(b"weights").hexdigest()


def test_cached_digests_are_private(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"weights")
    hash_file(tmp_path / "file", cache_dir=tmp_path / "cache")
    assert stat.S_IMODE((tmp_path / "cache").stat().st_mode) == 0o700
