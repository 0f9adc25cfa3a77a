"""identify_recording, find_recording: where a recording begins, by the structure behind its signature."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Mapping
from types import MappingProxyType

from neuron_whisper.audio.container.candidates import find_candidates
from neuron_whisper.audio.container.file_bytes import FileBytes
from neuron_whisper.audio.container.flac_frames import MAX_HEADER_BYTES, read_first_sample
from neuron_whisper.audio.container.frames import follow_frames, identify_frames, measure_wavpack_block
from neuron_whisper.audio.container.signatures import MP4_BOXES, OGG_CODECS, W64_HEADER
from neuron_whisper.audio.container.structure import TS_PACKET_BYTES, TTA_HEADER_BYTES, measure_id3, read_pack

MIN_SCAN_BYTES, MAX_SCAN_BYTES = 1 << 12, 1 << 20
LEAD_BYTES = 8  # of a recording before its needle
OVERLAP_BYTES = 8192  # of a frame, to the next one
MAX_HEADER_CHUNKS = 32  # before the format of samples
MAX_TAGS = 8
MAX_CANDIDATES = 10_000  # of signatures in one file, hardly one of which comes by chance in a megabyte
FRAME_BEGINNINGS = b"\xff\x0b\x7f"
MAX_RATE, MAX_CHANNELS = 1_000_000, 1024
AU_RATES = (5512, 5513, 8012, 8013, 11127, 22254, 22255)  # that are no multiple of 25 Hz
MIN_FRAMES = 3  # where a recording is expected
MIN_FRAMES_ANYWHERE = 6
MIN_AMR_FRAMES, MIN_LAST_AMR_FRAMES = 10, 5  # one byte of each says little
AMR_GOOD = 4  # the bit of a frame that is whole
MIN_TS_PACKETS = 5
FRAME_SEARCH_BYTES = 1 << 14
NEXT_BOXES = (
    *(name for name in MP4_BOXES if name != b"ftyp"),
    b"uuid",
    b"udta",
    b"meta",
    b"sidx",
    b"prfl",
    b"mfra",
    b"emsg",
    b"prft",
)


def identify_recording(data: FileBytes, at: int, min_frames: int = MIN_FRAMES) -> str:
    """The kind of the recording that begins at an offset; "" for what only has a signature, or none."""
    head = data.get(at, 64)
    if tag_bytes := measure_id3(head):
        return _identify_tagged(data, at, tag_bytes)
    for kind, begins in _BEGINNINGS.items():
        if begins(data, at, head):
            return kind
    return identify_frames(data, at, min_frames) if min_frames else ""


def find_recording(data: FileBytes, at: int, *, with_frames: bool = True) -> tuple[int, str]:
    """(offset, kind) of the first recording from `at` on; the end of the file and "" for none.

    Streams of frames are looked for only `with_frames`.
    """
    first, size = at, MIN_SCAN_BYTES  # little at first: what goes on behind damage is mostly near
    while at < data.end:
        lead = min(at, LEAD_BYTES)
        piece = data.read(at - lead, lead + size + OVERLAP_BYTES)
        for candidate in find_candidates(piece, with_frames=with_frames):
            start = at - lead + candidate
            if start < first:
                continue
            if candidate >= 0 and piece[candidate] in FRAME_BEGINNINGS:
                kind = identify_frames(data, start, MIN_FRAMES_ANYWHERE)
            elif data.candidates < MAX_CANDIDATES:
                data.candidates += 1
                kind = identify_recording(data, start, 0)
            else:
                kind = ""
            if kind:
                return start, kind
        at, size = at + size, min(2 * size, MAX_SCAN_BYTES)
    return data.end, ""


def holds_frames(data: FileBytes, at: int) -> bool:
    """Whether what begins at an offset is a stream of frames, as compressed samples in a WAV file."""
    piece = data.read(at, FRAME_SEARCH_BYTES)
    candidates = find_candidates(piece, with_frames=True)
    return any(identify_frames(data, at + candidate, MIN_FRAMES) for candidate in candidates if candidate >= 0)


def _identify_tagged(data: FileBytes, at: int, tag_bytes: int) -> str:
    behind = at + tag_bytes
    for _ in range(MAX_TAGS):
        behind += measure_id3(data.get(behind, 10))
    head = data.get(behind, 64)
    for kind, begins in _BEGINNINGS.items():
        if begins(data, behind, head):
            return kind
    return identify_frames(data, behind, 2)


# --- files of samples ---------------------------------------------------------------------------------


def _is_wav(data: FileBytes, at: int, head: bytes) -> bool:
    if head[:4] not in (b"RIFF", b"RF64") or head[8:12] != b"WAVE":
        return False
    content = _find_chunk(data, at + 12, b"fmt ", "<4sI")
    return content >= 0 and _is_wave_format(data.get(content, 16))


def _is_w64(data: FileBytes, at: int, head: bytes) -> bool:
    return head.startswith(W64_HEADER) and head[24:28] == b"wave"


def _is_wave_format(form: bytes) -> bool:
    if len(form) < 16:
        return False
    code, channels, rate = struct.unpack_from("<HHI", form)
    return bool(code and 1 <= channels <= MAX_CHANNELS and 0 < rate <= MAX_RATE)


def _is_aiff(data: FileBytes, at: int, head: bytes) -> bool:
    return head[:4] == b"FORM" and head[8:12] in (b"AIFF", b"AIFC") and _find_chunk(data, at + 12, b"COMM", ">4sI") >= 0


def _find_chunk(data: FileBytes, at: int, wanted: bytes, header: str) -> int:
    """Where the content of a chunk begins; -1 when there is none before something that is no chunk."""
    for _ in range(MAX_HEADER_CHUNKS):
        head = data.get(at, 8)
        if len(head) < 8 or not all(32 <= byte < 127 for byte in head[:4]):
            return -1
        name, size = struct.unpack(header, head)
        if name == wanted:
            return at + 8
        at += 8 + size + size % 2
    return -1


def _is_caf(data: FileBytes, at: int, head: bytes) -> bool:
    return head.startswith(b"caff\0\1\0\0desc\0\0\0\0\0\0\0\x20")


def _is_au(data: FileBytes, at: int, head: bytes) -> bool:
    if head[:4] != b".snd" or len(head) < 24:
        return False
    offset, size, encoding, rate, channels = struct.unpack_from(">5I", head, 4)
    is_format = 1 <= encoding <= 30 and 1 <= channels <= MAX_CHANNELS
    is_rate = 1000 <= rate <= MAX_RATE and (rate % 25 == 0 or rate in AU_RATES)
    is_size = size <= data.end - at or size >= 0xFFFFFF00
    return bool(24 <= offset <= 1 << 16 and is_format and is_rate and is_size)


# --- compressed ---------------------------------------------------------------------------------------


def _is_ogg(data: FileBytes, at: int, head: bytes) -> bool:
    if head[:5] != b"OggS\0" or len(head) < 28 or not head[5] & 2:
        return False
    content = at + 27 + head[26]
    return data.get(content, 8).startswith(OGG_CODECS)


def _is_flac(data: FileBytes, at: int, head: bytes) -> bool:
    """Blocks of metadata, the first of the stream's parameters, and then a frame."""
    if head[:4] != b"fLaC" or head[4:8] not in (b"\0\0\0\x22", b"\x80\0\0\x22"):
        return False
    at += 4
    for _ in range(MAX_HEADER_CHUNKS):
        block = data.get(at, 4)
        if len(block) < 4 or block[0] & 0x7F > 6:
            return False
        at += 4 + int.from_bytes(block[1:], "big")
        if block[0] & 0x80:
            return read_first_sample(data.get(at, MAX_HEADER_BYTES), 1) is not None
    return False


