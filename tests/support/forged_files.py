"""Small files whose headers promise far more than they hold, of every container that has tables."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator, Mapping

from tests.support.hostile_files import Upload, ogg_crc

HUGE = 80_000_000  # samples: an index of 1.9 GB; FFmpeg allocates no piece of over 2 GB, whatever a file promises


# --- MP4 ---------------------------------------------------------------------------------------


def box(name: bytes, *parts: bytes) -> bytes:
    content = b"".join(parts)
    return struct.pack(">I4s", 8 + len(content), name) + content


def full_box(name: bytes, *parts: bytes, flags: int = 0) -> bytes:
    return box(name, struct.pack(">I", flags), *parts)


def table(name: bytes, *rows: bytes) -> bytes:
    return full_box(name, struct.pack(">I", len(rows)), *rows)


def sample_tables(
    *,
    samples: int = 10,
    durations: int | None = None,
    duration: int = 1024,
    per_chunk: int = 10,
    size: int = 4,
    more: bytes = b"",
) -> bytes:
    """An stbl of AAC whose samples are of one size and duration, in one chunk."""
    entry = bytes(6) + struct.pack(">HIIHHHHI", 1, 0, 0, 1, 16, 0, 0, 16_000 << 16)
    return box(
        b"stbl",
        full_box(b"stsd", struct.pack(">I", 1), box(b"mp4a", entry)),
        table(b"stts", struct.pack(">II", samples if durations is None else durations, duration)),
        table(b"stsc", struct.pack(">III", 1, per_chunk, 1)),
        full_box(b"stsz", struct.pack(">II", size, samples)),
        table(b"stco", struct.pack(">I", 48)),
        more,
    )


def track(stbl: bytes) -> bytes:
    return box(
        b"trak",
        full_box(b"tkhd", struct.pack(">IIIII", 0, 0, 1, 0, 0), bytes(60)),
        box(
            b"mdia",
            full_box(b"mdhd", struct.pack(">IIIIHH", 0, 0, 16_000, 160_000, 0, 0)),
            full_box(b"hdlr", bytes(4), b"soun", bytes(13)),
            box(b"minf", stbl),
        ),
    )


def mp4(*content: bytes, brand: bytes = b"M4A ") -> bytes:
    """An MP4 file of 40 bytes of samples and these boxes in its moov."""
    header = full_box(b"mvhd", struct.pack(">IIII", 0, 0, 16_000, 160_000), bytes(80))
    return box(b"ftyp", brand, bytes(4), brand) + box(b"mdat", bytes(64)) + box(b"moov", header, *content)


def _mp4_fragment() -> bytes:
    defaults = full_box(b"trex", struct.pack(">IIIII", 1, 1, 1024, 4, 0))
    run = full_box(b"trun", struct.pack(">I", HUGE))
    moof = box(b"moof", full_box(b"mfhd", bytes(4)), box(b"traf", full_box(b"tfhd", struct.pack(">I", 1)), run))
    return mp4(track(sample_tables(samples=0, per_chunk=0)), box(b"mvex", defaults)) + moof + box(b"mdat", bytes(64))


def _mp4_compressed() -> bytes:
    """A moov as QuickTime compressed it, in which the tables are not seen."""
    plain = mp4(track(sample_tables(samples=HUGE, per_chunk=HUGE)))
    moov = plain[plain.index(b"moov") - 4 :]
    stored = zlib.compress(moov)
    compressed = box(b"cmov", box(b"dcom", b"zlib"), box(b"cmvd", struct.pack(">I", len(moov)), stored))
    return box(b"ftyp", b"qt  ", bytes(4), b"qt  ") + box(b"mdat", bytes(64)) + box(b"moov", compressed)


def _mp4_bomb() -> bytes:
    """A compressed moov that unpacks to a thousand times its size."""
    packer = zlib.compressobj(9)
    stored = b"".join(packer.compress(bytes(1 << 20)) for _ in range(32)) + packer.flush()
    compressed = box(b"cmov", box(b"dcom", b"zlib"), box(b"cmvd", struct.pack(">I", 1 << 25), stored))
    return box(b"ftyp", b"qt  ", bytes(4), b"qt  ") + box(b"mdat", bytes(64)) + box(b"moov", compressed)


FORGED_MP4: Mapping[str, Callable[[], bytes]] = {
    "stsz": lambda: mp4(track(sample_tables(samples=HUGE, per_chunk=HUGE))),
    "stsz of empty samples": lambda: mp4(track(sample_tables(samples=HUGE, per_chunk=HUGE, size=0))),
    "stts": lambda: mp4(track(sample_tables(durations=HUGE))),
    "ctts": lambda: mp4(track(sample_tables(samples=HUGE, more=table(b"ctts", struct.pack(">II", HUGE, 1))))),
    "stsc": lambda: mp4(track(sample_tables(per_chunk=HUGE))),
    "many tracks": lambda: mp4(*[track(sample_tables(samples=1500, per_chunk=1500))] * 20),
    "trun": _mp4_fragment,
    "compressed moov": _mp4_compressed,
    "compressed moov that unpacks to much": _mp4_bomb,
    "moov in a free box": lambda: mp4(track(sample_tables(samples=HUGE, per_chunk=HUGE))).replace(b"moov", b"hoov"),
}


# --- Matroska ------------------------------------------------------------------------------------------------


def element(name: bytes, content: bytes = b"") -> bytes:
    return name + struct.pack(">Q", 1 << 56 | len(content)) + content


def matroska(*content: bytes) -> bytes:
    """A Matroska file with these elements in its segment."""
    header = element(b"\x1aE\xdf\xa3", element(b"\x42\x82", b"matroska"))
    cluster = element(b"\x1f\x43\xb6\x75", element(b"\xe7", b"\0") + element(b"\xa3", b"\x81\0\0\0\x18"))
    return header + element(b"\x18\x53\x80\x67", b"".join(content) + cluster)


def matroska_track(number: int = 1, codec: bytes = b"A_OPUS") -> bytes:
    """A TrackEntry of sound at 48 kHz."""
    return element(
        b"\xae",
        element(b"\xd7", bytes([number]) if number < 256 else struct.pack(">H", number))
        + element(b"\x73\xc5", struct.pack(">H", number))
        + element(b"\x83", b"\x02")
        + element(b"\x86", codec)
        + element(b"\x63\xa2", b"OpusHead\x01\x01\x00\x00\x80\xbb\x00\x00\x00\x00\x00")
        + element(b"\xe1", element(b"\xb5", struct.pack(">f", 48_000)) + element(b"\x9f", b"\x01")),
    )


TRACKS, CUES, TAGS, CHAPTERS, ATTACHMENTS = (
    bytes.fromhex(it) for it in ("1654ae6b", "1c53bb6b", "1254c367", "1043a770", "1941a469")
)
CLUSTER = bytes.fromhex("1f43b675")
TRACK = element(TRACKS, matroska_track())


def _laced_nothing(blocks: int) -> bytes:
    """Blocks of 256 empty frames each."""
    block = element(b"\xa3", b"\x81\0\0\x06\xff")  # fixed-size lacing
    return matroska(TRACK, element(CLUSTER, element(b"\xe7", b"\0") + block * blocks))


FORGED_MATROSKA: Mapping[str, Callable[[int], bytes]] = {
    "empty tracks": lambda n: matroska(element(TRACKS, matroska_track() + b"\xae\x80" * n)),
    "tracks": lambda n: matroska(element(TRACKS, b"".join(matroska_track(i + 1) for i in range(min(n, 990))))),
    "empty cues": lambda n: matroska(TRACK, element(CUES, b"\xbb\x80" * n)),
    "empty cue positions": lambda n: matroska(TRACK, element(CUES, element(b"\xbb", b"\xb7\x80" * n))),
    "empty tags": lambda n: matroska(TRACK, element(TAGS, b"\x73\x73\x80" * n)),
    "empty simple tags": lambda n: matroska(TRACK, element(TAGS, element(b"\x73\x73", b"\x67\xc8\x80" * n))),
    "empty chapters": lambda n: matroska(TRACK, element(CHAPTERS, element(b"\x45\xb9", b"\xb6\x80" * n))),
    "empty attachments": lambda n: matroska(TRACK, element(ATTACHMENTS, b"\x61\xa7\x80" * n)),
    "empty seek entries": lambda n: matroska(element(b"\x11\x4d\x9b\x74", b"\x4d\xbb\x80" * n), TRACK),
    "empty encodings": lambda n: matroska(
        element(TRACKS, element(b"\xae", element(b"\x6d\x80", b"\x62\x40\x80" * n))), TRACK
    ),
    "nothing laced": _laced_nothing,
}


# --- ID3, AVI, CAF, FLAC -------------------------------------------------------------------------------------


def _synchsafe(value: int) -> bytes:
    return bytes(value >> shift & 0x7F for shift in (21, 14, 7, 0))


def id3(*frames: bytes) -> bytes:
    """An ID3v2.4 tag."""
    return b"ID3\x04\0\0" + _synchsafe(sum(map(len, frames))) + b"".join(frames)


def id3_compressed(size: int, name: bytes = b"TXXX") -> bytes:
    """A compressed frame of so many bytes, a thousandth of it long."""
    packer = zlib.compressobj(9)
    stored = b"".join(packer.compress(bytes(1 << 20)) for _ in range(size >> 20)) + packer.flush()
    content = struct.pack(">I", size) + stored
    return name + _synchsafe(len(content)) + struct.pack(">H", 0x0009) + content


def riff(kind: bytes, *chunks: bytes) -> bytes:
    content = kind + b"".join(chunks)
    return b"RIFF" + struct.pack("<I", len(content)) + content


def chunk(name: bytes, content: bytes) -> bytes:
    return name + struct.pack("<I", len(content)) + content + bytes(len(content) % 2)


def avi(*, super_entries: int, entries: int) -> bytes:
    """An AVI whose index of indexes names one index over and over."""
    header = chunk(b"avih", struct.pack("<14I", 0, 0, 0, 0x10, 10, 0, 1, 0, 0, 0, 0, 0, 0, 0))
    stream = chunk(
        b"strh", b"auds" + bytes(4) + struct.pack("<IHHIIIIIIII", 0, 0, 0, 0, 1, 16_000, 0, 10, 0, 0, 2) + bytes(8)
    )
    form = chunk(b"strf", struct.pack("<HHIIHH", 1, 1, 16_000, 32_000, 2, 16))

    def build(index_at: int) -> bytes:
        rows = struct.pack("<QII", index_at, 0, 0) * super_entries
        indx = chunk(b"indx", struct.pack("<HBBI4sIII", 4, 0, 0, super_entries, b"00wb", 0, 0, 0) + rows)
        strl = chunk(b"LIST", b"strl" + stream + form + indx)
        hdrl = chunk(b"LIST", b"hdrl" + header + strl)
        standard = struct.pack("<HBBI4sQI", 2, 0, 1, entries, b"00wb", 0, 0) + b"".join(
            struct.pack("<II", i * 8, 8) for i in range(entries)
        )
        movi = chunk(b"LIST", b"movi" + chunk(b"ix00", standard) + chunk(b"00wb", bytes(64)))
        return riff(b"AVI ", hdrl, movi)

    return build(build(0).index(b"ix00"))


def caf(*, packets: int, table: bytes = b"") -> bytes:
    """A CAF file of AAC whose packet table promises so many packets."""
    desc = struct.pack(">d4sIIIII", 16_000, b"aac ", 0, 0, 1024, 1, 0)
    pakt = struct.pack(">qqII", packets, packets * 1024, 0, 0) + table
    chunks = ((b"desc", desc), (b"pakt", pakt), (b"data", bytes(64)))
    return b"caff" + struct.pack(">HH", 1, 0) + b"".join(name + struct.pack(">q", len(it)) + it for name, it in chunks)


def flac_blocks(*blocks: tuple[int, bytes]) -> bytes:
    """A FLAC file with these metadata blocks behind its STREAMINFO."""
    info = struct.pack(">HH", 4096, 4096) + bytes(6) + bytes.fromhex("03e800f000000000") + bytes(16)
    parts = [b"\0" + struct.pack(">I", len(info))[1:] + info]
    parts += [bytes([kind]) + struct.pack(">I", len(content))[1:] + content for kind, content in blocks]
    return b"fLaC" + b"".join(parts)


# --- much of nothing --------------------------------------------------------------------------------------------


def mp3_of_bad_frames(frames: int) -> bytes:
    """Headers of MP3 whose content is none."""
    return (b"\xff\xfb\x90\xc4" + b"\xff" * 413) * frames


def adts_of_bad_frames(frames: int) -> bytes:
    """Headers of AAC without content."""
    return b"\xff\xf1\x50\x40\x01\x3f\xfc\xff\xff" * frames


def ogg_of_streams(streams: int, content: bytes) -> bytes:
    """An Ogg file that begins with so many streams of Opus."""
    pages = []
    for number in range(streams):
        head = b"OpusHead" + struct.pack("<BBHIhB", 1, 1, 0, 48_000, 0, 0)
        page = bytearray(struct.pack("<4sBBqIII", b"OggS", 0, 2, 0, number, 0, 0)) + bytes([1, len(head)]) + head
        page[22:26] = struct.pack("<I", ogg_crc(page))
        pages.append(bytes(page))
    return b"".join(pages) + content


def generate_forgeries() -> Iterator[Upload]:
    """One of each kind, of up to a few megabytes."""
    files = {
        **{f"mp4 {kind}": make() for kind, make in FORGED_MP4.items()},
        **{f"matroska {kind}": make(1_000_000) for kind, make in FORGED_MATROSKA.items()},
        "id3": id3(id3_compressed(1 << 30)) + mp3_of_bad_frames(10),
        "id3 in wav": riff(b"WAVE", chunk(b"id3 ", id3(id3_compressed(1 << 30)))),
        "ogg streams": ogg_of_streams(5000, b""),
        "caf": caf(packets=5_000_000, table=b"\1" * 5_000_000),
        "flac comments": flac_blocks((4, struct.pack("<II", 0, 200_000) + b"\4\0\0\0a=bc" * 200_000)),
        "avi": avi(super_entries=10_000, entries=10_000),
        "bad mp3": mp3_of_bad_frames(50_100),
        "bad aac": adts_of_bad_frames(200_000),
    }
    for kind, content in files.items():
        yield Upload(kind=f"forged: {kind}", name=f"{kind}.bin", content=content)
