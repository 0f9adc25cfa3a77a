"""SkippedBytes: what a demuxer passes over between the frames of a damaged stream of AAC."""

from __future__ import annotations

from typing import BinaryIO

from neuron_whisper.audio.container.flac_frames import read_first_sample
from neuron_whisper.audio.container.frames import measure_adts_frame
from neuron_whisper.audio.container.structure import measure_id3


def is_adts(head: bytes) -> bool:
    """Whether a stream of AAC frames (ADTS) begins here, behind tags or none."""
    while tag_bytes := measure_id3(head):
        head = head[tag_bytes:]
    is_flac = read_first_sample(head, 1) is not None  # whose frames begin with the same bits
    return measure_adts_frame(head[:10]) > 0 and not is_flac


class SkippedBytes:
    """Compares where each packet lies with where the one before it ended. Tags between them are no loss."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._end: int | None = None

    def measure(self, at: int | None, size: int) -> int:
        """The bytes passed over before the packet at this offset; 0 where that is not known."""
        if at is None or at < 0:
            self._end = None
            return 0
        before, self._end = self._end, at + size
        if before is None or at <= before:
            return 0
        return max(0, at - before - self._measure_tags(before, at))

    def _measure_tags(self, at: int, end: int) -> int:
        """The tags at an offset. The position of the file, which the demuxer relies on, is restored."""
        position, start = self._file.tell(), at
        try:
            while at < end:
                self._file.seek(at)
                tag_bytes = measure_id3(self._file.read(10))
                if not tag_bytes:
                    break
                at += tag_bytes
        finally:
            self._file.seek(position)
        return at - start
