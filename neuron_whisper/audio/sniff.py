"""What the first and last bytes of a file show: why it is not audio, and which sizes its headers state."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from neuron_whisper.audio.container.sample_layout import is_placeholder

# magic bytes -> a name for the file, for one that no demuxer recognises
KNOWN_SIGNATURES: tuple[tuple[bytes, str], ...] = (
    (b"\x89PNG\r\n\x1a\n", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"BM", "a BMP image"),
    (b"II*\0", "a TIFF image"),
    (b"MM\0*", "a TIFF image"),
    (b"%PDF", "a PDF document"),
    (b"PK\x03\x04", "a ZIP archive or an office document"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"7z\xbc\xaf", "a 7-Zip archive"),
    (b"\x7fELF", "a program"),
    (b"MZ", "a program"),
    (b"MThd", "a MIDI file, which holds notes and no sound"),
    (b"#EXTM3U", "a playlist, which only names other files"),
    (b"ffconcat", "a list for FFmpeg's concat, which only names other files"),
    (b"[playlist]", "a playlist, which only names other files"),
    (b"[Reference]", "a playlist, which only names other files"),
    (b"v=0", "a description of a session (SDP), which only names a network address"),
    (b"\x30\x26\xb2\x75", "a Windows Media file with a damaged beginning"),
    (b"FLV\x01", "a Flash video with a damaged beginning"),
    (b".RMF", "a RealMedia file with a damaged beginning"),
    (b"#!AMR", "an AMR file with a damaged beginning"),
    (b"wvpk", "a WavPack file with a damaged beginning"),
    (b"fLaC", "a FLAC file with a damaged beginning"),
    (b"OggS", "an Ogg file with a damaged beginning"),
    (b"RIFF", "a RIFF file with a damaged beginning"),
    (b"FORM", "an AIFF file with a damaged beginning"),
    (b"\x1aE\xdf\xa3", "a WebM or Matroska file with a damaged beginning"),
    (b"ID3", "an ID3 tag with no sound behind it"),
)
MANIFESTS = ((b"<mpd", "a DASH manifest"), (b"<smoothstreamingmedia", "a manifest"), (b"<asx", "a playlist"))
OGG_LAST_PAGE_BYTES = 65_536  # a page is at most 65,307 bytes


def explain_not_audio(head: bytes) -> str:
    """Why no demuxer recognises the file, whose first kilobytes are `head`."""
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "this is a WebP image"
    if head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free"):
        return "this MP4 or M4A file has no usable index (moov); it is incomplete or damaged"
    start = head[:1024].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    for mark, name in MANIFESTS:
        if start.startswith(b"<") and mark in start:
            return f"this is {name}, which only names other files"
    if start.startswith((b"file ", b"file\t")):
        return "this is a list for FFmpeg's concat, which only names other files"
    for magic, name in KNOWN_SIGNATURES:
        if head.startswith(magic):
            return f"this is {name}"
    if not any(head):
        return "the file holds nothing but zero bytes"
    if _is_text(head):
        return "this is text, not audio"
    return "no known audio format was found in it"


def _is_text(head: bytes) -> bool:
    if any(byte < 9 or 13 < byte < 27 for byte in head):
        return False
    try:
        head.decode()
    except UnicodeDecodeError as error:
        return error.start > len(head) - 4  # the end of `head` may split the last character
    return True


class WavFormat(NamedTuple):
    channels: int
    sample_rate: int


def parse_wav_format(head: bytes) -> WavFormat | None:
    """The format in a WAV header; None when there is none."""
    for name, start, _ in _iter_riff_chunks(head):
        if name == b"fmt " and start + 8 <= len(head):
            return WavFormat(*struct.unpack_from("<HI", head, start + 2))
    return None


def count_wav_missing_bytes(head: bytes, file_bytes: int) -> int:
    """How many bytes of samples a WAV header states beyond the end of the file; 0 when it states no real size."""
    frame_bytes = 1
    for name, start, size in _iter_riff_chunks(head):
        if name == b"fmt " and start + 14 <= len(head):
            frame_bytes = max(1, int.from_bytes(head[start + 12 : start + 14], "little"))
        if name == b"data":
            return 0 if is_placeholder(size, frame_bytes) else max(0, start + size - file_bytes)
    return 0


def _iter_riff_chunks(head: bytes) -> Iterator[tuple[bytes, int, int]]:
    """(name, offset of its content, size) of each chunk that begins inside `head`."""
    if head[:4] != b"RIFF" or head[8:12] != b"WAVE":
        return
    at = 12
    while at + 8 <= len(head):
        name, size = head[at : at + 4], int.from_bytes(head[at + 4 : at + 8], "little")
        yield name, at + 8, size
        at += 8 + size + size % 2


def is_ogg_truncated(tail: bytes) -> bool:
    """Whether the last page in `tail` is incomplete, or not marked as the last of its stream."""
    at = tail.rfind(b"OggS")
    if at < 0 or at + 27 > len(tail):
        return True
    segments = tail[at + 26]
    table = tail[at + 27 : at + 27 + segments]
    is_complete = len(table) == segments and at + 27 + segments + sum(table) <= len(tail)
    return not (is_complete and tail[at + 5] & 4)


def has_mp3_length_header(file: BinaryIO) -> bool:
    """Whether the first MP3 frame is a Xing, Info or VBRI header, which counts the frames.

    Without one a demuxer estimates the duration from the bit rate, which is not to be relied on.
    """
    head = file.read(10)
    audio_at = 0
    if head[:3] == b"ID3" and len(head) == 10:
        size = head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9]
        audio_at = 10 + size
    file.seek(audio_at)
    first_frame = file.read(256)
    return any(tag in first_frame for tag in (b"Xing", b"Info", b"VBRI"))
