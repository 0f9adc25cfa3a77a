"""Audio in every format, rate and layout; and everything that only pretends to be audio."""

from __future__ import annotations

import io
import os
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from neuron_whisper.audio.load import AudioLimits, RawEncoding, RawFormat, check_readable, load_audio
from neuron_whisper.errors import (
    AudioTooLarge,
    AudioUnreadable,
    InvalidOption,
)
from tests.support.audio_files import encode_with_av, encode_with_soundfile, pitch_hz, tone

# --- formats ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("container", "codec", "rate", "channels"),
    [
        ("wav", "pcm_s16le", 44100, 2),
        ("wav", "pcm_s24le", 96000, 2),
        ("wav", "pcm_f64le", 48000, 1),
        ("wav", "pcm_mulaw", 8000, 1),
        ("w64", "pcm_s16le", 16000, 1),
        ("aiff", "pcm_s16be", 44100, 2),
        ("au", "pcm_s16be", 22050, 1),
        ("caf", "pcm_s16be", 32000, 1),
        ("flac", "flac", 44100, 2),
        ("ogg", "flac", 44100, 1),
        ("ogg", "libopus", 48000, 2),
        ("webm", "libopus", 48000, 1),
        ("mp3", "libmp3lame", 44100, 2),
        ("mp3", "libmp3lame", 8000, 1),
        ("adts", "aac", 48000, 2),
        ("ipod", "aac", 44100, 2),
        ("mp4", "alac", 44100, 2),
    ],
)
def test_a_tone_is_the_same_tone_in_every_format(container: str, codec: str, rate: int, channels: int) -> None:
    clip = load_audio(encode_with_av(container, codec, tone(1.0, rate, channels), rate))
    assert clip.warnings == ()
    assert clip.duration_s == pytest.approx(1.0, abs=0.025)  # AAC pads to whole frames
    assert pitch_hz(clip.samples[:16000]) == pytest.approx(440, abs=1.5)
    loudness = np.sqrt(np.mean(clip.samples[2000:14000] ** 2))
    assert loudness == pytest.approx(0.354, rel=0.06)  # LAME turns it down by 5 %


@pytest.mark.parametrize(("container", "codec", "video"), [("mp4", "aac", "mpeg4"), ("webm", "libopus", "libvpx")])
def test_the_sound_of_a_video_is_taken(container: str, codec: str, video: str) -> None:
    clip = load_audio(encode_with_av(container, codec, tone(1.0, 48000, 2), 48000, video))
    assert clip.duration_s == pytest.approx(1.0, abs=0.025)
    assert clip.warnings == ()


def test_mp3_starts_and_ends_where_the_sound_did() -> None:
    # the encoder's delay and padding are in the file's first frame and are cut away again
    assert len(load_audio(encode_with_av("mp3", "libmp3lame", tone(1.0, 16000), 16000)).samples) == 16000


@pytest.mark.parametrize("rate", [4000, 6000, 8000, 11025, 22050, 32000, 44100, 47999, 88200, 192000])
def test_every_rate_keeps_length_pitch_and_loudness(rate: int) -> None:
    clip = load_audio(encode_with_soundfile(tone(0.5, rate), rate, "WAV", "FLOAT"))
    assert clip.samples.dtype == np.float32
    assert abs(len(clip.samples) - 8000) <= 1
    np.testing.assert_allclose(clip.samples[200:7800], tone(0.5, 16000)[200:7800, 0], atol=2e-3)


@pytest.mark.parametrize("channels", [1, 2, 3, 6, 8, 12, 64])
@pytest.mark.parametrize("kind", ["WAV", "OGG"])
def test_channels_are_averaged(channels: int, kind: str) -> None:
    # Vorbis comes in one plane per channel, and more than 7 planes need care
    samples = tone(0.5, 16000, channels) * np.linspace(0.0, 1.0, channels, dtype=np.float32)
    expected = 0.0 if channels == 1 else 0.25
    clip = load_audio(encode_with_soundfile(samples, 16000, kind))
    # Vorbis may couple channels lossily
    assert np.abs(clip.samples[1000:6000]).max() == pytest.approx(expected, abs=0.03)


def test_one_channel_can_be_picked_and_one_that_is_not_there_is_refused() -> None:
    both = np.concatenate([tone(0.5, 16000, hz=440), tone(0.5, 16000, hz=1000)], axis=1)
    file = encode_with_soundfile(both, 16000, "FLAC")
    assert pitch_hz(load_audio(file, channel=0).samples) == pytest.approx(440, abs=3)
    assert pitch_hz(load_audio(file, channel=1).samples) == pytest.approx(1000, abs=3)
    with pytest.raises(InvalidOption, match="channels 0 to 1") as refused:
        load_audio(file, channel=2)
    assert (refused.value.field, refused.value.value) == ("channel", 2)
    with pytest.raises(InvalidOption, match="counted from 0"):
        load_audio(file, channel=-1)


