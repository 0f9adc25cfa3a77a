"""FileBytes: bytes of a file at any offset, read in pieces that are kept for the next ones."""

from __future__ import annotations

from typing import BinaryIO

PIECE_BYTES = 1 << 16
NEAR_BYTES = 1 << 16  # behind the last piece: the file is read on; elsewhere a few bytes are looked at
FAR_BYTES = 1 << 9


class FileBytes:
    """Reads a seekable file whose position nobody else relies on. `end`: its size."""

    def __init__(self, file: BinaryIO) -> None:
        self.file, self.end = file, file.seek(0, 2)
        self.candidates = 0  # that were looked at for a recording; counted by who looks
        self._start, self._piece = 0, b""

    def get(self, at: int, size: int) -> bytes:
        """Up to `size` bytes at an offset; fewer at the end of the file."""
        first = at - self._start
        if first >= 0 and first + size <= len(self._piece):
            return self._piece[first : first + size]
        if at < 0 or at >= self.end:
            return b""
        is_near = 0 <= at - self._start <= len(self._piece) + NEAR_BYTES
        self.file.seek(at)
        self._start, self._piece = at, self.file.read(max(size, PIECE_BYTES if is_near else FAR_BYTES))
        return self._piece[:size]

    def read(self, at: int, size: int) -> bytes:
        """As `get`, of many bytes, which are not kept."""
        self.file.seek(at)
        return self.file.read(size)

    def skip_zeros(self, at: int) -> int:
        """The first byte from `at` on that is not 0; the end of the file where there is none."""
        while at < self.end:
            piece = self.get(at, PIECE_BYTES)
            if rest := piece.lstrip(b"\0"):
                return at + len(piece) - len(rest)
            at += max(1, len(piece))
        return self.end

    def find_last_zeros(self) -> int:
        """Where the zeros at the end of the file begin; the end of the file where there are none."""
        at = self.end
        while at > 0:
            first = max(0, at - PIECE_BYTES)
            if rest := self.read(first, at - first).rstrip(b"\0"):
                return first + len(rest)
            at = first
        return 0
