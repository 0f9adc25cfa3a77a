"""find_parts: every recording of a file is decoded, whatever sizes its headers state."""

from __future__ import annotations

import io
import re
import struct
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from neuron_whisper.audio.container import parts
from neuron_whisper.audio.container.parts import Part, find_parts, open_part
from neuron_whisper.audio.load import load_audio
from neuron_whisper.errors import AudioTooLong, AudioUnreadable, NeuronWhisperError
from tests.support.audio_files import Samples, encode_with_av, encode_with_soundfile, pitch_hz, tone

LOW, HIGH = tone(1.0, 16000, hz=440), tone(1.0, 16000, hz=880)
JOINED = "the file holds 2 recordings, one behind the other; all were decoded"


def joined_kinds(kinds: str) -> str:
    return f"the file holds 2 recordings ({kinds}), one behind the other; all were decoded"


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
        case "flv":
            return encode_with_av("flv", "aac", tone(1.0, 44100, hz=hz), 44100)
        case "mpegts":
            return encode_with_av("mpegts", "aac", tone(1.0, 44100, hz=hz), 44100)
        case "mpeg":
            return encode_with_av("mpeg", "mp2", tone(1.0, 44100, hz=hz), 44100)
        case "asf":
            return encode_with_av("asf", "wmav2", tone(1.0, 44100, hz=hz), 44100)
        case "avi":
            return encode_with_av("avi", "libmp3lame", tone(1.0, 44100, hz=hz), 44100)
        case "mp2" | "ac3" | "eac3" | "tta":
            return encode_with_av(kind, kind, tone(1.0, 48000, hz=hz), 48000)
        case "wavpack":
            return encode_with_av("wv", "wavpack", tone(1.0, 44100, hz=hz), 44100)
        case "amr":
            return encode_with_av("amr", "libopencore_amrnb", tone(1.0, 8000, hz=hz), 8000)
        case "nut":
            return encode_with_av("nut", "pcm_s16le", tone(1.0, 16000, hz=hz), 16000)
        case "24 bit":
            return encode_with_soundfile(tone(1.0, 44100, 2, hz=hz), 44100, "WAV", "PCM_24")
        case _:
            return encode_with_soundfile(tone(1.0, 16000, hz=hz), 16000, kind)


KINDS = ("WAV", "24 bit", "WAVEX", "RF64", "W64", "AIFF", "CAF", "AU", "FLAC", "webm", "m4a", "fragments", "mp3")
PAIRS = [
    *((kind, kind, (JOINED,)) for kind in (*KINDS, "mp3, mpeg 2")),
    *((kind, kind, (JOINED,)) for kind in ("opus", "vorbis", "opus, stereo")),  # chained Ogg
    ("opus", "opus, stereo", (JOINED,)),
    ("opus, stereo", "opus", (JOINED,)),
    ("WAV", "FLAC", (joined_kinds("WAV, FLAC"),)),
    ("WAV", "m4a", (joined_kinds("WAV, MP4"),)),
    ("AIFF", "WAV", (joined_kinds("AIFF, WAV"),)),
    ("m4a", "m4a", (JOINED,)),
]


@pytest.mark.parametrize(("first", "second", "warnings"), PAIRS)
def test_both_of_two_joined_files_are_heard(first: str, second: str, warnings: tuple[str, ...]) -> None:
    clip = load_audio(encode(first, 440.0) + encode(second, 880.0))
    assert clip.duration_s == pytest.approx(2.0, abs=0.1)  # AAC pads to whole frames
    assert pitch_hz(clip.samples[1600:14400]) == pytest.approx(440, abs=2)
    assert pitch_hz(clip.samples[17600:30400]) == pytest.approx(880, abs=2)
    assert [it for it in clip.warnings if "sample rate changes" not in it] == list(warnings)


