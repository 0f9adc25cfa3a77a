"""check_mp4: the sample tables of MP4, M4A, MOV and 3GP promise no more samples than the file has bytes."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import BytesIO
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from neuron_whisper.audio.tables.promise import BrokenPromise

# names of a first box by which FFmpeg takes a file for MP4
FIRST_BOXES = frozenset(b"ftyp moov mdat wide free skip pnot udta uuid junk pict prfl styp moof sidx hoov ediw".split())
CONTAINERS = frozenset(
    b"moov trak mdia minf stbl edts dinf moof traf mvex udta meta mfra sinf schi wave tref iprp ipco ilst tapt clip "
    b"matt".split()
)
HIDDEN_MOOV = frozenset((b"free", b"hoov", b"skip"))  # FFmpeg finds a moov in them that an editor has hidden
SAMPLE_TABLES = (b"stsz", b"stz2", b"stts", b"ctts", b"stsc", b"trun")
# name -> bytes of an entry, of a table behind version, flags and a count of 32 bits
ENTRY_BYTES = {b"stts": 8, b"ctts": 8, b"stsc": 12, b"stco": 4, b"co64": 8, b"stss": 4, b"stps": 4}
MAX_DEPTH = 16  # FFmpeg's is 10
MAX_BOXES = 1_000_000  # 12 hours in fragments of a second are a third of it
MAX_COMPRESSED_MOOV_BYTES = 16 << 20
# Where every sample lasts one unit of time, as in uncompressed sound and QuickTime's oldest codecs, FFmpeg's index has
# an entry for 160 samples or more, and a sample may be less than a byte.
MAX_SAMPLES_PER_BYTE = 160
READ_BYTES = 1 << 20


def check_mp4(file: BinaryIO) -> None:
    """Raises BrokenPromise for more samples, of all tracks together, than the file has bytes; and for tables that end
    behind their box. Reads at most every byte of the tables once.
    """
    size = file.seek(0, 2)
    _Mp4Check(file, size, size).check()


@dataclass(slots=True)
class _Track:
    """The tables of one track, in the order in which they come."""

    samples: int = 0
    has_unit_durations: bool = True
    runs: NDArray[np.int64] | None = None  # (n, 2): first chunk, samples of each chunk
    chunks: int | None = None


@dataclass(slots=True)
class _Mp4Check:
    """`file_bytes` is what the promises are compared with; `size` the length of `file`, which may be a part of it."""

    file: BinaryIO
    size: int
    file_bytes: int
    n_boxes: int = 0
    samples: int = 0  # of the tracks before this one, and of fragments
    track: _Track = field(default_factory=_Track)

    def check(self) -> None:
        self._walk(0, self.size, 0)

    def _walk(self, at: int, end: int, depth: int) -> None:
        for name, content, content_end in self._iter_boxes(at, end):
            if name == b"trak":
                self.samples += self._count_track()
                self.track = _Track()
            if name in CONTAINERS and depth < MAX_DEPTH:
                has_version = name == b"meta" and self._read(content + 4, 4) != b"hdlr"
                self._walk(content + 4 * has_version, content_end, depth + 1)
            elif name in HIDDEN_MOOV and self._read(content + 4, 4) in (b"mvhd", b"cmov"):
                self._walk(content, content_end, depth + 1)
            elif name == b"cmov":
                self._check_compressed(content, content_end)
            elif name == b"stsd":
                self._check_descriptions(content, content_end)
            else:
                self._check_table(name, content, content_end)

    def _iter_boxes(self, at: int, end: int) -> Iterator[tuple[bytes, int, int]]:
        """(name, start, end of the content) of the boxes between two offsets."""
        while at + 8 <= end:
            self.n_boxes += 1
            if self.n_boxes > MAX_BOXES:
                raise BrokenPromise(f"it has over {MAX_BOXES:,} boxes")
            header = self._read(at, 16)
            size, name, content = int.from_bytes(header[:4], "big"), header[4:8], at + 8
            if size == 1 and len(header) == 16:
                size, content = int.from_bytes(header[8:], "big"), at + 16
            elif size == 0:
                size = end - at
            if size < content - at:
                return
            yield name, content, min(at + size, end)
            at += size

    # --- tables ---------------------------------------------------------------------------------

    def _check_table(self, name: bytes, at: int, end: int) -> None:
        if name == b"stsz" or name == b"stz2":
            self._check_sizes(name, at, end)
        elif name == b"trun":
            self.samples += self._read_count(name, at + 4, end)
            self._check_samples(name)
        elif name in ENTRY_BYTES:
            self._check_entries(name, at, end)

    def _check_sizes(self, name: bytes, at: int, end: int) -> None:
        header = self._read(at, 12)
        if len(header) < 12:
            return
        size, count = struct.unpack(">II", header[4:])
        bits = 32 if name == b"stsz" else size & 0xFF
        if (name == b"stz2" or size == 0) and count * bits > 8 * (end - at - 12):
            raise BrokenPromise(f"its table {name.decode()} promises {count:,} samples and ends before them")
        self.track.samples = max(self.track.samples, count)
        self._check_samples(name)

    def _check_entries(self, name: bytes, at: int, end: int) -> None:
        count = self._read_count(name, at + 4, end)
        if count * ENTRY_BYTES[name] > end - at - 8:
            raise BrokenPromise(f"its table {name.decode()} promises {count:,} entries and ends before them")
        if name in (b"stts", b"ctts"):
            samples = sum(int(rows[:, 0].sum()) for rows in self._iter_rows(at + 8, count, 2))
            if name == b"stts":
                is_one = count == 1 and self._read(at + 12, 4) == b"\0\0\0\1"
                self.track.has_unit_durations &= is_one
            self._check_number(name, samples, is_unit=name == b"stts" and self.track.has_unit_durations)
        elif name == b"stsc":
            rows = [it[:, :2] for it in self._iter_rows(at + 8, count, 3)]
            self.track.runs = np.concatenate(rows) if rows else None
        elif name in (b"stco", b"co64"):
            self.track.chunks = count
        self._check_chunks()

    def _check_chunks(self) -> None:
        """The samples in all chunks, once both tables are known."""
        track = self.track
        if track.runs is None or track.chunks is None:
            return
        ends = np.append(track.runs[1:, 0], track.chunks + 1)
        chunks = np.clip(ends - track.runs[:, 0], 0, track.chunks).astype(float)
        samples = float((chunks * track.runs[:, 1]).sum())  # a float: a forged product has over 64 bits
        self._check_number(b"stsc", int(samples), is_unit=track.has_unit_durations)

    def _check_samples(self, name: bytes) -> None:
        self._check_number(name, self.samples + self._count_track(), is_unit=False)
        self._check_number(name, self.track.samples, is_unit=self.track.has_unit_durations)

    def _count_track(self) -> int:
        """The samples that the track adds to the index; nothing where each lasts one unit, or it is not known yet."""
        return 0 if self.track.has_unit_durations else self.track.samples

    def _check_number(self, name: bytes, samples: int, *, is_unit: bool) -> None:
        if samples > self.file_bytes * (MAX_SAMPLES_PER_BYTE if is_unit else 1):
            raise BrokenPromise(
                f"its table {name.decode()} promises {samples:,} samples, more than {self.file_bytes:,} bytes can hold"
            )

    # --- what can hide tables ----------------------------------------------------------------------

    def _check_descriptions(self, at: int, end: int) -> None:
        """FFmpeg reads boxes behind a description as if they were beside it; no sample table belongs there."""
        description = self._read(at, min(end - at, READ_BYTES))
        if any(name in description for name in SAMPLE_TABLES):
            raise BrokenPromise("a sample table is hidden in its stsd")

    def _check_compressed(self, at: int, end: int) -> None:
        for name, content, content_end in self._iter_boxes(at, end):
            if name != b"cmvd":
                continue
            packed = self._read(content + 4, min(content_end - content - 4, MAX_COMPRESSED_MOOV_BYTES))
            stated = int.from_bytes(self._read(content, 4), "big")
            try:
                moov = zlib.decompressobj().decompress(packed, MAX_COMPRESSED_MOOV_BYTES + 1)
            except zlib.error:
                continue  # FFmpeg refuses it as well
            if max(len(moov), stated) > MAX_COMPRESSED_MOOV_BYTES:
                raise BrokenPromise(f"its compressed index unpacks to over {MAX_COMPRESSED_MOOV_BYTES:,} bytes")
            _Mp4Check(BytesIO(moov), len(moov), self.file_bytes).check()

    # --- reading -----------------------------------------------------------------------------------

    def _read(self, at: int, n: int) -> bytes:
        self.file.seek(at)
        return self.file.read(max(0, n))

    def _read_count(self, name: bytes, at: int, end: int) -> int:
        return int.from_bytes(self._read(at, 4), "big") if at + 4 <= end else 0

    def _iter_rows(self, at: int, count: int, columns: int) -> Iterator[NDArray[np.int64]]:
        """(n, columns) of 32-bit numbers, piece by piece."""
        step = READ_BYTES // (4 * columns)
        for start in range(0, count, step):
            piece = self._read(at + start * 4 * columns, min(step, count - start) * 4 * columns)
            whole = len(piece) // (4 * columns) * columns
            yield np.frombuffer(piece, ">u4", whole).astype(np.int64).reshape(-1, columns)
