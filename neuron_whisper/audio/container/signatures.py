"""How recordings of each kind begin, and what is no recording."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

import numpy as np

from neuron_whisper.audio.container.frames import FRAME_BYTES
from neuron_whisper.audio.container.structure import measure_id3

Kind = Literal["", "riff", "aiff", "caf", "au", "w64", "mp4", "ogg", "ebml", "flac", "flv", "avi", "amr", "asf", "mp3"]

ASF_HEADER = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
W64_HEADER = b"riff" + bytes.fromhex("2e91cf11a5d628db04c10000")
EBML_HEADER = b"\x1aE\xdf\xa3"
FLAC_HEADERS = (b"fLaC\0\0\0\x22", b"fLaC\x80\0\0\x22")  # with the size of the first block
FLV_TAIL = b"\0\0\0\x09\0\0\0\0"  # the header's size, then the size of no tag before it
OGG_CODECS = (b"OpusHead", b"\x01vorbis", b"\x7fFLAC", b"Speex   ", b"\x80theora", b"fishead\0", b"\x80kate\0")
MP4_BOXES = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"moof", b"styp", b"pnot")
TAGS = (b"TAG", b"APETAGEX", b"ID3", b"LYRICSBEGIN", b"3DI")

MAX_ENTROPY_BITS = 7.97  # per byte of samples; compressed and encrypted bytes have 7.99 and more


def classify(head: bytes) -> Kind:
    """The kind of a recording whose first kilobytes these are; "" for another."""
    while tag_bytes := measure_id3(head):
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
    return "mp3" if FRAME_BYTES["mp3"](head[:10]) else ""


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