NAMES = {
    **{"WAV": "WAV", "AIFF": "AIFF", "CAF": "CAF", "W64": "W64", "AU": "AU", "FLAC": "FLAC", "opus": "Ogg"},
    **{"vorbis": "Ogg", "webm": "WebM or Matroska", "m4a": "MP4", "fragments": "MP4", "mp3": "MP3", "adts": "AAC"},
    **{"flv": "FLV", "mpegts": "MPEG-TS", "mpeg": "MPEG-PS", "asf": "Windows Media", "avi": "AVI", "mp2": "MP2"},
    **{"ac3": "AC-3", "eac3": "AC-3", "tta": "TTA", "wavpack": "WavPack", "amr": "AMR", "nut": "NUT"},
}
MIXED = list(
    dict.fromkeys(
        (first, second)
        for kind in NAMES
        for first, second in (
            (kind, "WAV"),
            ("WAV", kind),
            (kind, "mp3"),
            ("FLAC", kind),
            (kind, "opus"),
            ("m4a", kind),
        )
        if NAMES[first] != NAMES[second]
    )
)


@pytest.fixture(scope="module")
def encoded() -> dict[str, tuple[bytes, bytes]]:
    """Each kind at 440 and at 880 Hz."""
    return {kind: (encode(kind, 440.0), encode(kind, 880.0)) for kind in NAMES}


@pytest.mark.parametrize(("first", "second"), MIXED)
def test_files_of_different_kinds_are_both_heard_and_nothing_is_called_damaged(
    first: str, second: str, encoded: dict[str, tuple[bytes, bytes]]
) -> None:
    clip = load_audio(encoded[first][0] + encoded[second][1])
    assert clip.duration_s == pytest.approx(2.0, abs=0.15)
    assert pitch_hz(clip.samples[1600:14400]) == pytest.approx(440, abs=4)
    assert pitch_hz(clip.samples[18000:30000]) == pytest.approx(880, abs=4)
    warnings = [it for it in clip.warnings if "sample rate changes" not in it]
    assert warnings == [joined_kinds(f"{NAMES[first]}, {NAMES[second]}")]


@pytest.mark.parametrize("kind", ["mpegts", "mpeg", "wavpack", "tta", "nut"])
def test_two_of_a_kind_with_a_clock_or_a_count_are_two_recordings(
    kind: str, encoded: dict[str, tuple[bytes, bytes]]
) -> None:
    clip = load_audio(b"".join(encoded[kind]))
    assert clip.duration_s == pytest.approx(2.0, abs=0.15)
    assert pitch_hz(clip.samples[18000:30000]) == pytest.approx(880, abs=4)
    assert clip.warnings == (JOINED,)


def test_three_files_with_tags_and_zeros_between_them_are_heard(encoded: dict[str, tuple[bytes, bytes]]) -> None:
    tag = b"TAG" + bytes(125)
    clip = load_audio(encoded["mp3"][0] + tag + encoded["opus"][1] + bytes(4096) + encoded["WAV"][0])
    assert clip.duration_s == pytest.approx(3.0, abs=0.1)
    assert clip.warnings[0] == ("the file holds 3 recordings (MP3, Ogg, WAV), one behind the other; all were decoded")
    assert not any("damaged" in warning for warning in clip.warnings)


@pytest.mark.parametrize("kind", ["mp3", "adts", "opus", "m4a", "webm", "asf", "tta"])
def test_bytes_of_no_known_kind_behind_a_recording_are_counted(
    kind: str, encoded: dict[str, tuple[bytes, bytes]]
) -> None:
    whole = encoded[kind][0]
    clip = load_audio(whole + np.random.default_rng(0).bytes(9000))
    assert clip.duration_s == pytest.approx(1.0, abs=0.1)
    assert clip.warnings == (f"9,000 bytes at byte {len(whole):,} are no audio of a known kind and were left out",)


@pytest.mark.parametrize("kind", ["mp3", "adts", "opus", "m4a", "webm", "asf", "tta", "mpegts", "ac3", "wavpack"])
def test_zeros_behind_a_recording_are_left_out_and_no_damage(
    kind: str, encoded: dict[str, tuple[bytes, bytes]]
) -> None:
    whole = encoded[kind][0]
    expected = load_audio(whole)
    for behind in (bytes(200_000), bytes(1000), bytes(60_000) + b"TAG" + bytes(125)):
        clip = load_audio(whole + behind)
        np.testing.assert_array_equal(clip.samples, expected.samples)
        zeros = len(behind.split(b"TAG")[0])
        note = f"{zeros:,} zero bytes behind byte {len(whole):,} were left out"
        assert clip.warnings == (*(() if zeros == 1000 else (note,)), *expected.warnings)


