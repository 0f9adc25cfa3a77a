"""The number in a FLAC frame's header, which says where its samples lie when frames before it are lost."""

from __future__ import annotations

from functools import cache

MAX_HEADER_BYTES = 16
RATE_BYTES = {12: 1, 13: 2, 14: 2}  # code of the sample rate -> bytes of it at the header's end
BLOCK_SIZE_BYTES = {6: 1, 7: 2}


def read_first_sample(packet: bytes, max_block_samples: int) -> int | None:
    """The index of a frame's first sample in the stream; None when this is no header, or a damaged one.

    `max_block_samples`: of the stream's header; in a stream of fixed blocks frames are counted, and all but the last
    have this many samples. RFC 9639, section 9.1.
    """
    head = packet[:MAX_HEADER_BYTES]
    if len(head) < MAX_HEADER_BYTES or head[0] != 0xFF or head[1] & 0xFE != 0xF8:
        return None
    number, size = _read_coded_number(head[4:11])
    end = 4 + size + BLOCK_SIZE_BYTES.get(head[2] >> 4, 0) + RATE_BYTES.get(head[2] & 15, 0)
    if number is None or _crc8(head[:end]) != head[end]:
        return None
    return number if head[1] & 1 else number * max_block_samples


def _read_coded_number(coded: bytes) -> tuple[int | None, int]:
    """(number, bytes that it takes) of UTF-8's scheme, extended to 36 bits."""
    first = coded[0]
    if first < 0x80:
        return first, 1
    size = 8 - (first ^ 0xFF).bit_length()  # leading ones
    if not 2 <= size <= 7 or any(byte & 0xC0 != 0x80 for byte in coded[1:size]):
        return None, 1
    number = first & (0x7F >> size)
    for byte in coded[1:size]:
        number = number << 6 | byte & 0x3F
    return number, size


@cache
def _crc8_table() -> bytes:
    table = bytearray()
    for value in range(256):
        for _ in range(8):
            value = (value << 1 ^ 0x07) & 0xFF if value & 0x80 else value << 1
        table.append(value)
    return bytes(table)


def _crc8(data: bytes) -> int:
    table, value = _crc8_table(), 0
    for byte in data:
        value = table[value ^ byte]
    return value
