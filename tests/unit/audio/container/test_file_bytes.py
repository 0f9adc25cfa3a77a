"""FileBytes: the bytes at an offset, whatever was read before."""

from __future__ import annotations

import io

from hypothesis import given
from hypothesis import strategies as st

from neuron_whisper.audio.container.file_bytes import PIECE_BYTES, FileBytes


@given(st.binary(max_size=300), st.lists(st.tuples(st.integers(-5, 310), st.integers(0, 50)), max_size=20))
def test_bytes_at_any_offset_are_those_of_the_file(content: bytes, reads: list[tuple[int, int]]) -> None:
    data = FileBytes(io.BytesIO(content))
    assert data.end == len(content)
    for at, size in reads:
        assert data.get(at, size) == (content[at : at + size] if at >= 0 else b"")
        if at >= 0:
            assert data.read(at, size) == content[at : at + size]


def test_zeros_are_passed_over_to_the_next_byte_or_the_end() -> None:
    data = FileBytes(io.BytesIO(b"\1" + bytes(200_000) + b"\2"))
    assert (data.skip_zeros(0), data.skip_zeros(1)) == (0, 200_001)
    assert FileBytes(io.BytesIO(bytes(10))).skip_zeros(3) == 10


def test_zeros_at_the_end_are_found_from_behind() -> None:
    for content, zeros in ((b"ab\0c", 0), (b"", 0), (b"", 3), (b"a" * 100_000, 200_000), (b"\0a", PIECE_BYTES)):
        assert FileBytes(io.BytesIO(content + bytes(zeros))).find_last_zeros() == len(content)