@pytest.mark.parametrize(
    ("encoding", "scale", "offset", "dtype"),
    [("s16le", 32768, 0, "<i2"), ("s32le", 2**31, 0, "<i4"), ("f32le", 1, 0, "<f4"), ("u8", 128, 128, "u1")],
)
def test_samples_without_a_header_are_read_in_the_given_format(
    encoding: RawEncoding, scale: int, offset: int, dtype: str
) -> None:
    samples = tone(0.5, 16000, 2)
    data = (samples.astype(np.float64) * scale + offset).astype(dtype).tobytes()
    clip = load_audio(data, raw=RawFormat(sample_rate=16000, channels=2, encoding=encoding))
    np.testing.assert_allclose(clip.samples, samples[:, 0], atol=1.01 / 128 if encoding == "u8" else 1e-4)


@pytest.mark.parametrize("encoding", ["mulaw", "alaw"])
def test_telephone_samples_are_read(encoding: RawEncoding) -> None:
    assert load_audio(bytes(4000), raw=RawFormat(sample_rate=8000, encoding=encoding)).duration_s == 0.5


@pytest.mark.parametrize(
    ("field", "value"),
    [("sample_rate", 4_000_000_000), ("sample_rate", 0), ("channels", 0), ("encoding", "s24")],
)
def test_a_raw_format_that_cannot_be_is_refused(field: str, value: object) -> None:
    with pytest.raises(InvalidOption) as refused:
        RawFormat(**{field: value})  # type: ignore[arg-type]  # wrong values are the point
    assert refused.value.field == field


def test_whole_numbers_become_fractions_of_their_largest() -> None:
    samples = np.array([[0], [16384], [-32768], [32767]], np.int16)
    file = io.BytesIO()
    soundfile.write(file, samples, 16000, format="WAV")
    assert load_audio(file.getvalue()).samples.tolist() == [0.0, 0.5, -1.0, 32767 / 32768]


def test_floats_beyond_one_stay_and_what_is_no_number_is_silenced() -> None:
    samples = np.array([0.25, 1.5, np.nan, np.inf, -np.inf, 3e38, -2.0], np.float32)
    clip = load_audio(encode_with_soundfile(samples[:, None], 16000, "WAV", "FLOAT"))
    assert clip.samples.tolist() == [0.25, 1.5, 0.0, 0.0, 0.0, 0.0, -2.0]
    assert clip.warnings == ("4 samples were not numbers, or absurdly large, and became silence",)


@pytest.mark.parametrize(("bits", "container"), [(16, "wav"), (24, "wav"), (16, "matroska"), (24, "matroska")])
def test_floats_of_integer_size_are_scaled_with_a_warning(bits: int, container: str) -> None:
    """By libsndfile and by FFmpeg."""
    integers = (tone(0.5, 16000) * 2.0 ** (bits - 1)).astype(np.float32)
    clip = load_audio(encode_with_av(container, "pcm_f32le", integers, 16000))
    np.testing.assert_allclose(clip.samples, tone(0.5, 16000)[:, 0], atol=1e-5)
    (warning,) = clip.warnings
    assert f"{bits}-bit" in warning


@pytest.mark.parametrize("container", ["wav", "matroska"])
@pytest.mark.parametrize("rate", [16000, 44100])
def test_opposite_phases_do_not_cancel(container: str, rate: int) -> None:
    opposite = tone(1.0, rate, 2) * np.array([1, -1], np.float32)
    clip = load_audio(encode_with_av(container, "pcm_s16le", opposite, rate))
    assert pitch_hz(clip.samples) == pytest.approx(440, abs=1.5)
    assert np.abs(clip.samples).max() == pytest.approx(0.5, rel=0.02)
    (warning,) = clip.warnings
    assert "1.0 s" in warning
    assert load_audio(encode_with_av(container, "pcm_s16le", opposite, rate), channel=1).warnings == ()


# --- sources ----------------------------------------------------------------------------------


def test_the_name_of_a_file_does_not_decide_its_format(tmp_path: Path) -> None:
    path = tmp_path / "song.mp3"
    path.write_bytes(encode_with_soundfile(tone(0.5, 16000), 16000, "FLAC"))
    clip = load_audio(path)
    assert (clip.duration_s, clip.source) == (0.5, str(path))


def test_a_file_object_may_have_been_read_from() -> None:
    file = io.BytesIO(b"abc" + encode_with_soundfile(tone(0.5, 16000), 16000, "WAV"))
    file.seek(3)
    assert load_audio(file, name="upload").source == "upload"