@pytest.mark.parametrize("kind", ["FLAC", "amr"])
def test_zeros_behind_frames_without_a_stated_end_are_left_out(
    kind: str, encoded: dict[str, tuple[bytes, bytes]]
) -> None:
    whole = encoded[kind][0]
    clip = load_audio(whole + bytes(200_000))
    np.testing.assert_array_equal(clip.samples, load_audio(whole).samples)
    (warning,) = clip.warnings
    assert re.fullmatch(r"(199,9\d\d|200,000) zero bytes behind byte [\d,]+ were left out", warning)


@pytest.mark.parametrize("kind", ["mp3", "adts", "opus", "m4a", "WAV", "FLAC", "webm", "mpegts"])
def test_zeros_before_a_recording_are_no_recording(kind: str, encoded: dict[str, tuple[bytes, bytes]]) -> None:
    whole = encoded[kind][0]
    for number, counted in ((50_000, "50,000 zero bytes"), (1, "1 zero byte")):
        clip = load_audio(bytes(number) + whole)
        np.testing.assert_array_equal(clip.samples, load_audio(whole).samples)
        assert clip.warnings == (f"skipped {counted} at the start",)


@pytest.mark.parametrize("kind", ["mp3", "adts", "ac3", "mpegts"])
def test_damage_in_the_middle_makes_no_second_recording(kind: str, encoded: dict[str, tuple[bytes, bytes]]) -> None:
    damaged = bytearray(encoded[kind][0])
    middle = len(damaged) // 2
    damaged[middle : middle + 900] = np.random.default_rng(0).bytes(900)
    found = find_parts(io.BytesIO(bytes(damaged)))
    assert [(part.start, part.end) for part in found.parts] == [(0, len(damaged))]
    found = find_parts(io.BytesIO(bytes(damaged) + encoded["WAV"][1]))
    assert [part.start for part in found.parts] == [0, len(damaged)]


@pytest.mark.parametrize("kind", ["mp3", "opus", "m4a", "webm", "mpegts", "FLAC"])
def test_a_recording_behind_one_that_was_cut_is_heard(kind: str, encoded: dict[str, tuple[bytes, bytes]]) -> None:
    cut = encoded[kind][0][:-700]
    clip = load_audio(cut + encoded["WAV"][1])
    assert pitch_hz(clip.samples[-13000:]) == pytest.approx(880, abs=4)
    assert find_parts(io.BytesIO(cut + encoded["WAV"][1])).parts[1].start == len(cut)


# --- what is no beginning of a recording -------------------------------------------------------------

SIGNATURES = (
    *(
        b"OggS\0\2",
        b"OggS",
        b"RIFF",
        b"RIFF\x24\0\0\0WAVE",
        b"fLaC\0\0\0\x22",
        b"ID3\4\0\0\0\0\0\x10",
        b"FORM\0\0\0\0AIFF",
    ),
    *(
        b"\x1aE\xdf\xa3",
        b"\xff\xfb\x90\0",
        b"\xff\xf1\x50\x80\x02\x1f\xfc",
        b"\0\0\0\x20ftypM4A ",
        b"caff\0\1\0\0desc",
        b"\x0bw",
    ),
    *(
        b"#!AMR\n",
        b"wvpk",
        b"TTA1",
        b".snd\0\0\0\x18",
        b"FLV\1\5\0\0\0\x09",
        b"\x47\x40\0",
        b"\0\0\1\xba",
        b"\x30\x26\xb2\x75",
    ),
)


