"""find_extent: how far the structure of a recording reaches, unit after unit, by the sizes that its units state."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from neuron_whisper.audio.container.file_bytes import FileBytes
from neuron_whisper.audio.container.frames import follow_frames, measure_mpeg_frame

MAX_UNITS = 20_000_000
MAX_OGG_PAGE_HEAD = 27 + 255
EBML_LEVEL_1 = frozenset(
    bytes.fromhex("1a45dfa3114d9b741549a9661654ae6b1f43b6751c53bb6b1941a4691043a7701254c367")[at : at + 4]
    for at in range(0, 36, 4)
)
EBML_EVERYWHERE = frozenset((b"\xec", b"\xbf"))  # padding, checksums
EBML_IN_CLUSTER = frozenset((b"\xa3", b"\xa0", b"\xe7", b"\xab", b"\xa7", b"\x58\x54", b"\xaf"))
EBML_HEADER, SEGMENT, CLUSTER = b"\x1aE\xdf\xa3", b"\x18\x53\x80\x67", b"\x1f\x43\xb6\x75"
ASF_OBJECTS = frozenset(
    bytes.fromhex(it) for it in ("3026b275", "3626b275", "90080033", "d329e2d6", "f803b1fe", "d03fb73c")
)
FLV_TAGS = (8, 9, 18)
TS_PACKET_BYTES, TS_SYNC = 188, 0x47
MIN_TS_PACKETS, MAX_TS_PACKETS = 64, 8192  # read at once
TS_TABLES = (0, 16, 17)  # of programs, networks, services
MIN_STEP_BACK = 9_000  # of a clock at 90 kHz
TTA_HEADER_BYTES = 22
MAX_TTA_FRAMES = 1 << 18  # 75 hours
SILENT_SIDE = bytes(7)  # of the side information of a frame without sound
MP3_COUNT_OFFSETS = {(True, True): 36, (True, False): 21, (False, True): 21, (False, False): 13}  # MPEG 1, stereo
ID3_HEADER_BYTES = 10
APE_TAG_BYTES, ID3V1_BYTES = 32, 128
APE_HAS_HEADER = 1 << 31


class Extent(NamedTuple):
    """`end`: behind the last unit, which begins at `last`; it may lie behind the end of the file."""

    last: int
    end: int


def find_extent(data: FileBytes, at: int, kind: str) -> Extent | None:
    """The extent of what of a recording of this kind lies at `at`; None for a kind without sizes."""
    walk = _WALKERS.get(kind)
    return walk(data, at) if walk is not None else None


def measure_id3(head: bytes) -> int:
    """The size of the ID3 tag at the beginning; 0 when there is none."""
    if len(head) < ID3_HEADER_BYTES or head[:3] != b"ID3" or head[3] not in (2, 3, 4) or max(head[6:10]) > 0x7F:
        return 0
    return ID3_HEADER_BYTES + (head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9])


def skip_tags(data: FileBytes, at: int) -> int:
    """The first byte behind the tags of a recording's end (ID3v1, APE) at an offset."""
    while True:
        head = data.get(at, APE_TAG_BYTES)
        if head.startswith(b"TAG"):
            at = min(data.end, at + ID3V1_BYTES)
        elif head.startswith(b"APETAGEX") and len(head) == APE_TAG_BYTES:
            size, flags = int.from_bytes(head[12:16], "little"), int.from_bytes(head[20:24], "little")
            is_header = bool(flags & 1 << 29)
            at = min(data.end, at + size + (APE_TAG_BYTES if is_header else 0))
            if size < APE_TAG_BYTES:
                return at
        else:
            return at


def _follow(data: FileBytes, at: int, measure: Callable[[int], int]) -> Extent:
    """Units from `at` on; `measure` gives the size of the one at an offset, 0 for none."""
    last = at
    for _ in range(MAX_UNITS):
        size = measure(at) if at < data.end else 0
        if not size:
            break
        last, at = at, at + size
    return Extent(last, at)


def _walk_frames(kind: str) -> Callable[[FileBytes, int], Extent]:
    def walk(data: FileBytes, at: int) -> Extent:
        while True:  # tags lie between the segments of a stream of AAC
            chain = follow_frames(data, at, kind)
            tag_bytes = measure_id3(data.get(chain.end, ID3_HEADER_BYTES)) if kind == "adts" else 0
            if not tag_bytes:
                return Extent(chain.last, chain.end)
            at = chain.end + tag_bytes

    return walk


