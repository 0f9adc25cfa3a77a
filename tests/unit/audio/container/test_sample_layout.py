"""find_sample_layout: where samples begin and end by headers that may be wrong."""

from __future__ import annotations

import io
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuron_whisper.audio.container.sample_layout import SampleLayout, find_sample_layout, is_placeholder
from tests.support.audio_files import encode_with_soundfile, tone

TONE = tone(0.5, 16000)
WAV = encode_with_soundfile(TONE, 16000, "WAV")


def find(content: bytes, at: int = 0) -> SampleLayout | None:
    return find_sample_layout(io.BytesIO(content), at, len(content))


@pytest.mark.parametrize(
    ("container", "kind"),
    [("WAV", "riff"), ("WAVEX", "riff"), ("RF64", "riff"), *((it, it.lower()) for it in ("W64", "AIFF", "CAF", "AU"))],
)
def test_the_samples_of_every_container_are_found_also_inside_a_file(container: str, kind: str) -> None:
    content = encode_with_soundfile(TONE, 16000, container)
    samples_at = len(content) - 16000
    assert find(content) == SampleLayout(kind, samples_at, len(content))
    assert find(b"before" + content, 6) == SampleLayout(kind, samples_at + 6, len(content) + 6)


def test_chunks_behind_the_samples_belong_to_the_recording() -> None:
    note = b"LIST" + struct.pack("<I", 5) + b"hello\0"
    assert find(WAV + note) == SampleLayout("riff", 44, len(WAV) + len(note))
    assert find(WAV + note + WAV) == SampleLayout("riff", 44, len(WAV) + len(note))
    assert find(WAV + b"\1\2\3\4" * 50) == SampleLayout("riff", 44, len(WAV))


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF, 0x7FFFFFFF, 16_002])
def test_a_size_that_is_none_or_beyond_the_file_has_no_end(size: int) -> None:
    assert find(WAV[:40] + struct.pack("<I", size) + WAV[44:]) == SampleLayout("riff", 44, None)


@pytest.mark.parametrize("content", [b"", b"RIFF", WAV[:44][:36], b".snd" + bytes(30), b"OggS" + bytes(100)])
def test_a_file_without_samples_has_no_layout(content: bytes) -> None:
    assert find(content) is None


@pytest.mark.parametrize(
    ("size", "frame_bytes", "expected"),
    [
        (0xFFFFFFFF, 2, True),
        (0x7FFFF000, 2, True),
        (0x80000000, 4, True),
        (1001, 2, True),
        (1000, 2, False),
        (500_000_000, 4, False),
    ],
)
def test_a_size_that_no_writer_counted_is_a_placeholder(size: int, frame_bytes: int, expected: bool) -> None:
    assert is_placeholder(size, frame_bytes) is expected


@given(st.binary(max_size=200), st.sampled_from([b"", WAV[:12], b"FORM\0\0\0\x08AIFF", b"caff\0\1\0\0", b".snd"]))
def test_any_bytes_have_a_layout_within_them_or_none(content: bytes, head: bytes) -> None:
    found = find(head + content)
    assert found is None or 0 < found.samples_at <= (found.end or found.samples_at)
