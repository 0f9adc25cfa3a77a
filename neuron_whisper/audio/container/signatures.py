"""How recordings of each kind begin, and where further ones begin in a file."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import BinaryIO, Literal

import numpy as np

Kind = Literal["", "riff", "aiff", "caf", "au", "w64", "mp4", "ogg", "ebml", "flac", "flv", "avi", "amr", "asf", "mp3"]

CHUNK_BYTES = 1 << 20
OVERLAP_BYTES = 64  # a signature with what is looked at around it
MAX_OGG_HEADER_BYTES = 27 + 255
ASF_HEADER = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
W64_HEADER = b"riff" + bytes.fromhex("2e91cf11a5d628db04c10000")
EBML_HEADER = b"\x1aE\xdf\xa3"
FLAC_HEADERS = (b"fLaC\0\0\0\x22", b"fLaC\x80\0\0\x22")  # with the size of the first block
FLV_TAIL = b"\0\0\0\x09\0\0\0\0"  # the header's size, then the size of no tag before it
OGG_CODECS = (b"OpusHead", b"\x01vorbis", b"\x7fFLAC", b"Speex   ", b"\x80theora", b"fishead\0", b"\x80kate\0")
MP4_BOXES = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"moof", b"styp", b"pnot")
TAGS = (b"TAG", b"APETAGEX", b"ID3", b"LYRICSBEGIN", b"3DI")
MP3_COUNTS = (b"Xing", b"Info")  # of the frames, in a frame without sound before them
MP3_COUNT_OFFSETS = {(True, True): 36, (True, False): 21, (False, True): 21, (False, False): 13}  # MPEG 1, stereo

MAX_ENTROPY_BITS = 7.97  # per byte of samples; compressed and encrypted bytes have 7.99 and more


def classify(head: bytes) -> Kind:
    """The kind of a recording whose first kilobytes these are; "" for another."""
    while tag_bytes := _id3_bytes(head):
        head = head[tag_bytes:] or b"\xff\xfb\x90\0"  # beyond these bytes: most likely MP3
    if head[:4] in (b"RIFF", b"RF64") and head[8:12] == b"WAVE":
        return "riff"
    if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
        return "avi"
    if head[:4] == b"FORM" and head[8:12] in (b"AIFF", b"AIFC"):
        return "aiff"
    if head[4:8] in MP4_BOXES:
        return "mp4"
    for kind, signatures in _BEGINNINGS.items():
        if head.startswith(signatures):
            return kind
    return "mp3" if _is_mp3_header(head[:4]) else ""


_BEGINNINGS: Mapping[Kind, tuple[bytes, ...]] = MappingProxyType(
    {
        "caf": (b"caff\0\1\0\0",),
        "au": (b".snd\0\0",),
        "w64": (W64_HEADER,),
        "ogg": (b"OggS\0",),
        "ebml": (EBML_HEADER,),
        "flac": FLAC_HEADERS,
        "flv": tuple(b"FLV\1" + bytes([flags]) + FLV_TAIL for flags in (0, 1, 4, 5)),
        "amr": (b"#!AMR",),
        "asf": (ASF_HEADER,),
    }
)


def is_tag(head: bytes) -> bool:
    """Whether a tag, which holds no sound, begins here."""
    return head.startswith(TAGS)


def looks_like_samples(data: bytes) -> bool:
    """Whether bytes are samples rather than text, or compressed or encrypted data."""
    counts = np.bincount(np.frombuffer(data, np.uint8), minlength=256)
    if not len(data) or counts[9:127].sum() > 0.95 * len(data):
        return False
    shares = counts[counts > 0] / len(data)
    entropy = -float((shares * np.log2(shares)).sum())
    expected_of_noise = math.log2(256) - 255 / (2 * len(data) * math.log(2))  # fewer bytes are less even
    return entropy < expected_of_noise - (8 - MAX_ENTROPY_BITS)


# --- where further recordings begin ----------------------------------------------------------------


def scan(file: BinaryIO, needles: tuple[bytes, ...], start: int, end: int) -> Iterator[tuple[int, bytes, bytes]]:
    """Yields (offset of a needle, the bytes before it, from it on) in order; OVERLAP_BYTES at most of each."""
    at = start
    while at < end:
        file.seek(max(0, at - OVERLAP_BYTES))
        lead = min(at, OVERLAP_BYTES)
        data = file.read(lead + CHUNK_BYTES + OVERLAP_BYTES)
        hits = sorted({hit for needle in needles for hit in _find_all(data, needle, lead, lead + CHUNK_BYTES)})
        for hit in hits:
            yield at - lead + hit, data[max(0, hit - OVERLAP_BYTES) : hit], data[hit : hit + OVERLAP_BYTES]
        at += CHUNK_BYTES


def _find_all(data: bytes, needle: bytes, start: int, stop: int) -> Iterator[int]:
    hit = data.find(needle, start, stop + len(needle) - 1)
    while hit >= 0:
        yield hit
        hit = data.find(needle, hit + 1, stop + len(needle) - 1)


def _find_by_head(needles: tuple[bytes, ...], *, lead: int = 0, kind: Kind) -> Callable[..., Iterator[int]]:
    """A finder of recordings that have a needle `lead` bytes behind their beginning."""

    def find(file: BinaryIO, end: int, start: int = 1) -> Iterator[int]:
        for at, before, behind in scan(file, needles, start, end):
            if at - lead >= start and len(before) >= lead:
                head = before[len(before) - lead :] + behind
                if classify(head) == kind:
                    yield at - lead

    return find


def _find_matroska(file: BinaryIO, end: int, start: int = 1) -> Iterator[int]:
    for at, _, head in scan(file, (EBML_HEADER,), start, end):
        if b"\x42\x82" in head and (b"webm" in head or b"matroska" in head):
            yield at


def _find_ogg(file: BinaryIO, end: int, start: int = 1) -> Iterator[int]:
    """Links: the first pages of streams, where they do not follow other first pages."""
    first_pages_end = _ogg_page_end(file, 0)
    for at, _, _ in scan(file, (b"OggS\0\2", b"OggS\0\6"), start, end):
        page_end = _ogg_page_end(file, at)
        if page_end is None:
            continue
        if at != first_pages_end:
            yield at
        first_pages_end = page_end


def _ogg_page_end(file: BinaryIO, at: int) -> int | None:
    """The end of the first page of a stream; None when it is none."""
    file.seek(at)
    head = file.read(MAX_OGG_HEADER_BYTES + 8)
    if len(head) < 28 or not head.startswith(b"OggS"):
        return None
    content = 27 + head[26]
    if not head[content:].startswith(OGG_CODECS):
        return None
    return at + content + sum(head[27:content])


def _find_mp3(file: BinaryIO, end: int, start: int = 1) -> Iterator[int]:
    """Tags before a frame, and frames that count the frames of a file."""
    file.seek(0)
    first_frame = _id3_bytes(file.read(10))
    found_to = first_frame + OVERLAP_BYTES
    for at, before, head in scan(file, (b"ID3", *MP3_COUNTS, b"VBRI"), max(start, 1), end):
        if at < found_to:
            continue
        if head.startswith(b"ID3"):
            frame_at = at + _id3_bytes(head)
            file.seek(frame_at)
            if frame_at == at or not _is_mp3_header(file.read(4)):
                continue
            yield at
            found_to = frame_at + OVERLAP_BYTES
        elif (offset := _count_offset(before, head)) and at - offset >= found_to:
            yield at - offset
            found_to = at + OVERLAP_BYTES


def _count_offset(before: bytes, head: bytes) -> int:
    """How many bytes before the counts their frame begins; 0 when these bytes are none."""
    if head.startswith(b"VBRI"):
        return 36 if _is_mp3_header(before[-36:-32]) else 0
    for offset in sorted(set(MP3_COUNT_OFFSETS.values())):
        frame = before[-offset:]
        if len(frame) < offset or not _is_mp3_header(frame[:4]) or any(frame[6:]):
            continue
        is_mpeg1, is_stereo = frame[1] & 8 == 8, frame[3] >> 6 != 3
        if MP3_COUNT_OFFSETS[is_mpeg1, is_stereo] == offset:
            return offset
    return 0


def _is_mp3_header(head: bytes) -> bool:
    """Whether a frame of MPEG audio layer III begins here."""
    return (
        len(head) >= 4
        and head[0] == 0xFF
        and head[1] & 0xE6 == 0xE2
        and head[1] >> 3 & 3 != 1
        and head[2] >> 4 not in (0, 15)
        and head[2] >> 2 & 3 != 3
    )


def _id3_bytes(head: bytes) -> int:
    """The size of the ID3 tag at the beginning; 0 when there is none."""
    if len(head) < 10 or head[:3] != b"ID3" or head[3] not in (2, 3, 4) or any(byte & 0x80 for byte in head[6:10]):
        return 0
    size = head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9]
    return 10 + size


FIND_STARTS: Mapping[str, Callable[..., Iterator[int]]] = MappingProxyType(
    {
        "riff": _find_by_head((b"WAVE",), lead=8, kind="riff"),
        "aiff": _find_by_head((b"AIFF", b"AIFC"), lead=8, kind="aiff"),
        "caf": _find_by_head((b"caff\0\1\0\0",), kind="caf"),
        "au": _find_by_head((b".snd\0\0",), kind="au"),
        "w64": _find_by_head((W64_HEADER,), kind="w64"),
        "flac": _find_by_head(FLAC_HEADERS, kind="flac"),
        "flv": _find_by_head((b"FLV\1",), kind="flv"),
        "avi": _find_by_head((b"AVI LIST",), lead=8, kind="avi"),
        "amr": _find_by_head((b"#!AMR",), kind="amr"),
        "asf": _find_by_head((ASF_HEADER,), kind="asf"),
        "ebml": _find_matroska,
        "ogg": _find_ogg,
        "mp3": _find_mp3,
    }
)
"""kind -> (file, end, start) -> the offsets of further recordings of this kind"""
