"""Forms as the peer's server reads them."""

from __future__ import annotations

from benchmarks.goals.http_peer import parse_form


def test_a_form_is_read_as_python_writes_it() -> None:
    body = b'--x\r\ncontent-disposition: form-data; name="a"\r\n\r\none\r\n--x--\r\n'
    assert parse_form("multipart/form-data; boundary=x", body) == {"a": b"one"}
