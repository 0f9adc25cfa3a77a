"""Audio in every format, rate and layout; and everything that only pretends to be audio."""

from __future__ import annotations

import csv
import io
import os
import struct
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.signal import resample_poly

from neuron_whisper.audio.load import AudioLimits, RawEncoding, RawFormat, load_audio
from neuron_whisper.audio.resample import Resampler, design_filter, resample
from neuron_whisper.errors import (
    AudioTooLarge,
    AudioTooLong,
    AudioUnreadable,
    InvalidOption,
    NeuronWhisperError,
)
from tests.support.paths import SPEECH

Samples = NDArray[np.float32]


def tone(seconds: float, rate: int, channels: int = 1, hz: float = 440.0) -> Samples:
    """(n, channels), amplitude 0.5."""
    wave = 0.5 * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate)) / rate)
    return np.repeat(wave[:, None], channels, axis=1).astype(np.float32)


def encode_with_soundfile(samples: Samples, rate: int, kind: str, subtype: str | None = None) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=kind, subtype=subtype)
    return file.getvalue()


def encode_with_av(container: str, codec: str, samples: Samples, rate: int, video: str = "") -> bytes:
    layout = "mono" if samples.shape[1] == 1 else "stereo"
    file = io.BytesIO()
    with av.open(file, "w", format=container) as output:
        pictures = output.add_stream(video, rate=5) if video else None
        sound = output.add_stream(codec, rate=rate, layout=layout) if codec else None
        if isinstance(pictures, av.VideoStream):
            pictures.width, pictures.height, pictures.pix_fmt = 64, 64, "yuv420p"
            for number in range(5):
                picture = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")
                picture.pts, picture.time_base = number, Fraction(1, 5)
                output.mux(pictures.encode(picture))
            output.mux(pictures.encode(None))
        if isinstance(sound, av.AudioStream):
            context = sound.codec_context
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples.T), format="fltp", layout=layout)
            frame.sample_rate, frame.pts = rate, 0
            fitter = av.AudioResampler(context.format, layout, rate, frame_size=context.frame_size or 1024)
            for piece in fitter.resample(frame) + fitter.resample(None):
                output.mux(sound.encode(piece))
            output.mux(sound.encode(None))
    return file.getvalue()


def pitch_hz(samples: Samples) -> float:
    return float(np.abs(np.fft.rfft(samples)).argmax() * 16000 / len(samples))


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


@pytest.mark.parametrize("rate", [8000, 11025, 22050, 32000, 44100, 47999, 88200, 192000])
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
def test_samples_without_a_header_are_read_as_told(encoding: RawEncoding, scale: int, offset: int, dtype: str) -> None:
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


def test_a_rate_and_layout_that_change_within_the_audio_are_followed() -> None:
    first = encode_with_soundfile(tone(1.0, 44100, 1), 44100, "FLAC")
    clip = load_audio(first + encode_with_soundfile(tone(1.0, 22050, 2, hz=880), 22050, "FLAC"))
    assert clip.duration_s == pytest.approx(2.0, abs=0.001)
    assert pitch_hz(clip.samples[:16000]) == pytest.approx(440, abs=1.5)
    assert pitch_hz(clip.samples[16000:]) == pytest.approx(880, abs=1.5)
    assert clip.warnings == ("the sample rate changes within the audio: 44100, 22050 Hz",)


def test_tags_in_a_broken_encoding_do_not_matter() -> None:
    title = "日本".encode("shift_jis") + b"\xff\0"
    info = b"LIST" + struct.pack("<I", 18) + b"INFOINAM" + struct.pack("<I", 6) + title
    wav = encode_with_soundfile(tone(0.5, 16000), 16000, "WAV")
    tagged = wav[:36] + info + wav[36:]
    assert load_audio(tagged).duration_s == 0.5


# --- sources ----------------------------------------------------------------------------------


