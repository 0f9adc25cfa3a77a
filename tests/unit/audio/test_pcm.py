"""PcmStream: the same samples however the bytes are cut."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neuron_whisper.audio.pcm import PcmStream
from neuron_whisper.audio.resample import resample
from neuron_whisper.errors import InvalidOption


@given(st.lists(st.integers(1, 4000), min_size=1, max_size=20), st.sampled_from([8000, 16_000, 24_000, 44_100]))
@settings(max_examples=8, deadline=None)
def test_pcm_in_pieces_is_the_signal_whatever_the_cuts(lengths: list[int], rate: int) -> None:
    samples = (np.sin(np.arange(30_000) * 0.05) * 20_000).astype("<i2")
    data = samples.tobytes()
    stream, found, at, n = PcmStream("pcm16", rate), [], 0, 0
    while at < len(data):
        length = lengths[n % len(lengths)]
        found.append(stream.push(data[at : at + length]))
        at, n = at + length, n + 1
    whole = np.concatenate([*found, stream.finish()])
    np.testing.assert_array_equal(whole, resample(samples.astype(np.float32) / np.float32(32768), rate))


def test_g711_spans_the_range_and_keeps_silence_silent() -> None:
    ulaw, alaw = (PcmStream(name, 8000) for name in ("g711_ulaw", "g711_alaw"))
    loudest = np.concatenate([ulaw.push(b"\x00" * 800), ulaw.finish()])
    assert loudest[400] == pytest.approx(-32124 / 32768, abs=1e-3)
    assert np.abs(np.concatenate([alaw.push(b"\xd5" * 800), alaw.finish()])).max() < 3e-4


@pytest.mark.parametrize(
    ("encoding", "rate", "field"),
    [("mp3", 16_000, "encoding"), ("pcm16", 16_001, "sample_rate"), ("g711_ulaw", 16_000, "sample_rate")],
)
def test_an_encoding_or_rate_that_is_not_taken_is_named(encoding: str, rate: int, field: str) -> None:
    with pytest.raises(InvalidOption) as caught:
        PcmStream(encoding, rate)
    assert caught.value.field == field


def test_half_a_sample_can_be_dropped_before_the_next_one() -> None:
    stream = PcmStream("pcm16", 16_000)
    stream.push(b"\x00\x40\x7f")
    stream.drop_partial_sample()
    assert stream.push(b"\x00\x40").tolist() == [0.5]
