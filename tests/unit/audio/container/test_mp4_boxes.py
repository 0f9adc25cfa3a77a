"""Boxes: where an MP4 ends, and an index behind a size that hides it."""

from __future__ import annotations

import io
import struct

from neuron_whisper.audio.container.file_bytes import FileBytes
from neuron_whisper.audio.container.mp4_boxes import Patch, find_hidden_index, iterate_boxes


def box(name: bytes, content: bytes = b"", size: int | None = None) -> bytes:
    return struct.pack(">I", 8 + len(content) if size is None else size) + name + content


FTYP, MOOV = box(b"ftyp", b"M4A \0\0\0\0"), box(b"moov", box(b"mvhd", bytes(20)))


def read(content: bytes) -> FileBytes:
    return FileBytes(io.BytesIO(content))


def test_boxes_end_before_another_recording_and_before_what_is_none() -> None:
    whole = FTYP + MOOV + box(b"mdat", bytes(50))
    for rest in (b"", FTYP + MOOV, b"RIFF\x24\0\0\0WAVE", b"OggS\0\2\0\0\0\0"):
        boxes = list(iterate_boxes(read(whole + rest), 0))
        assert [it.name for it in boxes] == [b"ftyp", b"moov", b"mdat"]
        assert boxes[-1].end == len(whole)


def test_a_size_that_hides_the_index_is_corrected() -> None:
    for size in (0, 9_999, 0xFFFFFFF0):
        data = read(FTYP + box(b"mdat", b"moov" + bytes(96), size) + MOOV)
        patch = find_hidden_index(data, list(iterate_boxes(data, 0)))
        assert patch == Patch(len(FTYP), (108).to_bytes(4, "big"))
    large = struct.pack(">I4sQ", 1, b"mdat", 1 << 40) + bytes(100)
    data = read(FTYP + large + MOOV)
    patch = find_hidden_index(data, list(iterate_boxes(data, 0)))
    assert patch == Patch(len(FTYP) + 8, (116).to_bytes(8, "big"))


def test_a_header_that_is_none_before_the_index_is_replaced() -> None:
    data = read(FTYP + bytes(108) + MOOV)
    patch = find_hidden_index(data, list(iterate_boxes(data, 0)))
    assert patch == Patch(len(FTYP), (108).to_bytes(4, "big") + b"mdat")


def test_nothing_is_corrected_where_no_index_is_hidden() -> None:
    for content in (FTYP + MOOV + box(b"mdat", bytes(50) + MOOV, 0), FTYP + box(b"mdat", bytes(50), 0), FTYP):
        data = read(content)
        assert find_hidden_index(data, list(iterate_boxes(data, 0))) is None
