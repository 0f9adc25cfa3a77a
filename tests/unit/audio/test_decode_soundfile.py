"""SoundFileDecoder: the samples that FFmpeg decodes, bit for bit, for undamaged files of uncompressed samples."""

from __future__ import annotations

import io

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from neuron_whisper.audio.clip import AudioBlock
from neuron_whisper.audio.decode_av import AudioDecoder
from neuron_whisper.audio.decode_soundfile import SAMPLE_BYTES, SoundFileDecoder, open_sound_file
from neuron_whisper.audio.limits import AudioLimits
from neuron_whisper.errors import AudioTooLarge, AudioTooLong

RATE = 44100
CONTAINERS = ("WAV", "WAVEX", "W64", "RF64", "AIFF", "CAF", "AU")
FORMATS = [
    (container, subtype)
    for container in CONTAINERS
    for subtype in SAMPLE_BYTES
    if subtype in soundfile.available_subtypes(container)
]


def encode(container: str, subtype: str, channels: int = 2, n_frames: int = 5001) -> bytes:
    """Noise up to full scale, in the byte order that is usual in the container."""
    samples = np.random.default_rng(0).uniform(-1, 1, (n_frames, channels))
    file = io.BytesIO()
    soundfile.write(file, samples, RATE, format=container, subtype=subtype)
    return file.getvalue()


def open_bytes(content: bytes, limits: AudioLimits | None = None) -> SoundFileDecoder | None:
    return open_sound_file(io.BytesIO(content), "audio", limits or AudioLimits())


def join(blocks: list[AudioBlock]) -> NDArray[np.float32]:
    return np.concatenate([block.samples for block in blocks], axis=1)


@pytest.mark.parametrize("channels", [1, 2, 9])
@pytest.mark.parametrize(("container", "subtype"), FORMATS)
def test_the_samples_are_those_of_ffmpeg_bit_for_bit(container: str, subtype: str, channels: int) -> None:
    content = encode(container, subtype, channels)
    decoder = open_bytes(content)
    assert decoder is not None
    expected = join(list(AudioDecoder(io.BytesIO(content), "audio", AudioLimits()).decode_blocks()))
    np.testing.assert_array_equal(join(list(decoder.decode_blocks())), expected)


def test_doubles_beyond_float32_become_infinite_as_those_of_ffmpeg() -> None:
    file = io.BytesIO()
    soundfile.write(file, np.array([1e300, -1e300, 0.5]), RATE, format="WAV", subtype="DOUBLE")
    decoder = open_bytes(file.getvalue())
    assert decoder is not None
    assert join(list(decoder.decode_blocks())).tolist() == [[np.inf, -np.inf, 0.5]]


def test_a_long_file_is_decoded_in_blocks() -> None:
    decoder = open_bytes(encode("WAV", "PCM_16", n_frames=300_000))
    assert decoder is not None
    lengths = [block.samples.shape[1] for block in decoder.decode_blocks()]
    assert lengths == [131_072, 131_072, 37_856]


@pytest.mark.parametrize(
    ("container", "subtype"), [("FLAC", "PCM_16"), ("OGG", "VORBIS"), ("WAV", "IMA_ADPCM"), ("WAV", "GSM610")]
)
def test_compressed_samples_are_left_to_ffmpeg(container: str, subtype: str) -> None:
    file = io.BytesIO()
    soundfile.write(file, np.zeros(8000), 8000, format=container, subtype=subtype)
    assert open_bytes(file.getvalue()) is None


@pytest.mark.parametrize("container", CONTAINERS)
def test_a_file_that_is_truncated_or_longer_than_stated_is_left_to_ffmpeg(container: str) -> None:
    content = encode(container, "PCM_16")
    assert open_bytes(content) is not None
    assert open_bytes(content[:-100]) is None
    assert open_bytes(content + bytes(100)) is None


def test_a_file_that_is_left_to_ffmpeg_is_at_its_start_again() -> None:
    for content in (b"", b"text", encode("WAV", "PCM_16")[:-100]):
        file = io.BytesIO(content)
        assert open_sound_file(file, "audio", AudioLimits()) is None
        assert file.tell() == 0


def test_the_limits_are_those_of_ffmpegs_decoder() -> None:
    content = encode("WAV", "PCM_24", n_frames=44_100)
    for limits, error in (
        (AudioLimits(max_seconds=0.99), AudioTooLong),
        (AudioLimits(max_decoded_bytes=44_100 * 2 * 4 - 1), AudioTooLarge),  # FFmpeg decodes 24 bits to 32
    ):
        decoder = open_bytes(content, limits)
        assert decoder is not None
        with pytest.raises(error) as refused:
            list(decoder.decode_blocks())
        with pytest.raises(error) as expected:
            list(AudioDecoder(io.BytesIO(content), "audio", limits).decode_blocks())
        assert str(refused.value) == str(expected.value)


def test_between_blocks_the_callers_handling_of_floating_point_errors_holds() -> None:
    decoder = open_bytes(encode("WAV", "DOUBLE", n_frames=400_000))
    assert decoder is not None
    with np.errstate(over="raise"):
        blocks = iter(decoder.decode_blocks())
        next(blocks)
        assert np.geterr()["over"] == "raise"
