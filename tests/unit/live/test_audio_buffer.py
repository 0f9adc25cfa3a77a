"""The buffer of a live session's latest samples."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from neuron_whisper.audio.vad_options import VadOptions
from neuron_whisper.live.audio_buffer import AudioBuffer


@given(st.lists(st.tuples(st.integers(0, 3000), st.integers(0, 4000)), min_size=1, max_size=20))
def test_a_buffer_reads_what_was_appended_and_holds_no_more_than_was_kept(moves: list[tuple[int, int]]) -> None:
    buffer, written = AudioBuffer(), np.empty(0, np.float32)
    for length, keep in moves:
        new = np.arange(len(written), len(written) + length, dtype=np.float32)
        buffer.append(new)
        written = np.concatenate([written, new])
        buffer.drop_before(buffer.end - keep)
        assert buffer.end == len(written)
        assert buffer.end - buffer.start <= max(keep, 0) or buffer.start == 0
        np.testing.assert_array_equal(buffer.read(buffer.start, buffer.end), written[buffer.start :])


def test_speech_is_found_in_samples_from_the_start_of_the_range() -> None:
    buffer = AudioBuffer()
    buffer.append(np.zeros(20 * 512, np.float32))
    for n in range(20):
        buffer.append_probability(0.9 if 5 <= n < 15 else 0.0)
    (span,) = buffer.find_speech(
        2 * 512, 20 * 512, VadOptions(min_speech_duration_ms=0, speech_pad_ms=0, min_silence_duration_ms=32)
    )
    assert (span.start_sample, span.end_sample) == (3 * 512, 13 * 512)


def test_a_last_chunk_that_is_not_complete_is_as_the_one_before() -> None:
    buffer = AudioBuffer()
    buffer.append(np.zeros(10 * 512 + 100, np.float32))
    for _ in range(10):
        buffer.append_probability(0.9)
    (span,) = buffer.find_speech(0, buffer.end, VadOptions(min_speech_duration_ms=0, speech_pad_ms=0))
    assert (span.start_sample, span.end_sample) == (0, buffer.end)
