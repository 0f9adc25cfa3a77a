"""Compressed frames of ID3 tags: a megabyte of them is not unpacked to a gigabyte."""

from __future__ import annotations

import io
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuron_whisper.audio.load import load_audio
from neuron_whisper.audio.tables.id3 import check_id3_tags
from neuron_whisper.audio.tables.promise import BrokenPromise
from neuron_whisper.errors import AudioForged
from tests.support.audio_files import encode_with_av, encode_with_soundfile, tone
from tests.support.forged_files import chunk, id3, id3_compressed

SIZE = 32 << 20
BOMB = id3(id3_compressed(SIZE))
SOUND = tone(0.5, 16_000)
MP3, AAC = (
    encode_with_av(container, codec, SOUND, 16_000) for container, codec in (("mp3", "libmp3lame"), ("adts", "aac"))
)
WAV, AIFF, FLAC = (encode_with_soundfile(SOUND, 16_000, kind) for kind in ("WAV", "AIFF", "FLAC"))


def aiff_chunk(content: bytes) -> bytes:
    return b"ID3 " + len(content).to_bytes(4, "big") + content + bytes(len(content) % 2)


FORGED = {
    "before mp3": BOMB + MP3,
    "before flac": BOMB + FLAC,
    "before aac": BOMB + AAC,
    "amid aac": AAC + BOMB + AAC,
    "the second tag": id3() + id3() + BOMB + MP3,
    "in a wav": WAV[:12] + chunk(b"id3 ", BOMB) + WAV[12:],
    "in an aiff": AIFF[:12] + aiff_chunk(BOMB) + AIFF[12:],
    "many small frames": id3(*[id3_compressed(1 << 20)] * 20) + MP3,
    "a picture": id3(id3_compressed(SIZE, b"APIC")) + MP3,
    "behind an odd frame": id3(b"AB\0" + bytes(9), id3_compressed(SIZE)) + MP3,
    "behind a megabyte": id3(bytes((1 << 20) - 20), id3_compressed(SIZE)) + MP3,
}


@pytest.mark.parametrize("content", FORGED.values(), ids=FORGED)
def test_a_tag_that_unpacks_to_much_is_refused(content: bytes) -> None:
    with pytest.raises(AudioForged, match="its ID3 tags unpack to over 16,777,216 bytes"):
        load_audio(content)


def test_an_unsynchronised_frame_is_seen_as_ffmpeg_sees_it() -> None:
    """0xFF 0 stands for 0xFF, which zlib would stumble over."""
    packed = bytearray(id3_compressed(SIZE))
    packer = zlib.compressobj(0)
    stored = packer.compress(b"\xff" * 100) + packer.flush(zlib.Z_FULL_FLUSH)
    body = zlib.decompressobj().decompress(bytes(packed[14:]))
    packer = zlib.compressobj(9)
    content = packer.compress(b"\xff\x01" * 500 + body) + packer.flush()
    assert stored
    escaped = content.replace(b"\xff", b"\xff\x00")
    frame = b"TXXX" + bytes(packed[4:8]) + b"\x00\x0b" + (SIZE).to_bytes(4, "big") + escaped
    with pytest.raises(BrokenPromise):
        check_id3_tags(io.BytesIO(id3(frame)), b"ID3")


@pytest.mark.parametrize(
    "content",
    [
        id3(id3_compressed(1 << 20)) + MP3,
        id3(b"APIC\0\0\x10\0\0\0" + zlib.compress(bytes(SIZE))) + MP3,  # a picture, which nobody unpacks
        MP3,
        AAC,
        WAV,
    ],
)
def test_ordinary_tags_pass(content: bytes) -> None:
    assert load_audio(content).duration_s == pytest.approx(0.5, abs=0.1)


@given(content=st.binary(max_size=300), version=st.sampled_from([b"\x02\0", b"\x03\0", b"\x04\0"]))
def test_any_tag_passes_or_is_a_broken_promise(content: bytes, version: bytes) -> None:
    check_id3_tags(io.BytesIO(b"ID3" + version + b"\0\0\0\x02\0" + content), b"ID3")