def test_the_name_of_a_file_does_not_say_what_it_is(tmp_path: Path) -> None:
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
def test_each_thing_that_is_not_audio_is_told_for_what_it_is(data: bytes, reason: str) -> None:
    with pytest.raises(AudioUnreadable, match=reason) as refused:
        load_audio(data, name="upload.mp3")
    assert refused.value.source == "upload.mp3"


def test_missing_files_and_directories_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(AudioUnreadable, match="there is no such file"):
        load_audio(tmp_path / "nothing.wav")
    with pytest.raises(AudioUnreadable, match="this is a directory"):
        load_audio(str(tmp_path))


def test_a_video_without_sound_is_refused() -> None:
    silent = encode_with_av("mp4", "", tone(1.0, 48000), 48000, "mpeg4")
    with pytest.raises(AudioUnreadable, match="no audio stream in the file; it holds only video"):
        load_audio(silent)


def test_a_codec_that_cannot_be_read_is_named() -> None:
    wav = bytearray(encode_with_soundfile(tone(0.5, 16000), 16000, "WAV"))
    wav[32:36] = struct.pack("<HH", 8, 64)  # bytes per frame, bits per sample
    with pytest.raises(AudioUnreadable, match="its audio codec, pcm_s64le, is not supported"):
        load_audio(bytes(wav))


def test_a_header_with_no_samples_behind_it_is_refused() -> None:
    with pytest.raises(AudioUnreadable, match="no samples"):
        load_audio(encode_with_soundfile(np.zeros((0, 1), np.float32), 16000, "WAV"))


@pytest.mark.parametrize("rate", [0, 1, 7_999, 192_001, 2**31 - 1, 4_000_000_000])
def test_a_forged_sample_rate_is_refused_by_name(rate: int) -> None:
    wav = bytearray(encode_with_soundfile(tone(0.5, 16000), 16000, "WAV"))
    wav[24:28] = struct.pack("<I", rate)
    with pytest.raises(AudioUnreadable, match=f"claims a sample rate of {rate:,} Hz; 8,000 to 192,000"):
        load_audio(bytes(wav))


@pytest.mark.parametrize("channels", [0, 65_535])
def test_a_forged_channel_count_is_refused_by_name(channels: int) -> None:
    wav = bytearray(encode_with_soundfile(tone(0.5, 16000), 16000, "WAV"))
    wav[22:24] = struct.pack("<H", channels)
    with pytest.raises(AudioUnreadable, match=f"claims {channels:,} channels"):
        load_audio(bytes(wav))


# --- limits -----------------------------------------------------------------------------------


def test_a_small_file_that_unpacks_to_hours_stops_at_the_limit() -> None:
    silence = np.zeros((48000 * 120, 1), np.float32)
    bomb = encode_with_av("ogg", "libopus", silence, 48000)
    assert len(bomb) < 40_000
    with pytest.raises(AudioTooLong) as long:
        load_audio(bomb, limits=AudioLimits(max_seconds=119))
    assert long.value.limit_s == 119
    with pytest.raises(AudioTooLarge, match="the decoded audio is larger than the limit of 1,000,000 bytes"):
        load_audio(bomb, limits=AudioLimits(max_decoded_bytes=1_000_000))
    with pytest.raises(AudioTooLarge, match="the file is larger than the limit of 1,000 bytes"):
        load_audio(bomb, limits=AudioLimits(max_bytes=1_000))


def test_the_limits_themselves_are_allowed() -> None:
    wav = encode_with_soundfile(tone(0.5, 44100, 2), 44100, "WAV")
    exact = AudioLimits(max_bytes=len(wav), max_seconds=0.5, max_decoded_bytes=22050 * 2 * 2)
    assert load_audio(wav, limits=exact).duration_s == 0.5


def test_a_limit_of_nothing_is_refused() -> None:
    with pytest.raises(InvalidOption, match="greater than 0"):
        AudioLimits(max_seconds=0)


# --- damage -----------------------------------------------------------------------------------


