"""find_candidates: every place at which a recording may begin, and few others."""

from __future__ import annotations

import numpy as np
import pytest

from neuron_whisper.audio.container.candidates import NEEDLES, SYNCS, find_candidates
from tests.support.audio_files import encode_with_av, tone


@pytest.mark.parametrize("needle", NEEDLES)
@pytest.mark.parametrize("at", [0, 1, 8, 500, 501])
def test_a_needle_is_found_at_any_offset(needle: bytes, at: int) -> None:
    before, _ = NEEDLES[needle]
    assert find_candidates(bytes(at) + needle + bytes(20), with_frames=False) == [at - before]


@pytest.mark.parametrize(
    ("container", "codec"), [("mp3", "libmp3lame"), ("mp2", "mp2"), ("adts", "aac"), ("ac3", "ac3")]
)
def test_frames_are_found_where_they_are_wanted(container: str, codec: str) -> None:
    content = encode_with_av(container, codec, tone(0.5, 32000), 32000)
    first = content.index(SYNCS[0] if container == "ac3" else b"\xff")
    piece = b"x" * 101 + content[first:]
    assert 101 in find_candidates(piece, with_frames=True)
    assert 101 not in find_candidates(piece, with_frames=False)


def test_quiet_samples_have_few_candidates() -> None:
    quiet = np.random.default_rng(0).integers(-20, 20, 200_000, dtype=np.int16)
    for samples in (quiet, np.zeros_like(quiet), np.full_like(quiet, -1)):
        assert len(find_candidates(samples.tobytes(), with_frames=True)) < 2000


def test_few_bytes_have_none() -> None:
    for n_bytes in range(10):
        assert find_candidates(b"\xff" * n_bytes, with_frames=True) == []
