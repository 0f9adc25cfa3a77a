"""JSON of others: what is bounded."""

from __future__ import annotations

from pathlib import Path

import pytest

from neuron_whisper.host.json_files import parse_json, read_json_file


def test_a_byte_order_mark_is_skipped(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(b'\xef\xbb\xbf{"a": 1}')
    assert read_json_file(tmp_path / "a.json") == {"a": 1}


@pytest.mark.parametrize("content", [b"", b"[" * 200_000, b'{"a":' * 200_000, b"\xff", b"1" * 5000])
def test_what_is_no_json_is_a_value_error(content: bytes) -> None:
    with pytest.raises(ValueError):
        parse_json(content)


def test_a_file_beyond_the_limit_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(b"[" + b" " * 98 + b"]")
    assert read_json_file(tmp_path / "a.json", limit_bytes=100) == []
    with pytest.raises(ValueError, match="more than 99 bytes"):
        read_json_file(tmp_path / "a.json", limit_bytes=99)
