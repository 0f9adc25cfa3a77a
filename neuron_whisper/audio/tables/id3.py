"""check_id3_tags: compressed frames of ID3 tags do not unpack to gigabytes."""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator
from typing import BinaryIO

from neuron_whisper.audio.tables.promise import BrokenPromise

MAX_UNPACKED_BYTES = 16 << 20  # of all frames together; compressed frames hold text, and hardly a file has any
MAX_CHUNKS = 10_000
SCAN_BYTES = 1 << 20
TAG_BYTES = 10  # of the header of a tag
LEAST_FRAME_BYTES = 1 << 16  # unpacked; smaller ones add up to little
COMPRESSED_WITH_SIZE = 0x0009  # of a frame's flags, as FFmpeg reads them in version 3 and 4
# flags, the size, and the first two bytes of zlib's format
COMPRESSED_FRAME = re.compile(
    b"(?s)(?=(.[%s].{4}[%s].))"
    % (
        re.escape(bytes(flags for flags in range(256) if flags & COMPRESSED_WITH_SIZE == COMPRESSED_WITH_SIZE)),
        re.escape(bytes(range(0x08, 0x79, 0x10))),
    )
)


def check_id3_tags(file: BinaryIO, head: bytes) -> None:
    """Check the tags at the start, in the chunks of WAV and AIFF, and between the frames of AAC.

    FFmpeg unpacks a compressed frame of a megabyte to the gigabyte that it promises. Raises BrokenPromise.
    """
    end = file.seek(0, 2)
    unpacked_bytes = 0
    for at in _find_tags(file, head, end):
        unpacked_bytes += _count_unpacked_bytes(file, at)
        if unpacked_bytes > MAX_UNPACKED_BYTES:
            raise BrokenPromise(f"its ID3 tags unpack to over {MAX_UNPACKED_BYTES:,} bytes")


def _find_tags(file: BinaryIO, head: bytes, end: int) -> Iterator[int]:
    """The offsets of what may be tags."""
    if head[:4] in (b"RIFF", b"RF64", b"FORM"):
        yield from _find_chunks(file, ">" if head[:4] == b"FORM" else "<", end)
        return
    at = 0
    while (size := _read_tag_bytes(file, at)) is not None:
        yield at
        at += size
    file.seek(at)
    sync = file.read(2)
    if len(sync) == 2 and sync[0] == 0xFF and sync[1] & 0xF6 == 0xF0:  # ADTS
        yield from _scan(file, at)


def _find_chunks(file: BinaryIO, order: str, end: int) -> Iterator[int]:
    at = 12
    for _ in range(MAX_CHUNKS):
        file.seek(at)
        header = file.read(8)
        if len(header) < 8 or at >= end:
            return
        name, size = struct.unpack(f"{order}4sI", header)
        if name.lower() == b"id3 ":
            yield at + 8
        at += 8 + size + size % 2


def _scan(file: BinaryIO, at: int) -> Iterator[int]:
    """Every "ID3" from an offset on."""
    while True:
        file.seek(at)
        piece = file.read(SCAN_BYTES)
        found = -1
        while (found := piece.find(b"ID3", found + 1)) >= 0:
            yield at + found
        if len(piece) < SCAN_BYTES:
            return
        at += len(piece) - 2  # a name may lie across the pieces


def _read_tag_bytes(file: BinaryIO, at: int) -> int | None:
    """The size of the tag at an offset, its header included; None where there is no tag."""
    file.seek(at)
    header = file.read(TAG_BYTES)
    if len(header) < TAG_BYTES or header[:3] != b"ID3" or max(header[3:5]) == 0xFF or max(header[6:]) > 0x7F:
        return None
    return TAG_BYTES + _unsynchsafe(header[6:]) + TAG_BYTES * bool(header[5] & 0x10)


def _count_unpacked_bytes(file: BinaryIO, at: int) -> int:
    """What the compressed frames of a tag unpack to, as far as it matters.

    Frames are not followed from one to the next, in which FFmpeg is lenient: a frame is what has its flags, a size and
    zlib's header, and unpacks.
    """
    unpacked_bytes = 0
    end = at + (_read_tag_bytes(file, at) or 0)
    while at < end and unpacked_bytes <= MAX_UNPACKED_BYTES:
        file.seek(at)
        piece = file.read(min(SCAN_BYTES, end - at))
        for found in COMPRESSED_FRAME.finditer(piece):
            _, stated, header = struct.unpack(">HIH", found[1])
            if stated >= LEAST_FRAME_BYTES and header % 31 == 0:
                content = at + found.start() + 6
                unpacked_bytes += max(_unpack(file, content), _unpack(file, content, is_unsynchronised=True))
        if len(piece) < SCAN_BYTES:
            break
        at += len(piece) - 7  # a frame may lie across the pieces
    return unpacked_bytes


def _unpack(file: BinaryIO, at: int, *, is_unsynchronised: bool = False) -> int:
    """The bytes that zlib unpacks from an offset on, within the limit; 0xFF 0 is 0xFF where unsynchronised."""
    file.seek(at)
    packed, unpacker, n_bytes = file.read(SCAN_BYTES), zlib.decompressobj(), 0
    if is_unsynchronised and b"\xff\x00" not in packed:
        return 0
    try:
        while packed and n_bytes <= MAX_UNPACKED_BYTES:
            part = packed.replace(b"\xff\x00", b"\xff") if is_unsynchronised else packed
            n_bytes += len(unpacker.decompress(part, MAX_UNPACKED_BYTES + 1))
            packed = file.read(SCAN_BYTES)
    except zlib.error:
        return n_bytes
    return n_bytes


def _unsynchsafe(number: bytes) -> int:
    """Four bytes of seven bits each."""
    return number[0] << 21 | number[1] << 14 | number[2] << 7 | number[3]
