"""find_parts: recordings that lie one behind the other in a file, and samples behind a size that is too small."""

from __future__ import annotations

import io
from collections.abc import Iterator
from itertools import pairwise
from typing import BinaryIO, NamedTuple, cast

from neuron_whisper.audio.container.sample_layout import find_sample_layout
from neuron_whisper.audio.container.signatures import (
    FIND_STARTS,
    classify,
    is_tag,
    looks_like_samples,
)

MAX_PARTS = 1000  # each is opened and decoded on its own
MAX_BOXES = 1_000_000
HEAD_BYTES = 4096
MIN_REST_BYTES = 1024  # behind the samples; less is padding, whatever it holds


class Part(NamedTuple):
    """One recording. `samples_at`: it is nothing but samples from there on, of the format that the header states."""

    start: int
    end: int
    samples_at: int | None = None


class FileParts(NamedTuple):
    """The recordings of a file, and warnings about what its headers do not say."""

    parts: tuple[Part, ...]
    notes: tuple[str, ...] = ()


def find_parts(file: BinaryIO) -> FileParts:
    """Usually one part, the whole file. Reads a file without stated sizes to its end. Restores the position to 0."""
    end = file.seek(0, 2)
    file.seek(0)
    kind = classify(file.read(HEAD_BYTES))
    try:
        if kind in ("riff", "aiff", "caf", "au", "w64"):
            found = _split_by_layout(file, end)
        elif kind == "mp4":
            found = _split(end, _find_mp4_starts(file, end))
        elif kind in FIND_STARTS:
            found = _split(end, FIND_STARTS[kind](file, end), is_legal=kind == "ogg")
        else:
            found = FileParts((Part(0, end),))
    finally:
        file.seek(0)
    return found


def open_part(file: BinaryIO, part: Part) -> BinaryIO:
    """The bytes of a part as a file of its own."""
    return cast("BinaryIO", io.BufferedReader(_FileSlice(file, part.start, part.end)))


def _split(end: int, starts: Iterator[int], *, is_legal: bool = False) -> FileParts:
    """Parts that begin at 0 and at `starts`. `is_legal`: the format allows several recordings in a file."""
    bounds = [0]
    for start in starts:
        if len(bounds) == MAX_PARTS:
            note = f"the file holds over {MAX_PARTS:,} recordings, one behind the other; only the first were decoded"
            return FileParts(_to_parts([*bounds, start]), (note,))
        bounds.append(start)
    return _describe(_to_parts([*bounds, end]), is_legal=is_legal)


def _to_parts(bounds: list[int]) -> tuple[Part, ...]:
    return tuple(Part(start, end) for start, end in pairwise(bounds))


def _describe(parts: tuple[Part, ...], notes: tuple[str, ...] = (), *, is_legal: bool = False) -> FileParts:
    if len(parts) > 1 and not is_legal:
        notes = (f"the file holds {len(parts):,} recordings, one behind the other; all were decoded", *notes)
    return FileParts(parts, notes)


# --- uncompressed samples, whose headers state sizes --------------------------------------------


def _split_by_layout(file: BinaryIO, end: int) -> FileParts:
    parts: list[Part] = []
    notes: list[str] = []
    at = 0
    while at < end and len(parts) < MAX_PARTS:
        part, note = _read_part(file, at, end)
        parts.append(part)
        notes += [note] if note else []
        at = part.end
    if at < end:
        notes.append(f"the file holds over {MAX_PARTS:,} recordings, one behind the other; only the first were decoded")
        return FileParts(tuple(parts), tuple(notes))
    return _describe(tuple(parts), tuple(notes))


def _read_part(file: BinaryIO, at: int, end: int) -> tuple[Part, str]:
    """The recording at `at` and a warning about it, "" for none."""
    layout = find_sample_layout(file, at, end)
    if layout is None:
        return Part(at, end), ""
    find_starts = FIND_STARTS[layout.kind]
    if layout.end is None:
        return Part(at, next(find_starts(file, end, layout.samples_at), end)), ""
    behind = _skip_zeros(file, layout.end, end)
    if behind >= end or is_tag(_read_at(file, behind, 16)):
        return Part(at, end), ""
    if (start := _find_recording(file, layout.end, behind)) is not None:
        return Part(at, start), ""
    stop = next(find_starts(file, end, behind), end)
    rest_bytes = stop - layout.end
    if stop - behind < MIN_REST_BYTES:
        return Part(at, stop), ""
    if not looks_like_samples(_read_at(file, behind + (stop - behind) // 3, 1 << 16)):
        return Part(at, stop), f"{rest_bytes:,} bytes behind the samples are not audio and were left out"
    note = (
        f"the header states {layout.end - layout.samples_at:,} bytes of samples, and {rest_bytes:,} more lie behind "
        "them; all were decoded"
    )
    return Part(at, stop, samples_at=layout.samples_at), note


def _skip_zeros(file: BinaryIO, at: int, end: int) -> int:
    """The first byte from `at` on that is not 0: what is silent needs no decoding."""
    while at < end:
        piece = _read_at(file, at, min(1 << 20, end - at))
        if rest := piece.lstrip(b"\0"):
            return at + len(piece) - len(rest)
        at += max(1, len(piece))
    return end


def _find_recording(file: BinaryIO, at: int, first_byte: int) -> int | None:
    """Where a recording begins whose first byte that is not 0 is at `first_byte`; None for something else."""
    for start in range(first_byte, max(at, first_byte - 3) - 1, -1):  # an MP4 begins with a size
        if classify(_read_at(file, start, HEAD_BYTES)) not in ("", "mp3"):  # two bytes of MP3 may be samples
            return start
    return None


def _read_at(file: BinaryIO, at: int, size: int) -> bytes:
    file.seek(at)
    return file.read(size)


# --- MP4, whose boxes state sizes ----------------------------------------------------------------


def _find_mp4_starts(file: BinaryIO, end: int) -> Iterator[int]:
    """Where a second file begins: at a box `ftyp` behind the index or the fragments of the one before."""
    at, has_media = 0, False
    for _ in range(MAX_BOXES):
        header = _read_at(file, at, 16)
        if len(header) < 8:
            return
        size, name = int.from_bytes(header[:4], "big"), header[4:8]
        if size == 1:
            size = int.from_bytes(header[8:16], "big")
        elif size == 0:
            return
        if size < 8 or not name.isascii():
            rest = _skip_zeros(file, at, end)
            start = _find_recording(file, at, rest) if has_media and rest < end else None
            if start is None:
                return
            yield start
            at, has_media = start, False
            continue
        if name == b"ftyp" and has_media:
            yield at
            has_media = False
        has_media |= name in (b"moov", b"moof")
        at += size


class _FileSlice(io.RawIOBase):
    """Bytes `start` to `end` of a file. The position of the file below is moved by reading."""

    def __init__(self, file: BinaryIO, start: int, end: int) -> None:
        self._file, self._start, self._length, self._at = file, start, end - start, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = 0) -> int:
        self._at = max(0, offset + (0, self._at, self._length)[whence])
        return self._at

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # any writable buffer
        wanted = max(0, min(len(buffer), self._length - self._at))
        self._file.seek(self._start + self._at)
        piece = self._file.read(wanted)
        buffer[: len(piece)] = piece
        self._at += len(piece)
        return len(piece)
