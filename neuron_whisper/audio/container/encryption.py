"""count_encrypted_tracks: protected MP4, Matroska, Windows Media and MPEG-TS files, which cannot be decoded."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

ENCRYPTED = "its audio is encrypted (DRM), and can only be decoded by the player that it was made for"
ALL_TRACKS = 1_000_000
MAX_INDEX_BYTES = 64 << 20
MAX_BOXES = 10_000
HEAD_BYTES = 65_536

MP4_ENCRYPTED = (b"enca", b"drms", b"aavd")  # Common Encryption, FairPlay, Audible
ASF_ENCRYPTION = tuple(
    bytes.fromhex(guid)
    for guid in (
        "fbb3112223bdd211b4b700a0c955fc6e",  # Content Encryption Object
        "14e68a292226174cb935dae07ee9289c",  # Extended Content Encryption Object
    )
)
EBML_HEADER, SEGMENT, TRACKS, TRACK_ENTRY = 0x1A45DFA3, 0x18538067, 0x1654AE6B, 0xAE
CONTENT_ENCODINGS, CONTENT_ENCODING, CONTENT_ENCRYPTION = 0x6D80, 0x6240, 0x5035
TRACK_TYPE, AUDIO = 0x83, b"\2"
TS_PACKET_BYTES = 188


def count_encrypted_tracks(file: BinaryIO) -> int:
    """How many audio tracks are encrypted; ALL_TRACKS for a file that is. Restores the position to 0."""
    file.seek(0)
    head = file.read(HEAD_BYTES)
    try:
        if head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"styp", b"skip"):
            return _count_in_mp4(_read_mp4_index(file))
        if head.startswith(EBML_HEADER.to_bytes(4, "big")):
            return sum(map(_is_encrypted_track, _find_tracks(head)))
        if head.startswith(bytes.fromhex("3026b2758e66cf11")):
            return ALL_TRACKS if any(guid in head for guid in ASF_ENCRYPTION) else 0
        if _is_scrambled_transport_stream(head):
            return ALL_TRACKS
    finally:
        file.seek(0)
    return 0


def _read_mp4_index(file: BinaryIO) -> bytes:
    """The box `moov`; empty when there is none."""
    at = 0
    for _ in range(MAX_BOXES):
        file.seek(at)
        header = file.read(16)
        if len(header) < 8:
            return b""
        size = int.from_bytes(header[:4], "big")
        if size == 1:
            size = int.from_bytes(header[8:16], "big")
        if header[4:8] == b"moov":
            file.seek(at)
            return file.read(min(size or MAX_INDEX_BYTES, MAX_INDEX_BYTES))
        if size < 8:
            return b""
        at += size
    return b""


def _count_in_mp4(index: bytes) -> int:
    """Sample descriptions (stsd) of encrypted audio: version, flags, count, then size and format of the first."""
    count, at = 0, index.find(b"stsd")
    while at >= 0:
        count += index[at + 16 : at + 20] in MP4_ENCRYPTED
        at = index.find(b"stsd", at + 4)
    return count


# --- Matroska and WebM ------------------------------------------------------------------------------


def _find_tracks(head: bytes) -> Iterator[bytes]:
    for element, content in _iterate_elements(head):
        if element == SEGMENT:
            for inner, tracks in _iterate_elements(content):
                if inner == TRACKS:
                    yield from (entry for name, entry in _iterate_elements(tracks) if name == TRACK_ENTRY)


def _is_encrypted_track(entry: bytes) -> bool:
    elements = list(_iterate_elements(entry))
    if (TRACK_TYPE, AUDIO) not in elements:
        return False
    encodings = [
        encoding
        for name, content in elements
        if name == CONTENT_ENCODINGS
        for inner, encoding in _iterate_elements(content)
        if inner == CONTENT_ENCODING
    ]
    return any(name == CONTENT_ENCRYPTION for encoding in encodings for name, _ in _iterate_elements(encoding))


def _iterate_elements(data: bytes) -> Iterator[tuple[int, bytes]]:
    """(id, content) of each EBML element; the content of the last may be cut."""
    at = 0
    while at < len(data):
        id_bytes = 9 - data[at].bit_length()
        if id_bytes > 4 or at + id_bytes >= len(data):
            return
        element = int.from_bytes(data[at : at + id_bytes], "big")
        at += id_bytes
        size_bytes = 9 - data[at].bit_length()
        if size_bytes > 8 or at + size_bytes > len(data):
            return
        size = int.from_bytes(data[at : at + size_bytes], "big") & ((1 << 7 * size_bytes) - 1)
        is_unknown = size == (1 << 7 * size_bytes) - 1
        at += size_bytes
        end = len(data) if is_unknown else min(len(data), at + size)
        yield element, data[at:end]
        at = end


# --- MPEG-TS ------------------------------------------------------------------------------------------


def _is_scrambled_transport_stream(head: bytes) -> bool:
    """Whether most packets with content have scrambling bits (ISO 13818-1, 2.4.3.3)."""
    packets = [head[at : at + 4] for at in range(0, len(head) - 3, TS_PACKET_BYTES)]
    if len(packets) < 5 or any(packet[0] != 0x47 for packet in packets):
        return False
    loaded = [packet for packet in packets if packet[3] & 0x10 and (packet[1] & 0x1F, packet[2]) != (0x1F, 0xFF)]
    scrambled = sum(packet[3] >> 6 != 0 for packet in loaded)
    return scrambled > len(loaded) / 2
