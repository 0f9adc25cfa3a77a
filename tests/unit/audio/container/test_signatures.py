"""Signatures: how recordings begin, and what only looks like one."""

from __future__ import annotations

import numpy as np
import pytest

from neuron_whisper.audio.container.signatures import classify, is_tag, looks_like_samples
from tests.support.audio_files import encode_with_av, encode_with_soundfile, tone

TONE = tone(0.5, 16000)


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        *((encode_with_soundfile(TONE, 16000, name), "riff") for name in ("WAV", "RF64", "WAVEX")),
        (encode_with_soundfile(TONE, 16000, "AIFF"), "aiff"),
        (encode_with_soundfile(TONE, 16000, "CAF"), "caf"),
        (encode_with_soundfile(TONE, 16000, "AU"), "au"),
        (encode_with_soundfile(TONE, 16000, "W64"), "w64"),
        (encode_with_soundfile(TONE, 16000, "FLAC"), "flac"),
        (encode_with_soundfile(TONE, 16000, "OGG"), "ogg"),
        (encode_with_av("ipod", "aac", TONE, 16000), "mp4"),
        (encode_with_av("webm", "libopus", tone(0.5, 48000), 48000), "ebml"),
        (encode_with_av("mp3", "libmp3lame", TONE, 16000), "mp3"),
        (encode_with_av("avi", "libmp3lame", TONE, 16000), "avi"),
        (encode_with_av("flv", "aac", tone(0.5, 44100), 44100), "flv"),
        (encode_with_av("asf", "libmp3lame", TONE, 16000), "asf"),
        (b"#!AMR\n", "amr"),
        (b"", ""),
        (b"RIFF\0\0\0\0WEBP", ""),
        (b"%PDF-1.7", ""),
        (bytes(100), ""),
    ],
)
def test_a_recording_is_known_by_its_first_bytes(content: bytes, kind: str) -> None:
    assert classify(content[:4096]) == kind
    if kind in ("flac", "mp3"):
        tagged = b"ID3\4\0\0" + bytes([0, 0, 1, 0]) + bytes(128) + content
        assert classify(tagged[:4096]) == kind


def test_tags_are_no_recordings() -> None:
    assert is_tag(b"TAG" + bytes(125))
    assert is_tag(b"APETAGEX")
    assert not is_tag(b"RIFF")


@pytest.mark.parametrize("n_bytes", [2000, 65_536])
def test_samples_are_told_from_text_and_from_compressed_bytes(n_bytes: int) -> None:
    rng = np.random.default_rng(0)
    voice = (rng.normal(0, 1000, n_bytes // 2)).astype("<i2").tobytes()
    assert looks_like_samples(voice)
    assert looks_like_samples((rng.normal(0, 3, n_bytes // 2)).astype("<i2").tobytes())
    assert not looks_like_samples(rng.bytes(n_bytes))
    assert not looks_like_samples((b"a line of notes, 12:30\n" * 4000)[:n_bytes])
    assert not looks_like_samples(b"")
