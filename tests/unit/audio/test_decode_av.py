"""AudioDecoder: damaged, truncated and odd files give what can be decoded of them, with warnings."""

from __future__ import annotations

import re
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neuron_whisper.audio.container.flac_frames import read_first_sample
from neuron_whisper.audio.load import AudioLimits, load_audio
from neuron_whisper.errors import AudioTooLong, AudioUnreadable, NeuronWhisperError
from tests.support.audio_files import Samples, encode_with_av, encode_with_soundfile, find_sound_s, pitch_hz, tone
from tests.support.forged_files import adts_of_bad_frames, mp3_of_bad_frames

FILES = {
    **{kind: encode_with_soundfile(tone(0.2, 16000), 16000, kind) for kind in ("WAV", "FLAC", "OGG", "AIFF")},
    **{kind: encode_with_av(kind, "aac", tone(0.2, 16000), 16000) for kind in ("adts", "ipod")},
    "webm": encode_with_av("webm", "libopus", tone(0.2, 48000), 48000),
}


def test_a_video_without_sound_is_refused() -> None:
    silent = encode_with_av("mp4", "", tone(1.0, 48000), 48000, "mpeg4")
    with pytest.raises(AudioUnreadable, match="no audio stream in the file; it holds only video"):
        load_audio(silent)


