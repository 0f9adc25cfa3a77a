"""measure_samples: how far the samples of an MP4 reach by its index (moov), whatever the boxes around them say."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from neuron_whisper.audio.container.file_bytes import FileBytes
from neuron_whisper.audio.container.mp4_boxes import Box, iterate_boxes

MAX_INDEX_BYTES = 64 << 20  # 4 hours of AAC take 3 MB
PATH_TO_TABLES = (b"mdia", b"minf", b"stbl")


def measure_samples(data: FileBytes, index: Box) -> int:
    """The offset in the recording at which the last sample of all tracks ends; 0 where the tables do not say it."""
    if index.end > data.end or index.end - index.content > MAX_INDEX_BYTES:
        return 0
    ends = [_measure_track(data, track) for track in _iterate_inner(data, index) if track.name == b"trak"]
    return max(ends, default=0)


def _iterate_inner(data: FileBytes, box: Box) -> Iterator[Box]:
    for inner in iterate_boxes(data, box.content):
        if inner.start >= box.end or inner.end > box.end:
            return
        yield inner


def _measure_track(data: FileBytes, track: Box) -> int:
    box = track
    for name in PATH_TO_TABLES:
        found = next((it for it in _iterate_inner(data, box) if it.name == name), None)
        if found is None:
            return 0
        box = found
    tables = {it.name: data.read(it.content, it.end - it.content) for it in _iterate_inner(data, box)}
    offsets = _read_numbers(tables.get(b"stco", b""), ">u4")
    if not len(offsets):
        offsets = _read_numbers(tables.get(b"co64", b""), ">u8")
    chunk_bytes = _measure_chunks(tables, len(offsets))
    return int((offsets + chunk_bytes).max()) if len(offsets) else 0


def _read_numbers(table: bytes, form: str, columns: int = 1, lead: int = 4) -> NDArray[np.float64]:
    """The entries behind version, flags and a count; floats, since forged offsets have 64 bits."""
    row = np.dtype(form).itemsize * columns
    count = min(int.from_bytes(table[lead : lead + 4], "big"), max(0, len(table) - lead - 4) // row)
    values = np.frombuffer(table, form, count * columns, offset=lead + 4) if count else np.empty(0)
    return values.astype(np.float64)


def _measure_chunks(tables: dict[bytes, bytes], chunks: int) -> NDArray[np.float64]:
    """The bytes of each chunk; 0 for those whose samples have no size."""
    runs = _read_numbers(tables.get(b"stsc", b""), ">u4", columns=3).reshape(-1, 3)
    sizes = tables.get(b"stsz", b"")
    if not len(runs) or not chunks:
        return np.zeros(chunks)
    of_run = np.searchsorted(runs[:, 0], np.arange(1, chunks + 1), side="right") - 1
    samples = runs[np.maximum(of_run, 0), 1]
    if one_size := int.from_bytes(sizes[4:8], "big"):
        return np.asarray(samples * one_size, np.float64)
    ends = np.concatenate([[0.0], np.cumsum(_read_numbers(sizes, ">u4", lead=8))])
    behind = np.minimum(np.cumsum(samples), len(ends) - 1).astype(np.int64)
    return np.diff(ends[behind], prepend=0.0)