@settings(max_examples=60, deadline=None)
@example(planted=[(b"#!AMR\n", 27_911)], seed=379, has_size=False, loudness=30)
@given(
    planted=st.lists(st.tuples(st.sampled_from(SIGNATURES), st.integers(0, 60_000)), min_size=1, max_size=12),
    seed=st.integers(0, 2**32 - 1),
    has_size=st.booleans(),
    loudness=st.sampled_from([30, 3000, 30_000]),
)
def test_samples_that_look_like_signatures_stay_one_recording(
    planted: list[tuple[bytes, int]], seed: int, has_size: bool, loudness: int
) -> None:
    rng = np.random.default_rng(seed)
    samples = bytearray(rng.integers(-loudness, loudness, 32_000, dtype=np.int16).tobytes())
    for signature, at in planted:
        samples[at : at + len(signature)] = signature
    size = len(samples) if has_size else 0xFFFFFFFF
    header = b"RIFF" + struct.pack("<I", min(size + 36, 0xFFFFFFFF)) + b"WAVEfmt "
    header += struct.pack("<IHHIIHH", 16, 1, 1, 16000, 32000, 2, 16)
    wav = header + b"data" + struct.pack("<I", size) + samples
    found = find_parts(io.BytesIO(wav))
    assert [(part.start, part.end) for part in found.parts] == [(0, len(wav))]
    clip = load_audio(wav)
    np.testing.assert_array_equal(clip.samples, np.frombuffer(bytes(samples), "<i2").astype(np.float32) / 32768)
    assert clip.warnings == ()


@pytest.mark.parametrize("kind", ["FLAC", "mp3", "opus", "webm", "m4a", "adts"])
def test_signatures_in_compressed_bytes_begin_no_recording(kind: str, encoded: dict[str, tuple[bytes, bytes]]) -> None:
    content = bytearray(encoded[kind][0])
    for number, signature in enumerate(SIGNATURES):
        at = len(content) // 3 + 100 * number
        if at + len(signature) < len(content) - 1000:
            content[at : at + len(signature)] = signature
    assert len(find_parts(io.BytesIO(bytes(content))).parts) == 1


def test_a_recording_in_a_cover_or_an_attachment_is_not_decoded() -> None:
    inner = encode("WAV", 880.0)
    tag = b"ID3\4\0\0" + bytes([len(inner) >> shift & 0x7F for shift in (21, 14, 7, 0)]) + inner
    clip = load_audio(tag + encode("mp3", 440.0))
    assert clip.duration_s == pytest.approx(1.0, abs=0.1)
    assert pitch_hz(clip.samples) == pytest.approx(440, abs=2)


# --- MP4 whose index is hidden -------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 0x7FFFFFF0, 12_000, 0xFFFFFFFF])
def test_an_index_behind_samples_of_a_wrong_size_is_read_and_the_size_told(size: int) -> None:
    whole = encode("m4a", 440.0)
    at = whole.index(b"mdat") - 4
    broken = whole[:at] + struct.pack(">I", size) + whole[at + 4 :]
    clip = load_audio(broken)
    np.testing.assert_array_equal(clip.samples, load_audio(whole).samples)
    (warning,) = clip.warnings
    assert "mdat" in warning
    assert "moov" in warning


def test_an_index_that_is_not_there_is_missed_by_its_name() -> None:
    whole = encode("m4a", 440.0)
    broken = bytearray(whole[: whole.index(b"moov") - 4])
    at = broken.index(b"mdat") - 4
    broken[at : at + 4] = bytes(4)
    with pytest.raises(AudioUnreadable, match="moov"):
        load_audio(bytes(broken))


def test_links_of_another_codec_rate_and_channels_are_followed() -> None:
    chain = encode("vorbis", 440.0) + encode("opus, stereo", 880.0) + encode_with_av("ogg", "flac", HIGH, 16000)
    clip = load_audio(chain)
    assert clip.duration_s == pytest.approx(3.0, abs=0.02)
    assert clip.warnings == (
        JOINED.replace("2", "3"),
        "the sample rate changes within the audio: 22050, 48000, 16000 Hz",
    )


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
        (part,), notes, is_whole = find_parts(file)
        assert part == Part(0, len(content), part.kind)
        assert (notes, is_whole) == ((), True)
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