def test_a_codec_that_cannot_be_read_is_named() -> None:
    wav = bytearray(encode_with_soundfile(tone(0.5, 16000), 16000, "WAV"))
    wav[32:36] = struct.pack("<HH", 8, 64)  # bytes per frame, bits per sample
    with pytest.raises(AudioUnreadable, match="its audio codec, pcm_s64le, is not supported"):
        load_audio(bytes(wav))


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
    sound = load_audio(flac).samples
    for percent in range(20, 80):  # at 68 there is a burst unless checksums are looked at
        flipped = bytearray(flac)
        flipped[len(flac) * percent // 100] ^= 0x40
        clip = load_audio(bytes(flipped))
        assert np.abs(clip.samples).max() < 0.06
        where = clip.samples != 0  # what is lost is silent, and what follows is at its time
        np.testing.assert_array_equal(clip.samples[where], sound[: len(where)][where])
        assert 0.2 < np.count_nonzero(~where) / 16000 + 2.0 - clip.duration_s < 0.8
        assert clip.warnings


def test_a_lost_ogg_page_is_a_warning_with_its_length() -> None:
    opus = bytearray(encode_with_av("ogg", "libopus", tone(4.0, 48000), 48000))
    opus[len(opus) // 2] ^= 0x40
    clip = load_audio(bytes(opus))
    assert clip.duration_s == pytest.approx(4.0, abs=0.01)
    ((_, before), (after, _)) = find_sound_s(clip.samples)
    assert after - before == pytest.approx(1.0, abs=0.2)
    assert clip.warnings == ("1.00 s are missing in the middle, in 1 gap: 2.01-3.01 s; silence was filled in there",)


def test_damaged_packets_in_the_middle_are_counted() -> None:
    aac = bytearray(encode_with_av("adts", "aac", tone(4.0, 44100), 44100))
    middle = len(aac) // 2
    aac[middle : middle + 600] = bytes(600)
    clip = load_audio(bytes(aac))
    assert 3.5 < clip.duration_s < 4.05
    assert clip.warnings[0] == "1 damaged packet in the middle could not be decoded, at 2.00 s"


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


def test_a_rate_and_layout_that_change_within_the_audio_are_followed() -> None:
    first = encode_with_soundfile(tone(1.0, 44100, 1), 44100, "FLAC")
    clip = load_audio(first + encode_with_soundfile(tone(1.0, 22050, 2, hz=880), 22050, "FLAC"))
    assert clip.duration_s == pytest.approx(2.0, abs=0.001)
    assert pitch_hz(clip.samples[:16000]) == pytest.approx(440, abs=1.5)
    assert pitch_hz(clip.samples[16000:]) == pytest.approx(880, abs=1.5)
    assert clip.warnings == (
        "the file holds 2 recordings, one behind the other; all were decoded",
        "the sample rate changes within the audio: 44100, 22050 Hz",
    )


def test_tags_in_a_broken_encoding_do_not_matter() -> None:
    title = "日本".encode("shift_jis") + b"\xff\0"
    info = b"LIST" + struct.pack("<I", 18) + b"INFOINAM" + struct.pack("<I", 6) + title
    wav = encode_with_soundfile(tone(0.5, 16000), 16000, "WAV")
    tagged = wav[:36] + info + wav[36:]
    assert load_audio(tagged).duration_s == 0.5


# --- time, by the container's timestamps ------------------------------------------------------

TIMED = [
    ("matroska", "libopus", 48000, "mpeg4"),
    ("webm", "libopus", 48000, "libvpx"),
    ("matroska", "libmp3lame", 44100, "mpeg4"),
    ("mp4", "aac", 44100, "mpeg4"),
]


@pytest.mark.parametrize(("container", "codec", "rate", "video"), TIMED)
def test_a_track_that_starts_after_the_video_is_silent_until_then(
    container: str, codec: str, rate: int, video: str
) -> None:
    clip = load_audio(encode_with_av(container, codec, tone(1.0, rate), rate, video, place=lambda s: s + 5.0))
    ((start_s, _),) = find_sound_s(clip.samples)
    assert start_s == pytest.approx(5.0, abs=0.11)
    assert clip.duration_s == pytest.approx(6.0, abs=0.05)
    assert clip.warnings == ()


@pytest.mark.parametrize(("container", "codec", "rate", "video"), TIMED)
def test_a_file_of_audio_alone_begins_at_its_first_sample(container: str, codec: str, rate: int, video: str) -> None:
    clip = load_audio(encode_with_av(container, codec, tone(1.0, rate), rate, place=lambda s: s + 5.0))
    assert clip.duration_s == pytest.approx(1.0, abs=0.05)
    assert clip.warnings == ()


@pytest.mark.parametrize("video", [True, False])
@pytest.mark.parametrize(("container", "codec", "rate", "picture"), [*TIMED, ("ogg", "libopus", 48000, "")])
def test_a_pause_of_the_recorder_is_silence_and_later_times_are_right(
    container: str, codec: str, rate: int, picture: str, video: bool
) -> None:
    picture = picture if video else ""
    paused = encode_with_av(
        container, codec, tone(2.0, rate), rate, picture, place=lambda s: s if s < 1.0 else s + 20.0
    )
    clip = load_audio(paused)
    ((_, before), (after, end)) = find_sound_s(clip.samples)
    assert (before, after, end) == pytest.approx((1.0, 21.0, 22.0), abs=0.11)
    (warning,) = clip.warnings
    assert re.fullmatch(
        r"20.00 s are missing in the middle, in 1 gap: 1.0\d-21.0\d s; silence was filled in there", warning
    )


@pytest.mark.parametrize(("container", "codec", "rate", "video"), TIMED)
def test_lost_packets_are_silence_of_their_length(container: str, codec: str, rate: int, video: str) -> None:
    lossy = encode_with_av(container, codec, tone(3.0, rate), rate, place=lambda s: None if 1.0 < s < 2.0 else s)
    clip = load_audio(lossy)
    ((_, before), (after, end)) = find_sound_s(clip.samples)
    assert (before, after, end) == pytest.approx((1.0, 2.0, 3.0), abs=0.11)
    assert "s are missing in the middle, in 1 gap: 1.0" in clip.warnings[0]


def test_packets_lost_one_by_one_add_up() -> None:
    """Each of 20 ms is less than a gap; together they are two seconds."""
    lossy = encode_with_av(
        "webm", "libopus", tone(10.0, 48000), 48000, place=lambda s: None if round(s * 50) % 5 == 3 else s
    )
    clip = load_audio(lossy)
    assert clip.duration_s == pytest.approx(10.0, abs=0.11)
    assert "are missing in the middle" in clip.warnings[0]


def test_jitter_and_a_drifting_clock_are_no_gaps() -> None:
    jitter = encode_with_av("webm", "libopus", tone(4.0, 48000), 48000, place=lambda s: s + (round(s * 50) % 3) * 0.01)
    drift = encode_with_av("webm", "libopus", tone(4.0, 48000), 48000, place=lambda s: s * 1.004)
    for file in (jitter, drift):
        clip = load_audio(file)
        assert len(find_sound_s(clip.samples)) == 1
        assert clip.duration_s == pytest.approx(4.0, abs=0.03)
        assert clip.warnings == ()


def test_silence_of_gaps_counts_towards_the_limit_of_seconds() -> None:
    paused = encode_with_av("webm", "libopus", tone(2.0, 48000), 48000, place=lambda s: s if s < 1.0 else s + 3000.0)
    with pytest.raises(AudioTooLong) as refused:
        load_audio(paused, limits=AudioLimits(max_seconds=600))
    assert refused.value.limit_s == 600


def test_a_jump_that_is_too_long_for_a_pause_is_not_filled_but_told() -> None:
    far = encode_with_av("webm", "libopus", tone(2.0, 48000), 48000, place=lambda s: s if s < 1.0 else s + 9000.0)
    clip = load_audio(far)
    assert clip.duration_s == pytest.approx(2.0, abs=0.03)
    assert len(clip.warnings) == 1
    assert "jump ahead by 9,000 s" in clip.warnings[0]


def test_damage_in_the_middle_of_an_mp3_keeps_later_times() -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, (10 * 44100, 1)).astype(np.float32)
    mp3 = bytearray(encode_with_av("mp3", "libmp3lame", noise, 44100))
    mp3[len(mp3) * 2 // 5 : len(mp3) * 3 // 5] = bytes(len(mp3) // 5)
    clip = load_audio(bytes(mp3))
    assert clip.duration_s == pytest.approx(10.0, abs=0.05)
    assert clip.warnings


def talk(seconds: float, rate: int) -> Samples:
    """Noise of a level that changes, as in speech, with a tone of its own in the last second."""
    rng = np.random.default_rng(0)
    levels = np.repeat(rng.uniform(0.01, 0.3, round(seconds * 4)), rate // 4)[:, None]
    values = levels * rng.normal(0, 0.3, (len(levels), 1))
    values[-rate:] = tone(1.0, rate, hz=1000.0)
    return values.astype(np.float32)


@pytest.mark.parametrize("share", [0.1, 0.4, 0.8])
def test_flac_without_its_beginning_has_a_damaged_start_and_no_jumps(share: float, tmp_path: Path) -> None:
    whole, path = encode_with_soundfile(talk(5.0, 16000), 16000, "FLAC"), tmp_path / "rest.flac"
    path.write_bytes(whole[round(share * len(whole)) :])
    clip = load_audio(path)
    assert clip.duration_s == pytest.approx(5 * (1 - share), abs=0.6)
    assert clip.warnings == ("the start is damaged: 1 packet could not be decoded",)
    np.testing.assert_array_equal(clip.samples[-16000:], load_audio(whole).samples[-16000:])


def find_flac_frames(whole: bytes) -> list[int]:
    return [at for at in range(len(whole) - 16) if read_first_sample(whole[at : at + 16], 4096) is not None]


@pytest.mark.parametrize("number", [1, 5, 12])
def test_flac_that_begins_with_a_frame_is_whole(number: int, tmp_path: Path) -> None:
    whole, path = encode_with_soundfile(talk(5.0, 16000), 16000, "FLAC"), tmp_path / "frames.flac"
    path.write_bytes(whole[find_flac_frames(whole)[number] :])
    clip = load_audio(path)
    np.testing.assert_array_equal(clip.samples, load_audio(whole).samples[number * 4096 :])
    assert clip.warnings == ()


def test_frames_lost_from_flac_without_its_beginning_are_silence(tmp_path: Path) -> None:
    whole, path = encode_with_soundfile(talk(5.0, 16000), 16000, "FLAC"), tmp_path / "rest.flac"
    frames, samples = find_flac_frames(whole), load_audio(whole).samples
    path.write_bytes(whole[frames[5] - 500 : frames[8]] + whole[frames[11] :])
    clip = load_audio(path)
    np.testing.assert_array_equal(clip.samples[3 * 4096 : 6 * 4096], 0)
    np.testing.assert_array_equal(clip.samples[6 * 4096 :], samples[11 * 4096 :])
    assert clip.warnings == (
        "the start is damaged: 1 packet could not be decoded",
        "0.77 s are missing in the middle, in 1 gap: 0.77-1.54 s; silence was filled in there",
    )


@pytest.mark.parametrize("filling", ["zeros", "noise"])
@pytest.mark.parametrize(("where", "share"), [(0.3, 0.2), (0.5, 0.1), (0.6, 0.02)])
@pytest.mark.parametrize("rate", [16000, 44100])
def test_damage_in_the_middle_of_aac_frames_keeps_later_times(
    rate: int, where: float, share: float, filling: str
) -> None:
    whole = encode_with_av("adts", "aac", talk(10.0, rate), rate)
    start, n_bytes = round(where * len(whole)), round(share * len(whole))
    rest = bytes(n_bytes) if filling == "zeros" else np.random.default_rng(1).bytes(n_bytes)
    clip = load_audio(whole[:start] + rest + whole[start + n_bytes :])
    assert clip.duration_s == pytest.approx(load_audio(whole).duration_s, abs=0.1)
    (gap,) = [it for it in clip.warnings if "missing in the middle" in it]
    begins_s, ends_s = map(float, re.findall(r"([\d.]+)-([\d.]+) s", gap)[0])
    assert begins_s == pytest.approx(10 * where, abs=0.5)
    assert ends_s - begins_s == pytest.approx(10 * share, abs=0.15)


def test_tags_between_the_segments_of_a_stream_of_aac_are_no_loss() -> None:
    segment = encode_with_av("adts", "aac", tone(1.0, 44100), 44100)
    tag = b"ID3\4\0\0\0\0\0\x3f" + b"PRIV" + bytes(59)
    clip = load_audio((tag + segment) * 5)
    assert clip.duration_s == load_audio(segment * 5).duration_s
    assert clip.warnings == ()


BAD_FRAMES = {"adts": adts_of_bad_frames(60_000), "mp3": mp3_of_bad_frames(60_000)}


@pytest.mark.parametrize("content", BAD_FRAMES.values(), ids=BAD_FRAMES)
def test_packets_without_sound_are_given_up_after_a_number_of_them(content: bytes) -> None:
    with pytest.raises(AudioUnreadable, match="50,000 packets in a row gave no sound"):
        load_audio(content)


def test_the_sound_before_packets_without_sound_stays_and_a_warning_says_what_was_left() -> None:
    clip = load_audio(FILES["adts"] + BAD_FRAMES["adts"])
    assert 0.15 < clip.duration_s < 0.4
    assert "the rest was not decoded: 50,000 packets in a row gave no sound" in clip.warnings


def test_damage_of_fewer_packets_is_passed_over() -> None:
    clip = load_audio(FILES["adts"] + adts_of_bad_frames(5_000) + FILES["adts"])
    assert clip.duration_s > 0.35
    assert not any("not decoded" in warning for warning in clip.warnings)
