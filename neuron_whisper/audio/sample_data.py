"""Finds the samples of a WAV, RF64, W64, AIFF, CAF or AU file, if what its headers state agrees with the file."""

from __future__ import annotations

import struct
from typing import BinaryIO, NamedTuple

UNKNOWN_SIZE = 0xFFFFFFFF  # of RF64, whose chunk ds64 has the size, and of a file written to a pipe
MAX_CHUNKS = 1000  # more are not a recording, and cost time
W64_TAIL = bytes.fromhex("f3acd3118cd100c04f8edb8a")  # of the GUID of every chunk but the first
W64_RIFF = b"riff" + bytes.fromhex("2e91cf11a5d628db04c10000")
WAV_PCM, WAV_FLOAT, WAV_ALAW, WAV_ULAW, WAV_EXTENSIBLE = 1, 3, 6, 7, 0xFFFE  # format codes of mmreg.h
WAV_SUBTYPE_TAIL = bytes.fromhex("000000001000800000aa00389b71")  # behind the format code in an extensible header
AIFC_VERSION = 0xA2805140  # the only one
CAF_VERSION = b"\0\1"  # the only one


class SampleData(NamedTuple):
    """The size of the samples, and how many frames they are where the headers state it."""

    n_bytes: int
    n_frames: int | None = None


class _ChunkFormat(NamedTuple):
    """How the chunks of a container follow each other."""

    first: int  # offset of the first chunk
    header: struct.Struct  # name and size
    alignment: int
    extra: int = 0  # bytes of the header that the size includes
    tail: bytes = b""  # of the names


RIFF_CHUNKS = _ChunkFormat(12, struct.Struct("<4sI"), 2)
AIFF_CHUNKS = _ChunkFormat(12, struct.Struct(">4sI"), 2)
CAF_CHUNKS = _ChunkFormat(8, struct.Struct(">4sq"), 1)
W64_CHUNKS = _ChunkFormat(40, struct.Struct("<16sQ"), 8, extra=24, tail=W64_TAIL)


def find_sample_data(file: BinaryIO) -> SampleData | None:
    """The samples of a file whose chunks fill it exactly and whose format is one of uncompressed samples.

    None for a file that is truncated or longer than stated, that does not state its size or contradicts itself, and
    for any other kind of file. The file's position is not restored.
    """
    end = file.seek(0, 2)
    file.seek(0)
    head = file.read(W64_CHUNKS.first)
    try:
        return _read_container(file, head, end)
    except (struct.error, ValueError, KeyError):
        return None


def _read_container(file: BinaryIO, head: bytes, end: int) -> SampleData | None:
    match head[:4], head[8:12]:
        case b"RIFF", b"WAVE":
            _check_end(struct.unpack_from("<I", head, 4)[0] + 8, end)
            return _read_wav(file, _read_chunks(file, RIFF_CHUNKS, end))
        case b"RF64", b"WAVE":
            name, _, riff_bytes, data_bytes = struct.unpack_from("<4sIQQ", head, RIFF_CHUNKS.first)
            _check(name == b"ds64")
            _check_end(riff_bytes + 8, end)
            return _read_wav(file, _read_chunks(file, RIFF_CHUNKS, end, data_bytes))
        case b"FORM", b"AIFF" | b"AIFC":
            _check_end(struct.unpack_from(">I", head, 4)[0] + 8, end)
            return _read_aiff(file, _read_chunks(file, AIFF_CHUNKS, end))
        case b"caff", _:
            _check(head[4:6] == CAF_VERSION)
            return _read_caf(file, _read_chunks(file, CAF_CHUNKS, end))
        case b".snd", _:
            offset, size = struct.unpack_from(">II", head, 4)
            _check_end(offset + size, end)
            return SampleData(size)
    if head[:16] == W64_RIFF and head[24:] == b"wave" + W64_TAIL:
        _check_end(struct.unpack_from("<Q", head, 16)[0], end)
        return _read_wav(file, _read_chunks(file, W64_CHUNKS, end))
    return None


def _read_wav(file: BinaryIO, chunks: dict[bytes, tuple[int, int]]) -> SampleData:
    at, size = chunks[b"fmt "]
    file.seek(at)
    header = file.read(min(size, 40))
    code, channels, rate, bytes_per_s, frame_bytes, bits = struct.unpack_from("<HHIIHH", header)
    if code == WAV_EXTENSIBLE:
        extra, valid_bits, _, code = struct.unpack_from("<HHIH", header, 16)
        _check(extra == 22 and valid_bits == bits and header[26:] == WAV_SUBTYPE_TAIL)
    _check(code in (WAV_PCM, WAV_FLOAT, WAV_ALAW, WAV_ULAW))
    _check(8 * frame_bytes == channels * bits and bytes_per_s == rate * frame_bytes)
    return SampleData(chunks[b"data"][1])


def _read_aiff(file: BinaryIO, chunks: dict[bytes, tuple[int, int]]) -> SampleData:
    file.seek(chunks[b"COMM"][0])
    _, n_frames = struct.unpack(">hI", file.read(6))
    if b"FVER" in chunks:
        file.seek(chunks[b"FVER"][0])
        _check(struct.unpack(">I", file.read(4)) == (AIFC_VERSION,))
    at, size = chunks[b"SSND"]
    file.seek(at)
    _check(struct.unpack(">II", file.read(8)) == (0, 0))  # no offset, no blocks
    return SampleData(size - 8, n_frames)


def _read_caf(file: BinaryIO, chunks: dict[bytes, tuple[int, int]]) -> SampleData:
    file.seek(chunks[b"desc"][0])
    frames_per_packet = struct.unpack(">d4sIIIII", file.read(32))[4]
    _check(frames_per_packet == 1)
    return SampleData(chunks[b"data"][1] - 4)  # a count of edits comes first


def _read_chunks(
    file: BinaryIO, chunk: _ChunkFormat, end: int, data_bytes: int = UNKNOWN_SIZE
) -> dict[bytes, tuple[int, int]]:
    """Name -> (offset, size) of the content. Raises ValueError or struct.error unless the chunks fill the file.

    `data_bytes` is the size of the chunk `data` where its header does not state it.
    """
    chunks: dict[bytes, tuple[int, int]] = {}
    at = chunk.first
    for _ in range(MAX_CHUNKS):
        if at >= end - 1:  # a single byte makes the size of the file even
            return chunks
        file.seek(at)
        name, size = chunk.header.unpack(file.read(chunk.header.size))
        name = name.removesuffix(chunk.tail)
        if name == b"data" and size == UNKNOWN_SIZE:
            size = data_bytes
        content, content_bytes = at + chunk.header.size, size - chunk.extra
        _check(0 <= content_bytes <= end - content)
        _check(name not in chunks or name not in (b"fmt ", b"data", b"COMM", b"SSND", b"FVER"))
        chunks[name] = content, content_bytes
        at = content + content_bytes + -size % chunk.alignment
    raise ValueError("too many chunks")


def _check_end(stated: int, actual: int) -> None:
    _check(stated <= actual <= stated + 1)  # a byte that makes the size even is not always included


def _check(agrees: bool) -> None:
    if not agrees:
        raise ValueError("the headers do not agree with the file")
