"""identify_recording, find_recording: a recording is known by the structure behind its signature."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neuron_whisper.audio.container import beginnings
from neuron_whisper.audio.container.beginnings import find_recording, holds_frames, identify_recording
from neuron_whisper.audio.container.candidates import NEEDLES
from neuron_whisper.audio.container.file_bytes import FileBytes
from tests.support.audio_files import encode_with_av, encode_with_soundfile, tone

TONE = tone(0.5, 16000)
RECORDINGS = {
    "riff": encode_with_soundfile(TONE, 16000, "WAV"),
    "aiff": encode_with_soundfile(TONE, 16000, "AIFF"),
    "caf": encode_with_soundfile(TONE, 16000, "CAF"),
    "au": encode_with_soundfile(TONE, 16000, "AU"),
    "w64": encode_with_soundfile(TONE, 16000, "W64"),
    "flac": encode_with_soundfile(TONE, 16000, "FLAC"),
    "ogg": encode_with_soundfile(TONE, 16000, "OGG"),
    "mp4": encode_with_av("ipod", "aac", TONE, 16000),
    "ebml": encode_with_av("webm", "libopus", tone(0.5, 48000), 48000),
    "mp3": encode_with_av("mp3", "libmp3lame", TONE, 16000),
    "mp2": encode_with_av("mp2", "mp2", TONE, 16000),
    "adts": encode_with_av("adts", "aac", TONE, 16000),
    "ac3": encode_with_av("ac3", "ac3", tone(0.5, 48000), 48000),
    "wavpack": encode_with_av("wv", "wavpack", TONE, 16000),
    "tta": encode_with_av("tta", "tta", TONE, 16000),
    "avi": encode_with_av("avi", "libmp3lame", TONE, 16000),
    "flv": encode_with_av("flv", "aac", tone(0.5, 44100), 44100),
    "asf": encode_with_av("asf", "libmp3lame", TONE, 16000),
    "ts": encode_with_av("mpegts", "aac", TONE, 16000),
    "ps": encode_with_av("mpeg", "mp2", tone(0.5, 44100), 44100),
    "amr": encode_with_av("amr", "libopencore_amrnb", tone(0.5, 8000), 8000),
    "nut": encode_with_av("nut", "pcm_s16le", TONE, 16000),
}


def read(content: bytes) -> FileBytes:
    return FileBytes(io.BytesIO(content))


@pytest.mark.parametrize("kind", RECORDINGS)
def test_a_recording_is_known_where_it_begins_also_inside_a_file(kind: str) -> None:
    lead = bytes(range(1, 200)) * 7
    assert identify_recording(read(RECORDINGS[kind]), 0) == kind
    assert identify_recording(read(lead + RECORDINGS[kind] + lead), len(lead)) == kind


@pytest.mark.parametrize("kind", RECORDINGS)
def test_a_signature_without_the_structure_behind_it_is_no_recording(kind: str) -> None:
    noise = np.random.default_rng(1).bytes(4000)
    for kept in (4, 8, 12):
        assert identify_recording(read(RECORDINGS[kind][:kept] + noise), 0) == ""


@pytest.mark.parametrize("kind", RECORDINGS)
def test_a_search_finds_a_recording_where_it_begins(kind: str) -> None:
    noise = np.random.default_rng(2).bytes(5001)
    assert find_recording(read(noise + RECORDINGS[kind]), 0) == (len(noise), kind)
    assert find_recording(read(noise), 0) == (len(noise), "")


def test_a_search_finds_recordings_across_the_pieces_that_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    content = bytes(95) + RECORDINGS["ogg"] + bytes(3) + RECORDINGS["riff"]
    for size in (97, 100, 1000, 4000):
        monkeypatch.setattr(beginnings, "MIN_SCAN_BYTES", size)
        assert find_recording(read(content), 0) == (95, "ogg")
        assert find_recording(read(content), 96) == (98 + len(RECORDINGS["ogg"]), "riff")


def test_frames_are_looked_for_only_where_they_are_wanted() -> None:
    content = np.random.default_rng(3).bytes(3000) + encode_with_av("adts", "aac", tone(1.0, 16000), 16000)
    assert find_recording(read(content), 0, with_frames=False) == (len(content), "")
    assert find_recording(read(content), 0) == (3000, "adts")


def test_compressed_samples_are_told_from_others() -> None:
    assert holds_frames(read(RECORDINGS["mp3"]), 0)
    assert not holds_frames(read(RECORDINGS["riff"]), 44)


@settings(max_examples=200, deadline=None)
@given(
    lead=st.binary(max_size=40),
    needle=st.sampled_from([*NEEDLES, b"\xff\xfb\x90", b"\xff\xf1"]),
    rest=st.binary(max_size=80),
)
def test_any_bytes_around_a_signature_are_looked_at_without_an_error(lead: bytes, needle: bytes, rest: bytes) -> None:
    data = read(lead + needle + rest)
    for at in range(len(lead) + 4):
        assert isinstance(identify_recording(data, at), str)
    start, kind = find_recording(data, 0)
    assert 0 <= start < data.end if kind else start == data.end
