"""Limits of one request: checked while decoding, and allowed themselves."""

from __future__ import annotations

import numpy as np
import pytest

from neuron_whisper.audio.limits import DecodedAmount
from neuron_whisper.audio.load import AudioLimits, load_audio
from neuron_whisper.errors import (
    AudioTooLarge,
    AudioTooLong,
    InvalidOption,
)
from tests.support.audio_files import encode_with_av, encode_with_soundfile, tone


def test_the_limits_themselves_are_allowed() -> None:
    wav = encode_with_soundfile(tone(0.5, 44100, 2), 44100, "WAV")
    exact = AudioLimits(max_bytes=len(wav), max_seconds=0.5, max_decoded_bytes=22050 * 2 * 2)
    assert load_audio(wav, limits=exact).duration_s == 0.5


def test_a_limit_of_nothing_is_refused() -> None:
    with pytest.raises(InvalidOption, match="greater than 0"):
        AudioLimits(max_seconds=0)


def test_a_small_file_that_unpacks_to_hours_stops_at_the_limit() -> None:
    silence = np.zeros((48000 * 30, 1), np.float32)
    bomb = encode_with_av("ogg", "libopus", silence, 48000)
    assert len(bomb) < 10_000
    with pytest.raises(AudioTooLong) as long:
        load_audio(bomb, limits=AudioLimits(max_seconds=29))
    assert (long.value.limit_s, long.value.setting) == (29, "--max-audio-s")
    with pytest.raises(AudioTooLarge, match="the decoded audio is larger than the limit of 1,000,000 bytes"):
        load_audio(bomb, limits=AudioLimits(max_decoded_bytes=1_000_000))
    with pytest.raises(AudioTooLarge, match="the file is larger than the limit of 1,000 bytes"):
        load_audio(bomb, limits=AudioLimits(max_bytes=1_000))


@pytest.mark.parametrize(
    ("limit_s", "said"), [(1.0, "1 second"), (0.5, "0.5 seconds"), (14400.0, "14,400 seconds"), (2.0, "2 seconds")]
)
def test_audio_that_is_too_long_is_refused_with_the_limit_and_its_flag(limit_s: float, said: str) -> None:
    limits = AudioLimits(max_seconds=limit_s, seconds_setting="--jobs-max-audio-s")
    with pytest.raises(AudioTooLong) as refused:
        DecodedAmount("a.wav", limits).add(limit_s + 1, 0)
    assert f"longer than the limit of {said}; raise --jobs-max-audio-s" in str(refused.value)
