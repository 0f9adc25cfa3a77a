"""Hostile uploads: mutated recordings, forged headers, decompression bombs, wrong types, odd forms. Seeded."""

from __future__ import annotations

import io
import random
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import av
import numpy as np

NAMES = (
    "a.wav",
    "録音 №1 \U0001f3a4.flac",
    "../../etc/passwd",
    "a" * 5000,
    "",
    "con.mp3",
    'quo"te\r\nx: y.ogg',
    "\u202egpj.wav",
    "%00.wav",
    "nul\x00.wav",
    "..",
    "/",
    "\\\\host\\share",
    "e\u0301" * 50,
)
CONTAINERS = (
    ("wav", "pcm_s16le"),
    ("flac", "flac"),
    ("mp3", "mp3"),
    ("ogg", "libopus"),
    ("mp4", "aac"),
    ("webm", "libopus"),
)
BAD_NUMBERS = (0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """A file with its name, and the form's other fields."""

    kind: str
    name: str
    content: bytes
    fields: dict[str, str] = field(default_factory=dict)


def encode_tone(container: str, codec: str, seconds: float = 2.0) -> bytes:
    """A tone in this format."""
    rate = 48_000
    samples = (0.3 * np.sin(np.arange(int(rate * seconds)) * 0.05)).astype(np.float32)
    file = io.BytesIO()
    with av.open(file, "w", format=container) as out:
        stream = out.add_stream(codec, rate=rate, layout="mono")
        assert isinstance(stream, av.AudioStream)
        frame = av.AudioFrame.from_ndarray(samples[None], format="fltp", layout="mono")
        frame.sample_rate = rate
        resampler = av.AudioResampler(format=stream.format, layout="mono", rate=rate, frame_size=stream.frame_size)
        for piece in (*resampler.resample(frame), *resampler.resample(None)):
            out.mux(stream.encode(piece))
        out.mux(stream.encode(None))
    return file.getvalue()


@lru_cache
def encode_recordings() -> tuple[bytes, ...]:
    return tuple(encode_tone(*pair) for pair in CONTAINERS)


def generate_uploads(n: int, seed: int = 0, extra_recordings: Sequence[bytes] = ()) -> Iterator[Upload]:
    """`n` uploads of all kinds; `extra_recordings` are mutated as well."""
    rng = random.Random(seed)
    originals = (*encode_recordings(), *extra_recordings)
    generators = (_mutate, _mutate, _mutate, _join, _forge_wav, _make_wrong_type, _make_odd_form)
    for _ in range(n):
        upload = rng.choice(generators)(rng, originals)
        yield Upload(kind=upload.kind, name=rng.choice(NAMES), content=upload.content, fields=upload.fields)


def generate_bombs(*, hours: float = 4.0, flac_s: float = 20.0) -> Iterator[Upload]:
    """Small files that unpack to hours and gigabytes: a second of the FLAC is 6 MB of samples."""
    yield Upload(kind="bomb: opus", name="bomb.opus", content=encode_opus_silence(hours=hours))
    yield Upload(kind="bomb: flac", name="bomb.flac", content=encode_flac_silence(seconds=flac_s))
    yield Upload(
        kind="bomb: wav", name="bomb.wav", content=build_wav_header(size=0xFFFFFFFF, channels=64) + bytes(1 << 20)
    )
    yield Upload(kind="bomb: rate", name="rate.wav", content=build_wav_header(size=1 << 20, rate=1) + bytes(1 << 20))


def _mutate(rng: random.Random, originals: Sequence[bytes]) -> Upload:
    content = bytearray(rng.choice(originals))
    for _ in range(rng.choice((1, 1, 3, 10, 100))):
        at = rng.randrange(len(content)) if rng.random() < 0.5 else rng.randrange(min(256, len(content)))
        kind = rng.randrange(5)
        if kind == 0:
            content[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            content[at : at + 4] = struct.pack(rng.choice("<>") + "I", rng.choice(BAD_NUMBERS))
        elif kind == 2:
            del content[at : at + rng.randrange(1, 2000)]
        elif kind == 3:
            content[at:at] = rng.randbytes(rng.randrange(1, 500))
        else:
            content[at:at] = content[max(0, at - 700) : at]
        if not content:
            content += b"\x00"
    return Upload(kind="mutated", name="", content=bytes(content))


def _join(rng: random.Random, originals: Sequence[bytes]) -> Upload:
    """Recordings one behind the other, cut anywhere, with junk between them."""
    pieces = []
    for _ in range(rng.randrange(2, 6)):
        piece = rng.choice(originals)
        pieces.append(piece if rng.random() < 0.5 else piece[: rng.randrange(1, len(piece))])
        pieces.append(rng.choice((b"", bytes(100), rng.randbytes(50))))
    return Upload(kind="joined", name="", content=b"".join(pieces))


def build_wav_header(*, size: int, channels: int = 1, rate: int = 16_000, bits: int = 16, code: int = 1) -> bytes:
    block = channels * bits // 8 & 0xFFFF
    return struct.pack(
        "<4sI4s4sIHHIIHH4sI",
        b"RIFF",
        0xFFFFFFFF & (size + 36),
        b"WAVE",
        b"fmt ",
        16,
        code,
        channels,
        rate,
        rate * block & 0xFFFFFFFF,
        block,
        bits,
        b"data",
        size,
    )


def _forge_wav(rng: random.Random, originals: Sequence[bytes]) -> Upload:
    header = build_wav_header(
        size=rng.choice(BAD_NUMBERS),
        channels=rng.choice((0, 1, 2, 255, 65535)),
        rate=rng.choice((0, 1, 8000, 16000, 0x7FFFFFFF, 0xFFFFFFFF)),
        bits=rng.choice((0, 1, 8, 16, 24, 32, 65535)),
        code=rng.choice((0, 1, 3, 6, 7, 85, 0xFFFE)),
    )
    return Upload(kind="forged header", name="", content=header + rng.randbytes(rng.randrange(0, 4000)))


def _make_wrong_type(rng: random.Random, originals: Sequence[bytes]) -> Upload:
    heads = (
        b"",
        b"\x89PNG\r\n\x1a\n",
        b"PK\x03\x04",
        b"%PDF-1.7",
        b"<html>",
        b"{}",
        b"\x1f\x8b",
        b"ID3\x04",
        b"OggS",
        b"fLaC",
        b"\x00\x00\x00\x20ftypM4A ",
        b"#EXTM3U\nhttp://127.0.0.1:9/x.wav\n",
        b"\x1aE\xdf\xa3",
        b"\xff\xfb",
        b"GIF89a",
        b"ffconcat version 1.0\nfile /etc/passwd\n",
        b"v=0\no=- 0 0 IN IP4 127.0.0.1\n",
    )
    rest = rng.randbytes(rng.choice((0, 1, 3000)))
    return Upload(kind="wrong type", name="", content=rng.choice(heads) + rest)


def _make_odd_form(rng: random.Random, originals: Sequence[bytes]) -> Upload:
    value = rng.choice(
        (
            "",
            "x" * 70_000,
            "\x00",
            "−1",
            "1e999",
            "[]",
            "{" * 5000,
            "\U0001d522\U0001d52b",
            "true",
            "\U0001f3a4" * 2000,
        )
    )
    name = rng.choice(
        (
            "model",
            "language",
            "prompt",
            "temperature",
            "response_format",
            "timestamp_granularities[]",
            "stream",
            "include[]",
            "chunking_strategy",
            "unknown_field",
            "x" * 3000,
            "",
        )
    )
    return Upload(kind="odd form", name="", content=rng.choice(originals), fields={name: value})


def encode_flac_silence(*, seconds: float, rate: int = 192_000, channels: str = "7.1") -> bytes:
    """Silence, which FLAC compresses to about a thousandth of its size."""
    file = io.BytesIO()
    silence = np.zeros((1, 8 * 65_536), np.int16)
    with av.open(file, "w", format="flac") as out:
        stream = out.add_stream("flac", rate=rate, layout=channels)
        for _ in range(int(seconds * rate) // 65_536):
            frame = av.AudioFrame.from_ndarray(silence, format="s16", layout=channels)
            frame.sample_rate = rate
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return file.getvalue()


# --- Ogg Opus, written directly: a packet of one byte is 60 ms ------------------------------------------------


def encode_opus_silence(*, hours: float) -> bytes:
    """Silence of about four bytes per quarter of a second: hours in a megabyte."""
    head = b"OpusHead" + struct.pack("<BBHIhB", 1, 1, 0, 48_000, 0, 0)
    tags = b"OpusTags" + struct.pack("<I", 0) + struct.pack("<I", 0)
    pages = [_build_ogg_page([head], 0, 0, 2), _build_ogg_page([tags], 0, 1, 0)]
    packets = [bytes([3 << 3])] * 255  # SILK, narrow band, 60 ms, nothing coded
    for n in range(int(hours * 3600 / (255 * 0.06))):
        pages.append(_build_ogg_page(packets, (n + 1) * 255 * 2880, n + 2, 0))
    return b"".join(pages)


def _build_ogg_page(packets: Sequence[bytes], granule: int, number: int, flags: int) -> bytes:
    lacing = bytes(len(packet) for packet in packets)
    page = bytearray(struct.pack("<4sBBqIII", b"OggS", 0, flags, granule, 7, number, 0))
    page += bytes([len(lacing)]) + lacing + b"".join(packets)
    page[22:26] = struct.pack("<I", ogg_crc(page))
    return bytes(page)


@lru_cache
def _crc_table() -> tuple[int, ...]:
    table = []
    for byte in range(256):
        value = byte << 24
        for _ in range(8):
            value = (value << 1 ^ 0x04C11DB7 if value & 0x80000000 else value << 1) & 0xFFFFFFFF
        table.append(value)
    return tuple(table)


def ogg_crc(page: bytes | bytearray) -> int:
    """The checksum of a page whose own is 0."""
    table, value = _crc_table(), 0
    for byte in page:
        value = (value << 8 & 0xFFFFFFFF) ^ table[value >> 24 ^ byte]
    return value
