"""The boxes of MP4, M4A, MOV and 3GP: how far they reach, and an index that the size of the box before it hides."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from neuron_whisper.audio.container.file_bytes import FileBytes

MAX_BOXES = 1_000_000
SEARCH_BYTES = 1 << 20
MEDIA = (b"moov", b"moof")
IN_INDEX = (b"mvhd", b"trak", b"udta", b"meta", b"mvex", b"iods", b"cmov", b"prfl")


class Box(NamedTuple):
    """`end` may lie behind the end of the file, as it does where no size is stated."""

    name: bytes
    start: int
    content: int
    end: int


class Patch(NamedTuple):
    """Bytes that are read at an offset instead of those that are there."""

    at: int
    content: bytes


def iterate_boxes(data: FileBytes, at: int) -> Iterator[Box]:
    """The boxes of one recording: up to what is no box, or the first box of another recording."""
    has_media = False
    for _ in range(MAX_BOXES):
        header = data.get(at, 16)
        if len(header) < 8 or not all(32 <= byte < 127 or byte == 0xA9 for byte in header[4:8]):
            return
        size, name, content = int.from_bytes(header[:4], "big"), header[4:8], at + 8
        if size == 1:
            size, content = int.from_bytes(header[8:16], "big"), at + 16
        elif size == 0:
            size = data.end + 1 - at  # to the end, or to another recording
        if size < content - at or (name == b"ftyp" and has_media):
            return
        yield Box(name, at, content, at + size)
        has_media |= name in MEDIA
        at += size


def find_hidden_index(data: FileBytes, boxes: list[Box]) -> Patch | None:
    """The size of the last box of samples that ends it before the index, or the header of one that is no box; None
    when no index is hidden.

    As of a recorder that writes the size last, or of one that counted wrong.
    """
    samples = [box for box in boxes if box.name == b"mdat"]
    if not boxes or any(box.name in MEDIA for box in boxes):
        return None
    if not samples:
        header_at = boxes[-1].end
        at = _find_index(data, header_at + 8)
        is_short = at is not None and at - header_at < 1 << 32
        return Patch(header_at, (at - header_at).to_bytes(4, "big") + b"mdat") if at is not None and is_short else None
    box = samples[-1]
    at = _find_index(data, box.content)
    if at is None:
        return None
    if box.content - box.start == 16:
        return Patch(box.start + 8, (at - box.start).to_bytes(8, "big"))
    return Patch(box.start, (at - box.start).to_bytes(4, "big")) if at - box.start < 1 << 32 else None


def _find_index(data: FileBytes, at: int) -> int | None:
    """Where a box `moov` begins whose first box is one of an index."""
    while at < data.end:
        piece = data.read(at, SEARCH_BYTES + 16)
        hit = piece.find(b"moov", 4)
        while hit >= 0:
            start = at + hit - 4
            header = data.get(start, 16)
            size = int.from_bytes(header[:4], "big")
            if 16 <= size <= data.end - start and header[12:16] in IN_INDEX:
                return start
            hit = piece.find(b"moov", hit + 1)
        at += SEARCH_BYTES
    return None
