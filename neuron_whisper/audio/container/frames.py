"""Streams of frames without a container: the length of each kind's frames, and chains of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple

from neuron_whisper.audio.container.file_bytes import FileBytes

HEAD_BYTES = 10  # that any length is read from
FREE_FORMAT, BAD_BITRATE = 0, 15
LAYER_3, LAYER_2, LAYER_1 = 1, 2, 3  # as they are coded
MPEG_1, RESERVED = 3, 1
# kbit/s by (is MPEG 1, layer as coded); ISO 11172-3, 13818-3
MPEG_BITRATES = {
    (True, LAYER_1): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (True, LAYER_2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, LAYER_3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, LAYER_1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, LAYER_2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, LAYER_3): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
MPEG_RATES = {MPEG_1: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}
AC3_BITRATES = (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 576, 640)
AC3_RATES = (48000, 44100, 32000)
AMR_BYTES = {  # of a frame by its type, 3GPP TS 26.101 and 26.201
    "amr": (13, 14, 16, 18, 20, 21, 27, 32, 6, 0, 0, 0, 0, 0, 0, 1),
    "amr-wb": (18, 24, 33, 37, 41, 47, 51, 59, 61, 6, 0, 0, 0, 0, 1, 1),
}


class FrameChain(NamedTuple):
    """`end`: behind the last frame, which begins at `last`; it may lie behind the end of the file."""

    frames: int
    last: int
    end: int


def follow_frames(data: FileBytes, at: int, kind: str, max_frames: int | None = None) -> FrameChain:
    """The frames of a kind that follow each other from `at` on."""
    measure = FRAME_BYTES[kind]
    count, last = 0, at
    while at < data.end and (max_frames is None or count < max_frames):
        size = measure(data.get(at, HEAD_BYTES))
        if not size:
            break
        count, last, at = count + 1, at, at + size
    return FrameChain(count, last, at)


def identify_frames(data: FileBytes, at: int, min_frames: int) -> str:
    """The kind whose frames begin at `at`: so many of one rate, or fewer up to the end of the file; "" for none."""
    head = data.get(at, HEAD_BYTES)
    for kind, measure in FRAME_BYTES.items():
        if kind.startswith("amr") or not measure(head):  # any byte may begin a frame of AMR
            continue
        chain = follow_frames(data, at, kind, min_frames)
        is_to_the_end = chain.frames >= 2 and chain.end == data.end
        if (chain.frames == min_frames or is_to_the_end) and _has_one_rate(data, at, kind, chain.frames):
            return kind
    return ""


def _has_one_rate(data: FileBytes, at: int, kind: str, frames: int) -> bool:
    bits = CONSTANT_BITS[kind]
    first = int.from_bytes(data.get(at, 4), "big") & bits
    for _ in range(frames):
        head = data.get(at, HEAD_BYTES)
        if int.from_bytes(head[:4], "big") & bits != first:
            return False
        at += FRAME_BYTES[kind](head)
    return True


def measure_mpeg_frame(head: bytes, *, is_layer_3: bool) -> int:
    """The bytes of a frame of MPEG audio; 0 for none, or one of a free bit rate."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return 0
    version, layer = head[1] >> 3 & 3, head[1] >> 1 & 3
    bitrate, rate, padding = head[2] >> 4, head[2] >> 2 & 3, head[2] >> 1 & 1
    if version == RESERVED or layer == 0 or (layer == LAYER_3) != is_layer_3 or rate == 3:
        return 0
    if bitrate in (FREE_FORMAT, BAD_BITRATE):
        return 0
    bits_per_s = 1000 * MPEG_BITRATES[version == MPEG_1, layer][bitrate - 1]
    if layer == LAYER_1:
        return (12 * bits_per_s // MPEG_RATES[version][rate] + padding) * 4
    factor = 72 if layer == LAYER_3 and version != MPEG_1 else 144
    return factor * bits_per_s // MPEG_RATES[version][rate] + padding


def measure_adts_frame(head: bytes) -> int:
    """The bytes of a frame of AAC in ADTS; 0 for none."""
    if len(head) < 7 or head[0] != 0xFF or head[1] & 0xF6 != 0xF0 or head[2] >> 2 & 15 > 12:
        return 0
    size = (head[3] & 3) << 11 | head[4] << 3 | head[5] >> 5
    return size if size > 7 else 0


def measure_ac3_frame(head: bytes) -> int:
    """The bytes of a frame of AC-3 or E-AC-3; 0 for none."""
    if len(head) < 6 or head[:2] != b"\x0bw":
        return 0
    if 10 < head[5] >> 3 <= 16:
        return 2 * ((head[2] & 7) << 8 | head[3]) + 2
    rate, size = head[4] >> 6, head[4] & 63
    if head[5] >> 3 > 10 or rate == 3 or size >> 1 >= len(AC3_BITRATES):
        return 0
    bits_per_s = 1000 * AC3_BITRATES[size >> 1]
    words = bits_per_s * 96 // AC3_RATES[rate]  # 1536 samples, of 16-bit words
    return 2 * (words + (size & 1 if rate == 1 else 0))


def measure_dts_frame(head: bytes) -> int:
    """The bytes of a frame of DTS; 0 for none."""
    if len(head) < 8 or head[:4] != b"\x7f\xfe\x80\x01":
        return 0
    size = ((head[5] & 3) << 12 | head[6] << 4 | head[7] >> 4) + 1
    return size if size >= 96 else 0


def measure_wavpack_block(head: bytes) -> int:
    """The bytes of a block of WavPack; 0 for none."""
    if len(head) < 10 or head[:4] != b"wvpk" or not 0x402 <= int.from_bytes(head[8:10], "little") <= 0x410:
        return 0
    size = int.from_bytes(head[4:8], "little")
    return size + 8 if 24 <= size < 1 << 24 else 0


def _measure_amr_frame(head: bytes, kind: str) -> int:
    return AMR_BYTES[kind][head[0] >> 3 & 15] if head and not head[0] & 0x83 else 0


FRAME_BYTES: Mapping[str, Callable[[bytes], int]] = MappingProxyType(
    {
        "mp3": lambda head: measure_mpeg_frame(head, is_layer_3=True),
        "mp2": lambda head: measure_mpeg_frame(head, is_layer_3=False),
        "adts": measure_adts_frame,
        "ac3": measure_ac3_frame,
        "dts": measure_dts_frame,
        "wavpack": measure_wavpack_block,
        "amr": lambda head: _measure_amr_frame(head, "amr"),
        "amr-wb": lambda head: _measure_amr_frame(head, "amr-wb"),
    }
)
"""kind -> (first bytes) -> the length of a frame, 0 for none"""
CONSTANT_BITS = MappingProxyType(
    {
        "mp3": 0xFFFE_0C00,  # sync, version, layer, rate
        "mp2": 0xFFFE_0C00,
        "adts": 0xFFFE_FC00,
        "ac3": 0xFFFF_0000,
        "dts": 0xFFFF_FFFF,
        "wavpack": 0xFFFF_FFFF,
    }
)
"""kind -> the bits of the first 32 that are equal in all frames of a recording"""