def test_a_pipe_is_read_to_its_end_and_not_beyond_the_limit(tmp_path: Path) -> None:
    data = encode_with_soundfile(tone(0.5, 16000), 16000, "FLAC")
    for max_bytes in (len(data), len(data) - 1):
        reader, writer = os.pipe()
        with os.fdopen(reader, "rb") as source, os.fdopen(writer, "wb") as sink:
            sink.write(data)
            sink.close()
            if max_bytes == len(data):
                assert load_audio(source, limits=AudioLimits(max_bytes=max_bytes)).duration_s == 0.5
            else:
                with pytest.raises(AudioTooLarge, match="the file is larger"):
                    load_audio(source, limits=AudioLimits(max_bytes=max_bytes))


def test_a_dash_is_stdin_and_nothing_is_ever_said_on_stderr() -> None:
    damaged = encode_with_soundfile(tone(0.5, 16000), 16000, "FLAC")[:-30]
    program = (
        "from neuron_whisper.audio.load import load_audio\nclip = load_audio('-')\nprint(clip.source, *clip.warnings)"
    )
    done = subprocess.run([sys.executable, "-c", program], input=damaged, capture_output=True, check=True)
    assert done.stdout.decode().strip() == "stdin the end is damaged: 1 packet could not be decoded"
    assert done.stderr == b""


# --- what is not audio ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "the file is empty"),
        (b"hello, this is no song\n" * 50, "this is text, not audio"),
        ("こんにちは".encode() * 50, "this is text, not audio"),
        (b"%PDF-1.7\n" + bytes(500), "this is a PDF document"),
        (b"\x89PNG\r\n\x1a\n" + bytes(500), "this is a PNG image"),
        (b"\xff\xd8\xff\xe0" + bytes(500), "this is a JPEG image"),
        (b"PK\x03\x04" + bytes(500), "this is a ZIP archive or an office document"),
        (b"#EXTM3U\n#EXTINF:10,\nfile:///etc/hostname\n", "this is a playlist, which only names other files"),
        (bytes(5000), "the file holds nothing but zero bytes"),
        (b"\xff" * 5000, "no known audio format was found in it"),
        (b"\0\0\0\x1cftypM4A \0\0\2\0", "no usable index"),
    ],
)
def test_a_file_that_is_not_audio_is_refused_with_what_it_is(data: bytes, reason: str) -> None:
    with pytest.raises(AudioUnreadable, match=reason) as refused:
        load_audio(data, name="upload.mp3")
    assert refused.value.source == "upload.mp3"


def test_missing_files_and_directories_have_messages_of_their_own(tmp_path: Path) -> None:
    with pytest.raises(AudioUnreadable, match="there is no such file"):
        load_audio(tmp_path / "nothing.wav")
    with pytest.raises(AudioUnreadable, match="this is a directory"):
        load_audio(str(tmp_path))


@pytest.mark.parametrize("name", ["nothing.wav", "folder", "folder/below/a.wav", "circle", "n" * 300, "a\0b"])
def test_what_cannot_be_opened_is_known_before_it_is_loaded_and_for_the_same_reason(name: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "circle").symlink_to("circle")
    reasons = []
    for read in (check_readable, load_audio):
        with pytest.raises(AudioUnreadable) as refused:
            read(tmp_path / name)
        reasons.append((refused.value.source, refused.value.reason))
    assert reasons[0] == reasons[1]


def test_files_and_pipes_that_can_be_read_pass_the_check_and_keep_their_content(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(b"x")
    check_readable(tmp_path / "a.wav")
    os.mkfifo(tmp_path / "pipe")
    check_readable(tmp_path / "pipe")  # opening it would wait for a writer
    reads, writes = os.pipe()
    os.write(writes, b"samples")
    check_readable(Path(f"/dev/fd/{reads}"))  # as a shell's <(command)
    assert os.read(reads, 7) == b"samples"
    os.close(reads)
    os.close(writes)


def test_a_header_with_no_samples_behind_it_is_refused() -> None:
    with pytest.raises(AudioUnreadable, match="no samples"):
        load_audio(encode_with_soundfile(np.zeros((0, 1), np.float32), 16000, "WAV"))


@pytest.mark.parametrize("rate", [0, 1, 3_999, 192_001, 2**31 - 1, 4_000_000_000])
def test_a_forged_sample_rate_is_refused_by_name(rate: int) -> None:
    wav = bytearray(encode_with_soundfile(tone(0.5, 16000), 16000, "WAV"))
    wav[24:28] = struct.pack("<I", rate)
    with pytest.raises(AudioUnreadable, match=f"claims a sample rate of {rate:,} Hz; 4,000 to 192,000"):
        load_audio(bytes(wav))


@pytest.mark.parametrize("channels", [0, 65_535])
def test_a_forged_channel_count_is_refused_by_name(channels: int) -> None:
    wav = bytearray(encode_with_soundfile(tone(0.5, 16000), 16000, "WAV"))
    wav[22:24] = struct.pack("<H", channels)
    with pytest.raises(AudioUnreadable, match=f"claims {channels:,} channels"):
        load_audio(bytes(wav))


# --- real recordings --------------------------------------------------------------------------
