"""Frames: each kind's lengths lead from one frame to the next."""

from __future__ import annotations

import io

import pytest

from neuron_whisper.audio.container.file_bytes import FileBytes
from neuron_whisper.audio.container.frames import FRAME_BYTES, follow_frames, identify_frames, measure_mpeg_frame
from tests.support.audio_files import encode_with_av, tone


def read(content: bytes) -> FileBytes:
    return FileBytes(io.BytesIO(content))


@pytest.mark.parametrize("rate", [16000, 22050, 24000, 32000, 44100, 48000])
@pytest.mark.parametrize(("kind", "codec"), [("mp2", "mp2"), ("adts", "aac"), ("ac3", "ac3")])
def test_frames_of_every_rate_lead_to_the_end(kind: str, codec: str, rate: int) -> None:
    if kind == "ac3" and rate < 32000:
        pytest.skip("AC-3 has no such rate: nothing to prove")
    content = encode_with_av(kind, codec, tone(0.5, rate), rate)
    chain = follow_frames(read(content), 0, kind)
    assert chain.end == len(content)
    assert chain.frames >= 5
    assert identify_frames(read(content), 0, 3) == kind


@pytest.mark.parametrize(
    ("head", "n_bytes"),
    [
        ("fffb9000", 417),  # MPEG 1, 128 kbit/s, 44.1 kHz
        ("fffb9200", 418),  # padded
        ("fff38000", 208),  # MPEG 2, 64 kbit/s, 22.05 kHz
        ("ffe38000", 417),  # MPEG 2.5, 64 kbit/s, 11.025 kHz
        ("fffb0000", 0),  # free format
        ("fffbf000", 0),
        ("fffb9c00", 0),  # no such rate
        ("ffeb9000", 0),  # no such version
        ("fffd9000", 0),  # layer II
        ("fefb9000", 0),
    ],
)
def test_the_length_of_an_mp3_frame_is_that_of_the_standard(head: str, n_bytes: int) -> None:
    assert measure_mpeg_frame(bytes.fromhex(head), is_layer_3=True) == n_bytes


def test_the_length_of_a_dts_frame_and_a_wavpack_block_is_in_their_headers() -> None:
    assert FRAME_BYTES["dts"](bytes.fromhex("7ffe8001fc3c3ff0b5e0")) == 1024
    assert FRAME_BYTES["dts"](bytes.fromhex("7ffe8001fc3c0000b5e0")) == 0
    assert FRAME_BYTES["wavpack"](b"wvpk\xf8\x01\0\0\x10\4") == 512
    assert FRAME_BYTES["wavpack"](b"wvpk\xf8\x01\0\0\x99\4") == 0


@pytest.mark.parametrize("kind", FRAME_BYTES)
def test_few_bytes_are_no_frame(kind: str) -> None:
    assert FRAME_BYTES[kind](b"") == 0
    if not kind.startswith("amr"):
        assert FRAME_BYTES[kind](b"\xff") == 0


def test_one_frame_alone_or_of_another_rate_is_no_stream() -> None:
    frame = bytes.fromhex("fffb9000") + bytes(413)
    other = bytes.fromhex("fffb9400") + bytes(380)  # 48 kHz
    assert identify_frames(read(frame + b"x" * 500), 0, 3) == ""
    assert identify_frames(read(frame + other + frame), 0, 3) == ""
    assert identify_frames(read(frame * 3 + b"x" * 500), 0, 3) == "mp3"