def _walk_mp3(data: FileBytes, at: int) -> Extent:
    """Frames up to one that counts the frames of another file."""
    first = at

    def measure(at: int) -> int:
        head = data.get(at, 40)
        if head[6:13] == SILENT_SIDE and at > first and _counts_frames(head):
            return 0
        return measure_mpeg_frame(head, is_layer_3=True)

    return _follow(data, at, measure)


def _counts_frames(head: bytes) -> bool:
    is_mpeg_1, is_stereo = head[1] & 8 == 8, head[3] >> 6 != 3
    offset = MP3_COUNT_OFFSETS[is_mpeg_1, is_stereo]
    return head[offset : offset + 4] in (b"Xing", b"Info") or head[36:40] == b"VBRI"


def _walk_ogg(data: FileBytes, at: int) -> Extent:
    """Pages up to the first page of another link: of streams that begin when others have begun."""
    is_beginning = True

    def measure(at: int) -> int:
        nonlocal is_beginning
        head = data.get(at, MAX_OGG_PAGE_HEAD)
        if len(head) < 27 or head[:5] != b"OggS\0":
            return 0
        is_first = bool(head[5] & 2)
        if is_first and not is_beginning:
            return 0
        is_beginning = is_first
        return 27 + head[26] + sum(head[27 : 27 + head[26]])

    return _follow(data, at, measure)


def _walk_ebml(data: FileBytes, at: int) -> Extent:
    has_begun = False

    def measure(at: int) -> int:
        nonlocal has_begun
        head = data.get(at, 16)
        name, size_at = _read_ebml_id(head), 9 - head[0].bit_length()
        if not name or size_at >= len(head) or (name == EBML_HEADER and has_begun):
            return 0
        has_begun |= name == SEGMENT
        if name not in EBML_LEVEL_1 | EBML_EVERYWHERE | EBML_IN_CLUSTER | {SEGMENT}:
            return 0
        size_bytes = 9 - head[size_at].bit_length()
        if size_bytes > 8:
            return 0
        size = int.from_bytes(head[size_at : size_at + size_bytes], "big") & (1 << 7 * size_bytes) - 1
        is_unknown = size == (1 << 7 * size_bytes) - 1
        if name in (SEGMENT, CLUSTER) and (is_unknown or size > data.end - at):
            size = 0  # what is in it follows
        return size_at + size_bytes + size

    return _follow(data, at, measure)


def _read_ebml_id(head: bytes) -> bytes:
    size = 9 - head[0].bit_length() if head else 9
    return head[:size] if size <= 4 else b""


def _walk_flv(data: FileBytes, at: int) -> Extent:
    def measure(at: int) -> int:
        head = data.get(at, 4)
        return int.from_bytes(head[1:], "big") + 15 if len(head) == 4 and head[0] & 0x1F in FLV_TAGS else 0

    return _follow(data, at + 13 if data.get(at, 3) == b"FLV" else at, measure)


def _walk_asf(data: FileBytes, at: int) -> Extent | None:
    first = at

    def measure(at: int) -> int:
        head = data.get(at, 24)
        if len(head) < 24 or head[:4] not in ASF_OBJECTS or (at > first and head[:4] == b"\x30\x26\xb2\x75"):
            return 0
        size = int.from_bytes(head[16:24], "little")
        return size if size >= 24 else 0

    extent = _follow(data, at, measure)
    is_unsized = data.get(extent.end, 4) == b"\x36\x26\xb2\x75"
    return None if is_unsized or extent.end == at else extent


def _walk_avi(data: FileBytes, at: int) -> Extent | None:
    first = at

    def measure(at: int) -> int:
        head = data.get(at, 12)
        if head[:4] != b"RIFF" or head[8:] != (b"AVI " if at == first else b"AVIX"):
            return 0
        size = int.from_bytes(head[4:8], "little")
        return 8 + size + size % 2 if size >= 4 else 0

    extent = _follow(data, at, measure)
    return None if extent.end == at else extent