def test_a_truncated_file_gives_what_is_there_and_a_warning() -> None:
    x = np.random.default_rng(0).normal(0, 0.1, (4 * 44100, 1)).astype(np.float32)
    for file, what in [
        (encode_with_soundfile(x, 44100, "FLAC"), "the end is damaged: 1 packet could not be decoded"),
        (encode_with_soundfile(x, 44100, "WAV"), "the file is truncated: 176,422 bytes of samples are missing"),
        (encode_with_soundfile(x, 44100, "AIFF"), "the file promises 4.00 s but 2.00 s could be decoded"),
        (encode_with_soundfile(x, 44100, "OGG"), "the end mark is missing"),
        (encode_with_av("mp3", "libmp3lame", x, 44100), "the file promises 4.00 s but 1.99 s"),
        (encode_with_av("webm", "libopus", tone(4.0, 48000), 48000), "the file promises 4.01 s but"),
        (encode_with_av("adts", "aac", x, 44100), "the end is damaged: 1 packet could not be decoded"),
    ]:
        clip = load_audio(file[: len(file) // 2])
        assert 1.0 < clip.duration_s < 2.7
        assert clip.warnings[0].startswith(what)


def test_a_wav_written_to_a_pipe_has_no_length_and_needs_no_warning() -> None:
    for size in (0, 0xFFFFFFFF):
        wav = bytearray(encode_with_soundfile(tone(0.5, 16000), 16000, "WAV"))
        wav[40:44] = struct.pack("<I", size)
        clip = load_audio(bytes(wav))
        assert (clip.duration_s, clip.warnings) == (0.5, ())


def test_a_flipped_bit_in_a_flac_file_costs_its_frame_and_is_no_burst_of_noise() -> None:
    quiet = np.random.default_rng(0).normal(0, 0.01, (32000, 1)).astype(np.float32)
    flac = encode_with_soundfile(quiet, 16000, "FLAC")
    for percent in range(20, 80):  # at 68 there is a burst unless checksums are looked at
        flipped = bytearray(flac)
        flipped[len(flac) * percent // 100] ^= 0x40
        clip = load_audio(bytes(flipped))
        assert np.abs(clip.samples).max() < 0.06
        assert 1.2 < clip.duration_s < 1.8
        assert clip.warnings


def test_a_lost_ogg_page_is_told_with_its_length() -> None:
    opus = bytearray(encode_with_av("ogg", "libopus", tone(4.0, 48000), 48000))
    opus[len(opus) // 2] ^= 0x40
    clip = load_audio(bytes(opus))
    assert clip.duration_s == pytest.approx(3.0, abs=0.05)
    assert clip.warnings == ("1.00 s are missing in the middle, in 1 gap",)


def test_damaged_packets_in_the_middle_are_counted() -> None:
    aac = bytearray(encode_with_av("adts", "aac", tone(4.0, 44100), 44100))
    middle = len(aac) // 2
    aac[middle : middle + 600] = bytes(600)
    clip = load_audio(bytes(aac))
    assert 3.5 < clip.duration_s < 4.05
    assert clip.warnings == ("1 damaged packet in the middle could not be decoded",)


@settings(max_examples=150, deadline=None)
@given(
    kind=st.sampled_from(["WAV", "FLAC", "OGG", "AIFF", "adts", "ipod", "webm"]),
    flips=st.lists(st.tuples(st.integers(0, 2**20), st.integers(0, 255)), min_size=1, max_size=8),
    cut=st.one_of(st.none(), st.integers(1, 2**20)),
)
def test_a_file_with_any_damage_gives_sound_numbers_or_an_input_error(
    kind: str, flips: list[tuple[int, int]], cut: int | None
) -> None:
    data = bytearray(FILES[kind])
    for at, value in flips:
        data[at % len(data)] = value
    if cut is not None:
        data = data[: cut % len(data)]
    try:
        clip = load_audio(bytes(data), limits=AudioLimits(max_seconds=60))
    except NeuronWhisperError as refused:
        assert str(refused).startswith("audio: ")  # noqa: PT017 - either outcome is right
    else:
        assert len(clip.samples) > 0
        assert np.isfinite(clip.samples).all()


FILES = {
    **{kind: encode_with_soundfile(tone(0.2, 16000), 16000, kind) for kind in ("WAV", "FLAC", "OGG", "AIFF")},
    **{kind: encode_with_av(kind, "aac", tone(0.2, 16000), 16000) for kind in ("adts", "ipod")},
    "webm": encode_with_av("webm", "libopus", tone(0.2, 48000), 48000),
}


# --- resampling -------------------------------------------------------------------------------

RATES = st.sampled_from([8000, 11025, 12000, 16000, 22050, 24000, 44100, 48000, 96000, 192000, 15999, 16001])


@settings(max_examples=60, deadline=None)
@given(rate=RATES, samples=st.integers(1, 250_000), cuts=st.lists(st.floats(0, 1), max_size=6))
def test_resampling_in_pieces_is_resampling_at_once(rate: int, samples: int, cuts: list[float]) -> None:
    signal = np.random.default_rng(samples).normal(0, 0.1, samples).astype(np.float32)
    resampler = Resampler(rate)
    pieces = np.split(signal, sorted(int(cut * samples) for cut in cuts))
    joined = np.concatenate([*(resampler.push(piece) for piece in pieces), resampler.finish()])
    whole = resample(signal, rate)
    assert len(whole) == -(-samples * 16000 // rate)
    np.testing.assert_array_equal(joined, whole)


@pytest.mark.parametrize("rate", [8000, 22050, 44100, 48000, 192000])
def test_resampling_equals_scipys_polyphase_filter_with_the_same_taps(rate: int) -> None:
    signal = np.random.default_rng(1).normal(0, 0.1, 3 * rate).astype(np.float32)
    up, down, taps = design_filter(rate)
    expected = resample_poly(signal.astype(np.float64), up, down, window=taps.astype(np.float64) / up)
    np.testing.assert_allclose(resample(signal, rate), expected, atol=1e-6)


@pytest.mark.parametrize("rate", [8000, 22050, 44100, 48000])
def test_resampling_agrees_with_ffmpeg(rate: int) -> None:
    signal = np.random.default_rng(1).normal(0, 0.1, 2 * rate).astype(np.float32)
    frame = av.AudioFrame.from_ndarray(signal[None], format="fltp", layout="mono")
    frame.sample_rate = rate
    converter = av.AudioResampler("fltp", "mono", 16000)
    theirs = np.concatenate([f.to_ndarray()[0] for f in converter.resample(frame) + converter.resample(None)])
    # at the very ends FFmpeg mirrors the signal where this package has silence
    np.testing.assert_allclose(resample(signal, rate)[60:-60], theirs[60 : len(theirs) - 60], atol=1e-4)


def test_what_lies_above_8_khz_does_not_fold_back() -> None:
    for hz in (9000, 12000, 20000):
        assert np.abs(resample(tone(0.5, 48000, hz=hz)[:, 0], 48000)[200:-200]).max() < 5e-4


# --- real recordings --------------------------------------------------------------------------


def test_every_recording_has_the_length_its_manifest_says() -> None:
    if not SPEECH.is_dir():
        pytest.skip("no speech here: not proved that real files of every format decode to their length")
    with (SPEECH / "manifest.tsv").open(encoding="utf-8") as manifest:
        rows = list(csv.DictReader(manifest, delimiter="\t", quoting=csv.QUOTE_NONE))
    lengths = {row["file"]: float(row["duration_s"]) for row in rows}
    clips = {name: load_audio(SPEECH / name) for name in lengths}
    assert {name: clip.duration_s for name, clip in clips.items()} == pytest.approx(lengths, abs=0.02)
    damaged = {name: clip.warnings for name, clip in clips.items() if clip.warnings}
    assert damaged == {"fmt_sonnet1_head.flac": ("the end is damaged: 1 packet could not be decoded",)}
