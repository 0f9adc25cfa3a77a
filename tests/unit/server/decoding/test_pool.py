"""What a file may take, by its size. tests/integration/test_decoders.py has the processes."""

from __future__ import annotations

import pytest

from neuron_whisper.server.decoding.pool import DecoderLimits

MB = 1 << 20


@pytest.mark.parametrize(
    ("file_bytes", "max_audio_s", "processor_s"),
    [(0, 7200, 30), (2000, 7200, 30.04), (1_000_000, 7200, 50), (10**9, 7200, 750), (10**9, 43_200, 4350)],
)
def test_processor_time_grows_with_the_file_up_to_a_tenth_of_the_longest_audio(
    file_bytes: int, max_audio_s: float, processor_s: float
) -> None:
    assert DecoderLimits().choose_processor_s(file_bytes, max_audio_s) == pytest.approx(processor_s)


@pytest.mark.parametrize(("file_bytes", "memory_bytes"), [(0, 256 * MB), (25 * MB, 456 * MB), (1024 * MB, 1024 * MB)])
def test_memory_grows_with_the_file_up_to_the_limit(file_bytes: int, memory_bytes: int) -> None:
    assert DecoderLimits().choose_memory_bytes(file_bytes) == memory_bytes