def _walk_tta(data: FileBytes, at: int) -> Extent | None:
    """The header, and the table of the sizes of all frames."""
    header = data.get(at, TTA_HEADER_BYTES)
    if len(header) < TTA_HEADER_BYTES or header[:4] != b"TTA1":
        return None
    rate, samples = struct.unpack("<II", header[10:18])
    frames = -(-samples // max(1, 256 * rate // 245))
    if frames > MAX_TTA_FRAMES or 4 * frames > data.end - at:
        return None
    table = data.read(at + TTA_HEADER_BYTES, 4 * frames)
    content = at + TTA_HEADER_BYTES + 4 * frames + 4  # a checksum
    return Extent(content, content + sum(struct.unpack(f"<{len(table) // 4}I", table[: len(table) // 4 * 4])))


# --- streams with a clock ---------------------------------------------------------------------------


def _goes_back(now: int, before: int | None) -> bool:
    """Whether a clock of 33 bits at 90 kHz began again, rather than wrapped."""
    return before is not None and MIN_STEP_BACK < (before - now) % 2**33 < 2**32


def _walk_transport_stream(data: FileBytes, at: int) -> Extent:
    """Packets, up to the tables of programs behind which a clock begins again."""
    clocks: dict[int, int] = {}
    tables_at, last_table = at, at
    n_packets = MIN_TS_PACKETS
    while at < data.end:
        piece = data.read(at, n_packets * TS_PACKET_BYTES)
        packets = np.frombuffer(piece, np.uint8, len(piece) // TS_PACKET_BYTES * TS_PACKET_BYTES)
        packets = packets.reshape(-1, TS_PACKET_BYTES)
        lost = np.flatnonzero(packets[:, 0] != TS_SYNC)
        whole = int(lost[0]) if len(lost) else len(packets)
        for number in np.flatnonzero(_is_table(packets[:whole]) | _has_clock(packets[:whole])).tolist():
            packet, packet_at = packets[number, :12].tobytes(), at + number * TS_PACKET_BYTES
            pid = (packet[1] & 0x1F) << 8 | packet[2]
            if pid in TS_TABLES:
                tables_at = tables_at if packet_at - last_table == TS_PACKET_BYTES else packet_at
                last_table = packet_at
                continue
            now = int.from_bytes(packet[6:11], "big") >> 7
            if _goes_back(now, clocks.get(pid)):
                return Extent(tables_at - TS_PACKET_BYTES, tables_at)
            clocks[pid] = now
        if whole < len(packets) or not whole:
            return Extent(max(at, at + (whole - 1) * TS_PACKET_BYTES), at + whole * TS_PACKET_BYTES)
        at += whole * TS_PACKET_BYTES
        n_packets = min(2 * n_packets, MAX_TS_PACKETS)
    return Extent(at - TS_PACKET_BYTES, at)


def _is_table(packets: NDArray[np.uint8]) -> NDArray[np.bool_]:
    is_first = packets[:, 1] & 0x5F == 0x40  # a section begins in it, and the upper bits of its PID are 0
    tables: NDArray[np.bool_] = is_first & np.isin(packets[:, 2], TS_TABLES)
    return tables


def _has_clock(packets: NDArray[np.uint8]) -> NDArray[np.bool_]:
    clocks: NDArray[np.bool_] = (packets[:, 3] & 0x20 != 0) & (packets[:, 4] >= 7) & (packets[:, 5] & 0x10 != 0)
    return clocks


def _walk_program_stream(data: FileBytes, at: int) -> Extent:
    """Packs and packets, up to a pack in which the clock begins again."""
    clock: int | None = None

    def measure(at: int) -> int:
        nonlocal clock
        head = data.get(at, 14)
        if len(head) < 4 or head[:3] != b"\0\0\1" or head[3] < 0xB9:
            return 0
        if head[3] == 0xB9:
            return 4
        if head[3] != 0xBA:
            return 6 + int.from_bytes(head[4:6], "big") if len(head) >= 6 else 0
        now, size = read_pack(head)
        if _goes_back(now, clock):
            return 0
        clock = now
        return size

    return _follow(data, at, measure)


def read_pack(head: bytes) -> tuple[int, int]:
    """(clock at 90 kHz, size of the header) of a pack of MPEG-2 or MPEG-1; (0, 0) for none."""
    if len(head) < 14 or head[:4] != b"\0\0\1\xba":
        return 0, 0
    a, b, c, d, e = head[4:9]
    if a >> 6 == 1:
        clock = (a >> 3 & 7) << 30 | (a & 3) << 28 | b << 20 | c >> 3 << 15 | (c & 3) << 13 | d << 5 | e >> 3
        return clock, 14 + (head[13] & 7)
    if a >> 4 == 2:
        return (a >> 1 & 7) << 30 | b << 22 | c >> 1 << 15 | d << 7 | e >> 1, 12
    return 0, 0


_WALKERS: Mapping[str, Callable[[FileBytes, int], Extent | None]] = MappingProxyType(
    {
        "mp3": _walk_mp3,
        **{kind: _walk_frames(kind) for kind in ("mp2", "adts", "ac3", "dts", "wavpack")},
        "ogg": _walk_ogg,
        "ebml": _walk_ebml,
        "flv": _walk_flv,
        "asf": _walk_asf,
        "avi": _walk_avi,
        "tta": _walk_tta,
        "ts": _walk_transport_stream,
        "ps": _walk_program_stream,
    }
)
