"""find_extent: a recording reaches as far as its units do."""

from __future__ import annotations

import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neuron_whisper.audio.container.file_bytes import FileBytes
from neuron_whisper.audio.container.structure import find_extent, measure_id3, read_pack, skip_tags
from tests.support.audio_files import encode_with_av, tone

OPUS = encode_with_av("ogg", "libopus", tone(0.5, 48000), 48000)
WEBM = encode_with_av("webm", "libopus", tone(0.5, 48000), 48000)
LIVE_WEBM = encode_with_av("webm", "libopus", tone(0.5, 48000), 48000, options={"live": "1"})
MP3 = encode_with_av("mp3", "libmp3lame", tone(0.5, 44100), 44100)
TS = encode_with_av("mpegts", "aac", tone(0.5, 44100), 44100)
PS = encode_with_av("mpeg", "mp2", tone(0.5, 44100), 44100)
KINDS = [
    ("ogg", OPUS),
    ("ebml", WEBM),
    ("ebml", LIVE_WEBM),
    ("mp3", MP3[measure_id3(MP3[:10]) :]),
    ("mp2", encode_with_av("mp2", "mp2", tone(0.5, 48000), 48000)),
    ("adts", encode_with_av("adts", "aac", tone(0.5, 44100), 44100)),
    ("ac3", encode_with_av("ac3", "ac3", tone(0.5, 44100), 44100)),
    ("ac3", encode_with_av("eac3", "eac3", tone(0.5, 48000), 48000)),
    ("flv", encode_with_av("flv", "aac", tone(0.5, 44100), 44100)),
    ("asf", encode_with_av("asf", "wmav2", tone(0.5, 44100), 44100)),
    ("avi", encode_with_av("avi", "libmp3lame", tone(0.5, 44100), 44100)),
    ("ts", TS),
    ("ps", PS),
]


def read(content: bytes) -> FileBytes:
    return FileBytes(io.BytesIO(content))


@pytest.mark.parametrize(("kind", "content"), KINDS)
def test_a_recording_ends_where_its_last_unit_does(kind: str, content: bytes) -> None:
    for rest in (b"", b"\x01RIFF of something else" * 20):
        extent = find_extent(read(content + rest), 0, kind)
        assert extent is not None
        assert extent.end == len(content)
        assert extent.last < extent.end


@pytest.mark.parametrize(
    ("kind", "content"), [("ogg", OPUS), ("ebml", WEBM), ("ebml", LIVE_WEBM), ("ts", TS), ("ps", PS)]
)
def test_another_recording_of_the_kind_begins_where_its_headers_do(kind: str, content: bytes) -> None:
    extent = find_extent(read(content * 2), 0, kind)
    assert extent is not None
    assert extent.end == len(content)


def test_a_clock_that_wraps_is_no_other_recording() -> None:
    pack = bytes.fromhex("000001ba")
    late, early = 2**33 - 90_000, 90_000

    def mpeg_1_pack(clock: int) -> bytes:
        bits = 0x2 << 36 | (clock >> 30) << 33 | 1 << 32 | (clock >> 15 & 0x7FFF) << 17 | 1 << 16
        return pack + (bits | (clock & 0x7FFF) << 1 | 1).to_bytes(5, "big") + bytes([0x80, 0, 1])

    assert read_pack(mpeg_1_pack(late) + bytes(2)) == (late, 12)
    wrapped = mpeg_1_pack(late) + mpeg_1_pack(early) + bytes.fromhex("000001b9")
    extent = find_extent(read(wrapped + bytes(20)), 0, "ps")
    assert extent is not None
    assert extent.end == len(wrapped)
    again = mpeg_1_pack(5 * 90_000) + mpeg_1_pack(0) + bytes(20)
    extent = find_extent(read(again), 0, "ps")
    assert extent is not None
    assert extent.end == 12


def test_a_kind_without_sizes_has_no_extent() -> None:
    assert find_extent(read(b"fLaC" + bytes(100)), 0, "flac") is None
    assert find_extent(read(bytes(100)), 0, "") is None


def test_tags_of_the_end_are_passed_over() -> None:
    ape = b"APETAGEX" + (2000).to_bytes(4, "little") + (45).to_bytes(4, "little") + bytes(4) + bytes(8)
    assert skip_tags(read(b"TAG" + bytes(125) + b"sound"), 0) == 128
    assert skip_tags(read(ape + b"x" * 13 + b"sound"), 0) == 45
    assert skip_tags(read(b"sound"), 0) == 0


@settings(max_examples=150, deadline=None)
@given(
    number=st.integers(0, len(KINDS) - 1),
    flips=st.lists(st.tuples(st.integers(0, 2**20), st.integers(0, 255)), max_size=6),
    cut=st.integers(0, 2**20),
)
def test_any_damage_gives_an_extent_that_begins_in_the_file(
    number: int, flips: list[tuple[int, int]], cut: int
) -> None:
    kind, content = KINDS[number]
    data = bytearray(content[: len(content) - cut % len(content)])
    for at, value in flips:
        data[at % len(data)] = value
    extent = find_extent(read(bytes(data)), 0, kind)
    assert extent is None or extent.last <= len(data)
    assert extent is None or extent.end >= extent.last
