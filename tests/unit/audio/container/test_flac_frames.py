"""read_first_sample: the number in a frame's header, and none of a damaged header."""

from __future__ import annotations

import re

import numpy as np
import pytest

from neuron_whisper.audio.container.flac_frames import read_first_sample
from tests.support.audio_files import encode_with_soundfile

NOISE = np.random.default_rng(0).normal(0, 0.01, (700_000, 1)).astype(np.float32)
FLAC = encode_with_soundfile(NOISE, 16000, "FLAC")
BLOCK = int.from_bytes(FLAC[10:12], "big")


def test_the_frames_of_a_stream_are_a_block_apart() -> None:
    found = [read_first_sample(FLAC[86 + it.start() :], BLOCK) for it in re.finditer(rb"\xff\xf8", FLAC[86:])]
    numbers = [number for number in found if number is not None]
    assert numbers == list(range(0, len(NOISE), BLOCK))  # with more than 128 frames, numbers of two bytes


@pytest.mark.parametrize("at", range(6))
def test_a_damaged_header_has_no_number(at: int) -> None:
    head = bytearray(FLAC[86:110])
    assert read_first_sample(bytes(head), BLOCK) == 0
    head[at] ^= 0x10
    assert read_first_sample(bytes(head), BLOCK) is None


@pytest.mark.parametrize("packet", [b"", b"\xff\xf8", bytes(16), b"\xff" * 16])
def test_other_bytes_have_no_number(packet: bytes) -> None:
    assert read_first_sample(packet, 4096) is None
