"""Encrypted files are refused as encrypted; those that are not are not."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuron_whisper.audio.container.encryption import ALL_TRACKS, ASF_ENCRYPTION, count_encrypted_tracks
from neuron_whisper.audio.load import load_audio
from neuron_whisper.errors import AudioUnreadable
from tests.support.audio_files import encode_with_av, tone

TONE = tone(0.5, 48000)
KEY = {"encryption_key": "00112233445566778899aabbccddeeff", "encryption_kid": "00112233445566778899aabbccddeeff"}
FRAGMENTS = {"movflags": "frag_keyframe+empty_moov"}


def element(identifier: int, content: bytes) -> bytes:
    size = identifier.bit_length() + 7 >> 3
    return identifier.to_bytes(size, "big") + (1 << 28 | len(content)).to_bytes(4, "big") + content


def encode_webm(*, encrypted: bool, kind: int = 2) -> bytes:
    encryption = element(0x5035, element(0x47E1, b"\5") + element(0x47E2, bytes(16)))
    encodings = element(0x6D80, element(0x6240, element(0x5033, b"\1") + encryption)) if encrypted else b""
    track = element(0xD7, b"\1") + element(0x83, bytes([kind])) + element(0x86, b"A_OPUS") + encodings
    tracks = element(0x1654AE6B, element(0xAE, track))
    return element(0x1A45DFA3, element(0x4282, b"webm")) + element(0x18538067, element(0xEC, bytes(9)) + tracks)


@pytest.mark.parametrize("options", [{}, FRAGMENTS])
@pytest.mark.parametrize("codec", ["aac", "libmp3lame"])
def test_an_mp4_with_common_encryption_is_refused_as_encrypted(codec: str, options: dict[str, str]) -> None:
    protected = encode_with_av(
        "mp4", codec, TONE, 48000, options={"encryption_scheme": "cenc-aes-ctr", **KEY, **options}
    )
    with pytest.raises(AudioUnreadable, match="encrypted"):
        load_audio(protected)
    assert count_encrypted_tracks(io.BytesIO(encode_with_av("mp4", codec, TONE, 48000, options=options))) == 0


@pytest.mark.parametrize("scheme", [b"drms", b"aavd"])
def test_songs_and_books_of_a_shop_are_refused_as_encrypted(scheme: bytes) -> None:
    clear = encode_with_av("ipod", "aac", TONE, 48000)
    with pytest.raises(AudioUnreadable, match="encrypted"):
        load_audio(clear.replace(b"mp4a", scheme))


def test_an_encrypted_webm_is_refused_as_encrypted_and_its_video_does_not_matter() -> None:
    with pytest.raises(AudioUnreadable, match="encrypted"):
        load_audio(encode_webm(encrypted=True))
    for file in (encode_webm(encrypted=False), encode_webm(encrypted=True, kind=1)):
        with pytest.raises(AudioUnreadable) as refused:
            load_audio(file)
        assert "encrypted" not in refused.value.reason


@pytest.mark.parametrize("guid", ASF_ENCRYPTION)
def test_protected_windows_media_is_refused_as_encrypted(guid: bytes) -> None:
    clear = encode_with_av("asf", "libmp3lame", TONE, 48000)
    assert count_encrypted_tracks(io.BytesIO(clear)) == 0
    with pytest.raises(AudioUnreadable, match="encrypted"):
        load_audio(clear[:30] + guid + clear[30:])


def test_a_scrambled_transport_stream_is_refused_as_encrypted() -> None:
    stream = bytearray(encode_with_av("mpegts", "aac", TONE, 48000))
    assert count_encrypted_tracks(io.BytesIO(bytes(stream))) == 0
    for at in range(0, len(stream), 188):
        if (stream[at + 1] & 0x1F) == 1:  # not the tables
            stream[at + 3] |= 0x80
    assert count_encrypted_tracks(io.BytesIO(bytes(stream))) == ALL_TRACKS
    with pytest.raises(AudioUnreadable, match="encrypted"):
        load_audio(bytes(stream))


HEADS = [b"", encode_webm(encrypted=True)[:40], b"\0\0\0\x18ftypM4A ", bytes.fromhex("3026b2758e66cf11"), b"G" * 188]


@given(st.sampled_from(HEADS), st.binary(max_size=400))
def test_any_bytes_are_encrypted_or_not(head: bytes, content: bytes) -> None:
    file = io.BytesIO(head + content)
    assert count_encrypted_tracks(file) >= 0
    assert file.tell() == 0
