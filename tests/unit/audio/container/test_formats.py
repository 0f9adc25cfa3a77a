"""Whatever FFmpeg decodes and is sound is read; whatever only names other files is refused by its name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from neuron_whisper.audio.container.formats import DEMUXERS, list_supported_codecs
from neuron_whisper.audio.load import RawFormat, load_audio
from neuron_whisper.errors import AudioUnreadable, InvalidOption
from tests.support.audio_files import encode_two_tracks, encode_with_av, encode_with_soundfile, pitch_hz, tone


@pytest.mark.parametrize(
    ("container", "codec", "rate"),
    [
        ("avi", "libmp3lame", 44100),
        ("avi", "pcm_s16le", 16000),
        ("mpegts", "aac", 44100),
        ("mpegts", "mp2", 48000),
        ("mpegts", "ac3", 48000),
        ("mpeg", "mp2", 44100),
        ("vob", "ac3", 48000),
        ("asf", "wmav2", 44100),
        ("asf", "wmav1", 44100),
        ("flv", "libmp3lame", 44100),
        ("flv", "aac", 44100),
        ("amr", "libopencore_amrnb", 8000),
        ("3gp", "libopencore_amrnb", 8000),
        ("3gp", "aac", 44100),
        ("wv", "wavpack", 44100),
        ("ac3", "ac3", 48000),
        ("eac3", "eac3", 48000),
        ("wav", "g722", 16000),
        ("wav", "pcm_s16le", 4000),
        ("wav", "pcm_s16le", 6000),
        ("tta", "tta", 44100),
        ("voc", "pcm_u8", 8000),
        ("sox", "pcm_s32le", 16000),
        ("rm", "ac3", 48000),
        ("wtv", "mp2", 48000),
        ("nut", "pcm_s16le", 16000),
        ("latm", "aac", 44100),
    ],
)
def test_a_tone_is_the_same_tone_in_rarer_formats(container: str, codec: str, rate: int) -> None:
    clip = load_audio(encode_with_av(container, codec, tone(1.0, rate), rate))
    assert clip.warnings == ()
    assert clip.duration_s == pytest.approx(1.0, abs=0.1)  # padded to whole frames
    assert pitch_hz(clip.samples[1600:14400]) == pytest.approx(440, abs=2)


@pytest.mark.parametrize("container", ["avi", "mpegts", "asf", "flv"])
def test_the_sound_of_a_video_is_taken(container: str) -> None:
    video = "flv" if container == "flv" else "mpeg4"
    clip = load_audio(encode_with_av(container, "libmp3lame", tone(1.0, 44100), 44100, video))
    assert pitch_hz(clip.samples[1600:14400]) == pytest.approx(440, abs=2)
    assert not any("damaged" in warning for warning in clip.warnings)


@pytest.mark.parametrize("container", ["mpegts", "mpeg", "asf", "flv", "nut"])
def test_these_containers_keep_time_as_well(container: str) -> None:
    codec = "mp2" if container == "mpeg" else "libmp3lame"
    paused = encode_with_av(container, codec, tone(2.0, 44100), 44100, place=lambda s: s if s < 1.0 else s + 5.0)
    clip = load_audio(paused)
    assert clip.duration_s == pytest.approx(7.0, abs=0.1)
    (warning,) = clip.warnings
    assert warning.startswith("5.00 s are missing in the middle, in 1 gap: 1.0")


def test_g722_without_a_header_is_read() -> None:
    stream = encode_with_av("g722", "g722", tone(1.0, 16000), 16000)
    clip = load_audio(stream, raw=RawFormat(encoding="g722"))
    assert pitch_hz(clip.samples[1600:14400]) == pytest.approx(440, abs=2)
    with pytest.raises(InvalidOption):
        RawFormat(encoding="g722", sample_rate=8000)


@pytest.mark.parametrize("codec", ["dca", "truehd", "mlp", "ape", "wmapro", "wmalossless", "cook", "qcelp", "speex"])
def test_codecs_without_an_encoder_here_are_allowed(codec: str) -> None:
    """That their files are decoded is not proved."""
    assert codec in list_supported_codecs()


def test_pictures_and_generators_are_no_codecs_of_sound() -> None:
    assert not {"h264", "png", "mjpeg", "wavesynth", "pcm_s64le"} & list_supported_codecs()


def test_no_demuxer_that_opens_other_files_is_allowed() -> None:
    opening = {"hls", "dash", "concat", "sdp", "rtp", "rtsp", "sap", "image2", "image2pipe", "imf", "lavfi", "alsa"}
    opening |= {"mpegtsraw", "webm_dash_manifest", "vobsub", "ffmetadata", "v4l2", "fbdev", "oss", "x11grab", "cdg"}
    assert not opening & set(DEMUXERS.split(","))


def list_manifests(target: str) -> dict[str, bytes]:
    """Files that name `target`, by kind."""
    mpd = f'<MPD xmlns="urn:mpeg:dash:schema:mpd:2011"><Period><BaseURL>{target}</BaseURL></Period></MPD>'
    return {
        "playlist": f"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n{target}\n#EXT-X-ENDLIST\n".encode(),
        "ffconcat": f"ffconcat version 1.0\nfile '{target}'\n".encode(),
        "concat": f"file '{target}'\nfile '{target}'\n".encode(),
        "DASH": b'<?xml version="1.0"?>\n' + mpd.encode(),
        "session": f"v=0\no=- 0 0 IN IP4 127.0.0.1\nm=audio 5004 RTP/AVP 0\na=control:{target}\n".encode(),
        "pls": f"[playlist]\nFile1={target}\nNumberOfEntries=1\n".encode(),
        "asx": f'<asx version="3.0"><entry><ref href="{target}"/></entry></asx>'.encode(),
    }


@pytest.mark.parametrize("kind", list_manifests(""))
@pytest.mark.parametrize("scheme", ["", "file://", "http://127.0.0.1:9", "subfile,,start,0,end,0,,:", "concat:"])
def test_what_names_other_files_is_refused_by_name_and_opens_none(kind: str, scheme: str, tmp_path: Path) -> None:
    wav = tmp_path / "secret.wav"
    wav.write_bytes(encode_with_soundfile(tone(0.5, 16000), 16000, "WAV"))
    path = tmp_path / f"list{'.m3u8' if kind == 'playlist' else '.txt'}"
    path.write_bytes(list_manifests(f"{scheme}{wav}")[kind])
    for source in (path, path.read_bytes()):
        with pytest.raises(AudioUnreadable) as refused:
            load_audio(source)
        assert "which only names" in refused.value.reason


@pytest.mark.parametrize("name", ["a%d.png", "a-001.jpg", "glob*.png"])
def test_image_sequences_are_refused(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))
    with pytest.raises(AudioUnreadable, match="a PNG image"):
        load_audio(path)


def test_the_asked_track_of_several_is_heard() -> None:
    two = encode_two_tracks()
    for options, pitch, n_warnings in (
        ({}, 440, 1),
        ({"language": "en"}, 880, 1),
        ({"audio_track": 1}, 880, 0),
        ({"audio_track": "en", "language": "de"}, 880, 0),
        ({"audio_track": 0, "language": "en"}, 440, 0),
    ):
        clip = load_audio(two, **options)
        assert pitch_hz(clip.samples) == pytest.approx(pitch, abs=2), options
        assert len(clip.warnings) == n_warnings
    with pytest.raises(InvalidOption) as refused:
        load_audio(two, audio_track=2)
    assert (refused.value.field, refused.value.allowed) == (
        "audio_track",
        "the file has 2 audio tracks: 0 (ger), 1 (eng)",
    )
    with pytest.raises(InvalidOption):
        load_audio(encode_with_soundfile(np.zeros((100, 1), np.float32), 16000, "WAV"), audio_track=1)
