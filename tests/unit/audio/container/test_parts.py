"""find_parts: every recording of a file is decoded, whatever sizes its headers state."""

from __future__ import annotations

import io
import struct
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neuron_whisper.audio.container import parts
from neuron_whisper.audio.container.parts import Part, find_parts, open_part
from neuron_whisper.audio.load import load_audio
from neuron_whisper.errors import AudioTooLong, AudioUnreadable, NeuronWhisperError
from tests.support.audio_files import Samples, encode_with_av, encode_with_soundfile, pitch_hz, tone

LOW, HIGH = tone(1.0, 16000, hz=440), tone(1.0, 16000, hz=880)
JOINED = "the file holds 2 recordings, one behind the other; all were decoded"


def noisy(seconds: float, rate: int = 16000) -> Samples:
    """A voice-like signal: a tone, and noise below it."""
    noise = np.random.default_rng(0).normal(0, 0.01, (round(seconds * rate), 1))
    return (tone(seconds, rate) * 0.5 + noise).astype(np.float32)


def encode(kind: str, hz: float) -> bytes:
    match kind:
        case "opus":
            return encode_with_av("ogg", "libopus", tone(1.0, 48000, hz=hz), 48000)
        case "opus, stereo":
            return encode_with_av("ogg", "libopus", tone(1.0, 48000, 2, hz=hz), 48000)
        case "vorbis":
            return encode_with_soundfile(tone(1.0, 22050, hz=hz), 22050, "OGG")
        case "webm":
            return encode_with_av("webm", "libopus", tone(1.0, 48000, hz=hz), 48000)
        case "m4a":
            return encode_with_av("ipod", "aac", tone(1.0, 44100, hz=hz), 44100)
        case "fragments":
            flags = {"movflags": "frag_keyframe+empty_moov"}
            return encode_with_av("mp4", "aac", tone(1.0, 44100, hz=hz), 44100, options=flags)
        case "mp3":
            return encode_with_av("mp3", "libmp3lame", tone(1.0, 44100, hz=hz), 44100)
        case "mp3, mpeg 2":
            return encode_with_av("mp3", "libmp3lame", tone(1.0, 22050, hz=hz), 22050)
        case "adts":
            return encode_with_av("adts", "aac", tone(1.0, 44100, hz=hz), 44100)
        case "24 bit":
            return encode_with_soundfile(tone(1.0, 44100, 2, hz=hz), 44100, "WAV", "PCM_24")
        case _:
            return encode_with_soundfile(tone(1.0, 16000, hz=hz), 16000, kind)


KINDS = ("WAV", "24 bit", "WAVEX", "RF64", "W64", "AIFF", "CAF", "AU", "FLAC", "webm", "m4a", "fragments", "mp3")
PAIRS = [
    *((kind, kind, (JOINED,)) for kind in (*KINDS, "mp3, mpeg 2")),
    *((kind, kind, ()) for kind in ("opus", "vorbis", "opus, stereo")),  # legal: chained Ogg
    ("opus", "opus, stereo", ()),
    ("opus, stereo", "opus", ()),
    ("WAV", "FLAC", (JOINED,)),
    ("WAV", "m4a", (JOINED,)),
    ("AIFF", "WAV", (JOINED,)),
    ("m4a", "m4a", (JOINED,)),
]


@pytest.mark.parametrize(("first", "second", "warnings"), PAIRS)
def test_both_of_two_joined_files_are_heard(first: str, second: str, warnings: tuple[str, ...]) -> None:
    clip = load_audio(encode(first, 440.0) + encode(second, 880.0))
    assert clip.duration_s == pytest.approx(2.0, abs=0.1)  # AAC pads to whole frames
    assert pitch_hz(clip.samples[1600:14400]) == pytest.approx(440, abs=2)
    assert pitch_hz(clip.samples[17600:30400]) == pytest.approx(880, abs=2)
    assert [it for it in clip.warnings if "sample rate changes" not in it] == list(warnings)


def test_links_of_another_codec_rate_and_channels_are_followed() -> None:
    chain = encode("vorbis", 440.0) + encode("opus, stereo", 880.0) + encode_with_av("ogg", "flac", HIGH, 16000)
    clip = load_audio(chain)
    assert clip.duration_s == pytest.approx(3.0, abs=0.02)
    assert clip.warnings == ("the sample rate changes within the audio: 22050, 48000, 16000 Hz",)


def test_padding_and_tags_behind_the_samples_are_no_recording() -> None:
    wav = encode_with_soundfile(LOW, 16000, "WAV")
    for behind in (bytes(5000), b"TAG" + bytes(125), b"APETAGEX" + b"x" * 4000, b"ID3\4" + b"y" * 3000, b"\1\2\3"):
        clip = load_audio(wav + behind)
        assert (clip.duration_s, clip.warnings) == (1.0, ())
    clip = load_audio(wav + bytes(4096) + encode_with_soundfile(HIGH, 16000, "WAV"))
    assert clip.duration_s == pytest.approx(2.0, abs=0.2)
    assert clip.warnings == (JOINED,)


@pytest.mark.parametrize("rest", ["text", "noise"])
def test_what_is_not_audio_behind_the_samples_is_left_out_and_told(rest: str) -> None:
    wav = encode_with_soundfile(LOW, 16000, "WAV")
    behind = b"these are notes about it\n" * 2000 if rest == "text" else np.random.default_rng(0).bytes(70_000)
    clip = load_audio(wav + behind)
    assert clip.duration_s == 1.0
    assert clip.warnings == (f"{len(behind):,} bytes behind the samples are not audio and were left out",)


# --- sizes that no writer counted ---------------------------------------------------------------