def _is_amr(data: FileBytes, at: int, head: bytes) -> bool:
    kind = {b"#!AMR\n": "amr", b"#!AMR-": "amr-wb"}.get(head[:6], "")
    if not kind or (kind == "amr-wb" and not head.startswith(b"#!AMR-WB\n")):
        return False
    frame_at, frames = at + (6 if kind == "amr" else 9), 0
    while frames < MIN_AMR_FRAMES and frame_at < data.end and data.get(frame_at, 1)[0] & AMR_GOOD:
        chain = follow_frames(data, frame_at, kind, 1)
        if not chain.frames:
            break
        frame_at, frames = chain.end, frames + 1
    return frames == MIN_AMR_FRAMES or (frames >= MIN_LAST_AMR_FRAMES and frame_at == data.end)


def _is_wavpack(data: FileBytes, at: int, head: bytes) -> bool:
    """A block, which is the first of its recording."""
    return bool(measure_wavpack_block(head)) and head[16:20] == bytes(4)


def _is_tta(data: FileBytes, at: int, head: bytes) -> bool:
    header = head[:TTA_HEADER_BYTES]
    return header[:4] == b"TTA1" and zlib.crc32(header[:18]) == int.from_bytes(header[18:], "little")


# --- containers ---------------------------------------------------------------------------------------


