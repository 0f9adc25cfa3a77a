"""find_candidates: where in a piece of a file a recording may begin, by two bytes and what must follow them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from neuron_whisper.audio.container.frames import measure_mpeg_frame

# needle -> (how many bytes before it the recording begins, the offset in it of two bytes that are rare in silence)
NEEDLES: Mapping[bytes, tuple[int, int]] = MappingProxyType(
    {
        b"WAVE": (8, 0),
        b"AVI LIST": (8, 0),
        b"AIFF": (8, 0),
        b"AIFC": (8, 0),
        b"caff\0\1\0\0desc": (0, 0),
        b".snd\0\0": (0, 0),
        b"riff\x2e\x91\xcf\x11": (0, 0),
        b"OggS\0\2": (0, 0),
        b"OggS\0\6": (0, 0),
        b"\x1aE\xdf\xa3": (0, 0),
        b"fLaC": (0, 0),
        b"FLV\1": (0, 0),
        b"#!AMR": (0, 0),
        b"\x30\x26\xb2\x75\x8e\x66\xcf\x11": (0, 0),
        b"ftyp": (4, 0),
        b"ID3": (0, 0),
        b"TTA1": (0, 0),
        b"wvpk": (0, 0),
        b"nut/multimedia container\0": (0, 0),
        b"\x47\x40\x00": (0, 0),
        b"\x47\x40\x11": (0, 0),
        b"\0\0\1\xba": (0, 2),
    }
)
SYNCS = (b"\x0bw", b"\x7f\xfe")  # of AC-3 and DTS
ADTS_HEADER_BYTES = 6


def find_candidates(piece: bytes, *, with_frames: bool) -> list[int]:
    """Offsets in order; a negative one lies before the piece. Frames of MPEG audio and AAC are two of a kind."""
    found = set()
    for at in _find_pairs(piece, _list_needle_pairs()):
        for needle, (before, key) in NEEDLES.items():
            if piece.startswith(needle, at - key) and at >= key:
                found.add(at - key - before)
    if with_frames:
        found.update(_find_pairs(piece, SYNCS))
        found.update(_find_mpeg_frames(piece))
    return sorted(found)


@cache
def _list_needle_pairs() -> tuple[bytes, ...]:
    return tuple(sorted({needle[key : key + 2] for needle, (_, key) in NEEDLES.items()}))


@cache
def _create_pair_table(pairs: tuple[bytes, ...]) -> NDArray[np.bool_]:
    table = np.zeros(1 << 16, bool)
    table[[int.from_bytes(pair, "little") for pair in pairs]] = True
    return table


def _find_pairs(piece: bytes, pairs: tuple[bytes, ...]) -> Iterable[int]:
    table, found = _create_pair_table(pairs), []
    for offset in (0, 1):
        values = np.frombuffer(piece, "<u2", max(0, (len(piece) - offset) // 2), offset=min(offset, len(piece)))
        found += (2 * np.flatnonzero(table[values]) + offset).tolist()
    return found


def _find_mpeg_frames(piece: bytes) -> Iterable[int]:
    """Frames that another one of the same version, layer and protection follows, as far as the piece shows it."""
    values = np.frombuffer(piece, np.uint8)
    at = np.flatnonzero(values[:-ADTS_HEADER_BYTES] == 0xFF) if len(values) > ADTS_HEADER_BYTES else np.empty(0, int)
    second = values[at + 1]
    sizes = _create_size_table()[second, values[at + 2]]
    is_adts = second & 0xF6 == 0xF0
    adts = (values[at + 3].astype(int) & 3) << 11 | values[at + 4].astype(int) << 3 | values[at + 5] >> 5
    sizes = np.where(is_adts, np.where(adts > 7, adts, 0), sizes)
    at, second, behind = at[sizes > 0], second[sizes > 0], (at + sizes)[sizes > 0]
    is_inside = behind + 1 < len(values)
    behind = np.where(is_inside, behind, 0)
    follows = (values[behind] == 0xFF) & (values[behind + 1] == second)
    return [int(it) for it in at[follows | ~is_inside]]


@cache
def _create_size_table() -> NDArray[np.int64]:
    """(256, 256) the size of a frame of layer II or III by its second and third byte; 0 for none."""
    table = np.zeros((256, 256), np.int64)
    for second in range(0xE0, 0x100):
        for third in range(256):
            head = bytes((0xFF, second, third, 0))
            if second >> 1 & 3 in (1, 2):  # layer I is not looked for: its sync is in every quiet recording
                table[second, third] = max(measure_mpeg_frame(head, is_layer_3=it) for it in (True, False))
    return table