@pytest.mark.parametrize("seconds", [0.5, 0.1, 1.0])
@pytest.mark.parametrize("kind", ["WAV", "AIFF", "CAF", "W64", "AU"])
def test_samples_behind_the_size_of_the_first_second_are_decoded(kind: str, seconds: float) -> None:
    """As of a recorder that writes its header early, and is switched off."""
    whole = encode_with_soundfile(noisy(3.0), 16000, kind)
    short = encode_with_soundfile(noisy(seconds), 16000, kind)
    samples_at = len(short) - round(seconds * 32000)
    clip = load_audio(short[:samples_at] + whole[len(whole) - 3 * 32000 :])
    assert clip.duration_s == pytest.approx(3.0, abs=0.01)
    np.testing.assert_array_equal(clip.samples, load_audio(whole).samples)
    assert len(clip.warnings) == 1
    assert f"the header states {round(seconds * 32000):,} bytes of samples" in clip.warnings[0]


@pytest.mark.parametrize(
    "size", [0, 1, 3, 0x7FFFFFFF, 0x7FFFF000, 0x80000000, 0xFFFFFFFF, 0xFFFFFFFE, 0xFFFFFFDB, 0xFFFFF000, 0x7FFFFF01]
)
@pytest.mark.parametrize("riff_size", [0, 36, 0xFFFFFFFF, 0x7FFFFFFF])
def test_a_wav_with_any_placeholder_for_its_size_is_decoded_to_its_end(size: int, riff_size: int) -> None:
    wav = bytearray(encode_with_soundfile(noisy(1.0), 16000, "WAV"))
    wav[4:8], wav[40:44] = struct.pack("<I", riff_size), struct.pack("<I", size)
    clip = load_audio(bytes(wav))
    assert clip.duration_s == pytest.approx(1.0, abs=0.001)
    assert not any("truncated" in warning for warning in clip.warnings)


def test_two_files_of_a_pipe_without_sizes_are_both_decoded_without_the_header_between() -> None:
    wav = bytearray(encode_with_soundfile(LOW, 16000, "WAV"))
    wav[4:8] = wav[40:44] = b"\xff" * 4
    clip = load_audio(bytes(wav) * 2)
    assert (clip.duration_s, clip.warnings) == (2.0, (JOINED,))


def test_compressed_samples_of_a_wav_go_on_behind_the_stated_size() -> None:
    wav = bytearray(encode_with_av("wav", "adpcm_ms", noisy(2.0), 16000))
    at = wav.index(b"data") + 4
    wav[at : at + 4] = struct.pack("<I", 2048)
    clip = load_audio(bytes(wav))
    assert clip.duration_s == pytest.approx(2.0, abs=0.1)
    assert clip.warnings[0].startswith("the header states 2,048 bytes of samples")


# --- limits, damage ------------------------------------------------------------------------------


def test_a_recording_that_cannot_be_read_costs_only_itself() -> None:
    broken = encode("FLAC", 440.0)[:1000]
    clip = load_audio(encode("WAV", 440.0) + broken[:100])
    assert clip.duration_s == 1.0
    assert any("was left out" in warning for warning in clip.warnings)
    with pytest.raises(AudioUnreadable):
        load_audio(broken[:50])


def test_the_parts_share_the_limits_of_one_file() -> None:
    from neuron_whisper.audio.load import AudioLimits

    for kind in ("WAV", "opus", "m4a"):
        with pytest.raises(AudioTooLong):
            load_audio(encode(kind, 440.0) * 3, limits=AudioLimits(max_seconds=2.5))


def test_countless_recordings_are_a_bounded_amount_of_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "MAX_PARTS", 3)
    for kind in ("WAV", "opus", "m4a"):
        clip = load_audio(encode(kind, 440.0) * 5)
        assert clip.duration_s == pytest.approx(3.0, abs=0.1)
        assert "only the first were decoded" in clip.warnings[0]


def test_a_part_reads_as_a_file_of_its_own() -> None:
    file = io.BytesIO(b"0123456789")
    part = open_part(file, Part(2, 6))
    assert part.read() == b"2345"
    assert (part.seek(-1, 2), part.read(5), part.read()) == (3, b"5", b"")
    assert (part.seek(1), part.read(2), part.tell()) == (1, b"34", 3)


def test_a_file_that_is_one_recording_is_one_part_and_at_its_start() -> None:
    for kind in (*KINDS, "opus", "adts"):
        content = encode(kind, 440.0)
        file = io.BytesIO(content)
        assert find_parts(file) == ((Part(0, len(content)),), ())
        assert file.tell() == 0


FILES = {
    kind: encode(kind, 440.0) for kind in ("WAV", "AIFF", "CAF", "W64", "AU", "opus", "m4a", "webm", "mp3", "FLAC")
}


@settings(max_examples=120, deadline=None)
@given(
    pieces=st.lists(
        st.one_of(st.sampled_from(sorted(FILES)).map(FILES.__getitem__), st.binary(max_size=300)), max_size=4
    ),
    flips=st.lists(st.tuples(st.integers(0, 2**20), st.integers(0, 255)), max_size=8),
    cut=st.integers(0, 2**20),
)
def test_any_files_joined_and_damaged_give_parts_within_the_file(
    pieces: list[bytes], flips: list[tuple[int, int]], cut: int
) -> None:
    data = bytearray(b"".join(pieces))
    for at, value in flips if data else []:
        data[at % min(200, len(data))] = value
    content = bytes(data[: len(data) - cut % (len(data) // 2 + 1)])
    found = find_parts(io.BytesIO(content)).parts
    assert all(0 <= part.start <= (part.samples_at or part.start) <= part.end <= len(content) for part in found)
    assert all(a.end <= b.start for a, b in pairwise(found))
    try:
        clip = load_audio(content)
    except NeuronWhisperError:
        return
    assert np.isfinite(clip.samples).all()