def _is_avi(data: FileBytes, at: int, head: bytes) -> bool:
    return head[:4] == b"RIFF" and head[8:16] == b"AVI LIST" and head[20:28] == b"hdrlavih"


def _is_mp4(data: FileBytes, at: int, head: bytes) -> bool:
    """A first box, and a box behind it whose name is known."""
    size = int.from_bytes(head[:4], "big")
    if head[4:8] not in MP4_BOXES or (size < 8 and size != 1) or (head[4:8] == b"ftyp" and not 16 <= size <= 4096):
        return False
    if size == 1:
        size = int.from_bytes(head[8:16], "big")
    behind = at + size
    return data.get(behind, 8)[4:] in NEXT_BOXES if behind < data.end else head[4:8] in (b"moov", b"mdat")


def _is_matroska(data: FileBytes, at: int, head: bytes) -> bool:
    """The header, and behind it the segment or padding."""
    if head[:4] != b"\x1aE\xdf\xa3" or not any(head[4:5]):
        return False
    size_bytes = 9 - head[4].bit_length()
    size = int.from_bytes(head[4 : 4 + size_bytes], "big") & (1 << 7 * size_bytes) - 1
    header = data.get(at + 4 + size_bytes, min(size, 1024))
    behind = data.get(at + 4 + size_bytes + size, 4)
    return (
        b"\x42\x82" in header
        and (b"webm" in header or b"matroska" in header)
        and (behind == b"\x18\x53\x80\x67" or behind[:1] in (b"\xec", b"\xbf"))
    )


def _is_flv(data: FileBytes, at: int, head: bytes) -> bool:
    if len(head) < 24 or head[:4] != b"FLV\1" or head[4] & ~5 or head[5:13] != b"\0\0\0\x09\0\0\0\0":
        return False
    size = int.from_bytes(head[14:17], "big")
    behind = data.get(at + 13 + 11 + size, 4)
    return head[13] & 0x1F in (8, 9, 18) and int.from_bytes(behind, "big") in (size + 11, 0)


def _is_asf(data: FileBytes, at: int, head: bytes) -> bool:
    if not head.startswith(b"\x30\x26\xb2\x75\x8e\x66\xcf\x11\xa6\xd9\x00\xaa\x00\x62\xce\x6c") or len(head) < 30:
        return False
    return head[28:30] == b"\1\2" and 30 <= int.from_bytes(head[16:24], "little") <= data.end - at


def _is_nut(data: FileBytes, at: int, head: bytes) -> bool:
    return head.startswith(b"nut/multimedia container\0N")


def _is_transport_stream(data: FileBytes, at: int, head: bytes) -> bool:
    """Packets, of which one of the first has the table of programs."""
    if head[:1] != b"\x47":
        return False
    packets = [data.get(at + n * TS_PACKET_BYTES, 4) for n in range(MIN_TS_PACKETS)]
    has_table = any(it[1:2] == b"\x40" and it[2:3] in (b"\0", b"\x11") for it in packets)
    is_long = at + MIN_TS_PACKETS * TS_PACKET_BYTES <= data.end
    return is_long and has_table and all(it[:1] == b"\x47" for it in packets)


def _is_program_stream(data: FileBytes, at: int, head: bytes) -> bool:
    _, size = read_pack(head)
    return bool(size) and head[size : size + 3] == b"\0\0\1" and head[size + 3 : size + 4] >= b"\xba"


_BEGINNINGS: Mapping[str, Callable[[FileBytes, int, bytes], bool]] = MappingProxyType(
    {
        "riff": _is_wav,
        "avi": _is_avi,
        "aiff": _is_aiff,
        "caf": _is_caf,
        "au": _is_au,
        "w64": _is_w64,
        "mp4": _is_mp4,
        "ogg": _is_ogg,
        "ebml": _is_matroska,
        "flac": _is_flac,
        "flv": _is_flv,
        "amr": _is_amr,
        "asf": _is_asf,
        "wavpack": _is_wavpack,
        "tta": _is_tta,
        "nut": _is_nut,
        "ts": _is_transport_stream,
        "ps": _is_program_stream,
    }
)
"""kind -> (file, offset, the first bytes there) -> whether a recording of this kind begins there"""
