"""PartsDecoder: several recordings are one signal, with one set of warnings."""

from __future__ import annotations

import io

import numpy as np
import pytest

from neuron_whisper.audio.container.parts import find_parts
from neuron_whisper.audio.decode_parts import PartsDecoder
from neuron_whisper.audio.limits import MAX_RATE_CHANGES, AudioLimits
from neuron_whisper.errors import AudioTooLarge, AudioUnreadable
from tests.support.audio_files import encode_with_av, encode_with_soundfile, tone


def open_joined(content: bytes, limits: AudioLimits | None = None) -> PartsDecoder:
    file = io.BytesIO(content)
    return PartsDecoder(file, "audio", limits or AudioLimits(), find_parts(file))


def test_the_samples_are_those_of_the_parts_one_behind_the_other() -> None:
    first, second = tone(0.5, 16000, 2), tone(0.25, 8000, hz=600)
    decoder = open_joined(encode_with_soundfile(first, 16000, "WAV") + encode_with_soundfile(second, 8000, "WAV"))
    blocks = list(decoder.decode_blocks())
    assert [(block.rate, len(block.samples)) for block in blocks] == [(16000, 2), (8000, 1)]
    np.testing.assert_allclose(blocks[0].samples, first.T, atol=1e-4)
    np.testing.assert_allclose(blocks[1].samples, second.T, atol=1e-4)
    assert decoder.warnings[1] == "the sample rate changes within the audio: 16000, 8000 Hz"


def test_damage_of_each_part_is_told_once() -> None:
    opus = encode_with_av("ogg", "libopus", tone(1.0, 48000), 48000)
    decoder = open_joined(opus[:-100] + opus[:-100])
    assert len(list(decoder.decode_blocks())) > 80
    assert sum("the end mark is missing" in warning for warning in decoder.warnings) == 1


def test_limits_and_changes_of_the_rate_are_counted_over_all_parts() -> None:
    pair = encode_with_soundfile(tone(0.1, 8000), 8000, "WAV") + encode_with_soundfile(tone(0.1, 16000), 16000, "WAV")
    with pytest.raises(AudioTooLarge):
        list(open_joined(pair, AudioLimits(max_decoded_bytes=2000)).decode_blocks())
    with pytest.raises(AudioUnreadable, match="sample rate changes over"):
        list(open_joined(pair * (MAX_RATE_CHANGES // 2 + 1)).decode_blocks())
