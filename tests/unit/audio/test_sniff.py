"""What the first and last bytes of a file show."""

from __future__ import annotations

import io
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuron_whisper.audio import sniff
from tests.support.audio_files import encode_with_av, encode_with_soundfile, tone

WAV = encode_with_soundfile(tone(0.1, 16000, 2), 16000, "WAV")  # fmt at 12, data at 36
OPUS = encode_with_av("ogg", "libopus", tone(0.1, 48000), 48000)


@pytest.mark.parametrize(
    ("head", "reason"),
    [
        (b"RIFF\0\0\0\0WEBP", "this is a WebP image"),
        (b"\0\0\0\x20ftypM4A ", "no usable index (moov)"),
        (b"GIF89a", "this is a GIF image"),
        (bytes(100), "nothing but zero bytes"),
        ("こんにちは".encode()[:-1], "this is text"),  # cut within its last character
        (b"\x01\x02\x03", "no known audio format"),
    ],
)
def test_a_file_that_is_not_audio_is_explained(head: bytes, reason: str) -> None:
    assert reason in sniff.explain_not_audio(head)


@given(st.binary(max_size=100))
def test_any_bytes_are_explained(head: bytes) -> None:
    assert sniff.explain_not_audio(head)


def test_the_format_of_a_wav_is_that_of_its_header() -> None:
    assert sniff.parse_wav_format(WAV) == (2, 16000)
    assert sniff.parse_wav_format(WAV[:20]) is None
    assert sniff.parse_wav_format(b"RIFX" + WAV[4:]) is None


def test_a_chunk_before_the_format_is_skipped() -> None:
    note = b"LIST" + struct.pack("<I", 3) + b"abc\0"
    assert sniff.parse_wav_format(WAV[:12] + note + WAV[12:]) == (2, 16000)


@pytest.mark.parametrize(("cut", "missing"), [(0, 0), (10, 10), (1000, 1000)])
def test_missing_bytes_of_a_wav_are_counted(cut: int, missing: int) -> None:
    assert sniff.count_wav_missing_bytes(WAV, len(WAV) - cut) == missing


@pytest.mark.parametrize("size", [0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF])
def test_a_wav_that_does_not_state_its_size_misses_nothing(size: int) -> None:
    assert sniff.count_wav_missing_bytes(WAV[:40] + struct.pack("<I", size), 44) == 0


def test_an_ogg_file_ends_with_a_complete_page_that_is_marked_as_the_last() -> None:
    assert not sniff.is_ogg_truncated(OPUS)
    assert sniff.is_ogg_truncated(OPUS[:-1])
    assert sniff.is_ogg_truncated(OPUS[: OPUS.rfind(b"OggS")])
    assert sniff.is_ogg_truncated(b"")


@pytest.mark.parametrize("tag", [b"Xing", b"Info", b"VBRI"])
def test_an_mp3_states_its_length_in_its_first_frame_behind_any_id3_tag(tag: bytes) -> None:
    frame = b"\xff\xfb" + bytes(30) + tag + bytes(100)
    id3 = b"ID3\4\0\0" + bytes([0, 0, 1, 0]) + bytes(128)
    assert sniff.has_mp3_length_header(io.BytesIO(frame))
    assert sniff.has_mp3_length_header(io.BytesIO(id3 + frame))
    assert not sniff.has_mp3_length_header(io.BytesIO(bytes(300) + frame))
