"""find_sample_data: the samples of undamaged files, and nothing of files whose headers contradict them."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from neuron_whisper.audio.sample_data import MAX_CHUNKS, SampleData, find_sample_data

FRAMES = 500
DATA_BYTES = FRAMES * 2 * 2


def encode(container: str, subtype: str = "PCM_16", n_frames: int = FRAMES) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, np.zeros((n_frames, 2)), 16000, format=container, subtype=subtype)
    return file.getvalue()


def find(content: bytes) -> SampleData | None:
    return find_sample_data(io.BytesIO(content))


def patched(content: bytes, at: int, value: bytes) -> bytes:
    return content[:at] + value + content[at + len(value) :]


WAV = encode("WAV")  # fmt at 12, data at 36


@pytest.mark.parametrize(
    ("container", "n_frames"),
    [("WAV", None), ("WAVEX", None), ("RF64", None), ("W64", None), ("AIFF", FRAMES), ("CAF", None), ("AU", None)],
)
def test_the_samples_of_every_container_are_found(container: str, n_frames: int | None) -> None:
    assert find(encode(container)) == SampleData(DATA_BYTES, n_frames)


def test_chunks_around_the_samples_do_not_matter() -> None:
    note = b"LIST" + struct.pack("<I", 5) + b"hello\0"  # of odd size, padded to an even one
    tagged = WAV[:36] + note + WAV[36:] + note
    assert find(patched(tagged, 4, struct.pack("<I", len(tagged) - 8))) == SampleData(DATA_BYTES)


@pytest.mark.parametrize(
    ("field", "at", "value"),
    [
        ("size of the file", 4, 100),
        ("size of the samples: unknown", 40, 0xFFFFFFFF),
        ("size of the samples: too large", 40, DATA_BYTES + 2),
        ("size of the samples: too small", 40, DATA_BYTES - 2),
        ("bytes per second", 28, 1),
        ("channels", 22, 1),
        ("compressed format code", 20, 2),
    ],
)
def test_a_wav_that_contradicts_itself_gives_nothing(field: str, at: int, value: int) -> None:
    width = "<H" if at in (20, 22) else "<I"
    assert find(patched(WAV, at, struct.pack(width, value))) is None, field


def test_two_chunks_of_samples_are_not_uncompressed_samples_of_one_signal() -> None:
    twice = WAV + WAV[36:]
    assert find(patched(twice, 4, struct.pack("<I", len(twice) - 8))) is None


def test_a_file_of_countless_chunks_is_not_read_to_its_end() -> None:
    many = WAV + (b"junk" + bytes(4)) * MAX_CHUNKS
    assert find(patched(many, 4, struct.pack("<I", len(many) - 8))) is None


@pytest.mark.parametrize("container", ["FLAC", "OGG", "MP3"])
def test_other_kinds_of_file_give_nothing(container: str) -> None:
    file = io.BytesIO()
    soundfile.write(file, np.zeros(16000), 16000, format=container)
    assert find(file.getvalue()) is None


@given(st.binary(max_size=200), st.sampled_from([b"", WAV[:12], b"FORM\0\0\0\x08AIFF", b"caff\0\1\0\0", b".snd"]))
def test_any_bytes_are_a_file_without_samples_or_with_some(content: bytes, head: bytes) -> None:
    found = find(head + content)
    assert found is None or found.n_bytes <= len(head + content)
