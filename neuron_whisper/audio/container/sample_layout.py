"""Where the samples of a WAV, RF64, W64, AIFF, CAF or AU file lie by its headers, however wrong their sizes are."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from neuron_whisper.audio.container.beginnings import identify_recording
from neuron_whisper.audio.container.file_bytes import FileBytes
from neuron_whisper.audio.sample_data import AIFF_CHUNKS, CAF_CHUNKS, MAX_CHUNKS, RIFF_CHUNKS, W64_CHUNKS, W64_RIFF

SIZE_LIMITS = (2**31, 2**32, 2**63, 2**64)  # a size near one of them is a placeholder
NEAR_BYTES = 1 << 20


class SampleLayout(NamedTuple):
    """`end`: of the samples, and of the chunks behind them; None where the headers do not state it."""

    kind: str
    samples_at: int
    end: int | None


def find_sample_layout(file: BinaryIO, at: int, file_end: int) -> SampleLayout | None:
    """The samples of the recording at `at`; None for another kind, or one without samples."""
    file.seek(at)
    head = file.read(40)
    match head[:4], head[8:12]:
        case b"RIFF" | b"RF64", b"WAVE":
            return _walk(file, at, file_end, "riff")
        case b"FORM", b"AIFF" | b"AIFC":
            return _walk(file, at, file_end, "aiff")
        case b"caff", _:
            return _walk(file, at, file_end, "caf")
        case b".snd", _:
            offset, size = struct.unpack_from(">II", head.ljust(12, b"\0"), 4)
            if not 24 <= offset <= file_end - at:
                return None
            stated = at + offset + size
            is_known = size and not is_placeholder(size) and stated <= file_end
            return SampleLayout("au", at + offset, stated if is_known else None)
    return _walk(file, at, file_end, "w64") if head[:16] == W64_RIFF else None


def is_placeholder(size: int, frame_bytes: int = 1) -> bool:
    """Whether a stated size is none that a writer counted: near what the field can hold, or no whole frames."""
    return size % frame_bytes != 0 or any(abs(limit - size) <= NEAR_BYTES for limit in SIZE_LIMITS)


_FORMATS = {"riff": RIFF_CHUNKS, "aiff": AIFF_CHUNKS, "caf": CAF_CHUNKS, "w64": W64_CHUNKS}
_SAMPLES = {"riff": b"data", "aiff": b"SSND", "caf": b"data", "w64": b"data"}
_LEAD_BYTES = {"riff": 0, "aiff": 8, "caf": 4, "w64": 0}  # of the chunk, before its samples


def _walk(file: BinaryIO, at: int, file_end: int, kind: str) -> SampleLayout | None:
    samples_at: int | None = None
    end: int | None = None
    size_of_samples = _read_rf64_size(file, at)
    data = FileBytes(file)
    for name, content, size in _iterate_chunks(file, at, file_end, kind):
        if samples_at is None and name == _SAMPLES[kind]:
            samples_at = content + _LEAD_BYTES[kind]
            size = size_of_samples if size_of_samples and size >= 0xFFFFFFFF else size
            end = content + size + -size % _FORMATS[kind].alignment
            if size <= _LEAD_BYTES[kind] or end > file_end + 1:
                return SampleLayout(kind, samples_at, None)  # no size, or one beyond the end: to the end of the file
            file.seek(end)
        elif samples_at is not None:
            if not 0 <= size <= file_end + 1 - content or not _is_chunk_name(name):
                break
            if identify_recording(data, content - _FORMATS[kind].header.size):  # its first bytes look like a chunk
                break
            end = content + size + -size % _FORMATS[kind].alignment
    return None if samples_at is None else SampleLayout(kind, samples_at, end)


def _iterate_chunks(file: BinaryIO, at: int, file_end: int, kind: str) -> Iterator[tuple[bytes, int, int]]:
    """(name, offset of its content, its size) of each chunk."""
    chunk = _FORMATS[kind]
    at += chunk.first
    for _ in range(MAX_CHUNKS):
        file.seek(at)
        header = file.read(chunk.header.size)
        if len(header) < chunk.header.size:
            return
        name, size = chunk.header.unpack(header)
        size -= chunk.extra
        content = at + chunk.header.size
        if name[:4] in (b"RIFF", b"RF64", b"FORM", b"riff"):
            return
        yield name.removesuffix(chunk.tail), content, size
        if size < 0 or content + size > file_end:
            return
        at = content + size + -size % chunk.alignment


def _is_chunk_name(name: bytes) -> bool:
    return len(name) == 4 and all(32 <= byte < 127 for byte in name)


def _read_rf64_size(file: BinaryIO, at: int) -> int:
    file.seek(at)
    head = file.read(36)
    return int(struct.unpack_from("<Q", head, 28)[0]) if head[:4] == b"RF64" and len(head) == 36 else 0
