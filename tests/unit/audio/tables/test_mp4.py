"""Sample tables of MP4: what they may promise, and that a check of them ends."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neuron_whisper.audio.load import load_audio
from neuron_whisper.audio.tables.mp4 import MAX_BOXES, _Mp4Check, check_mp4
from neuron_whisper.audio.tables.promise import BrokenPromise
from tests.support.audio_files import encode_with_av, encode_with_soundfile, tone
from tests.support.forged_files import FORGED_MP4, box, full_box, mp4, sample_tables, table, track

SOUND_FILES = {
    "m4a": encode_with_av("ipod", "aac", tone(1.0, 16_000), 16_000),
    "video": encode_with_av("mp4", "aac", tone(1.0, 48_000), 48_000, "mpeg4"),
    "mov of pcm": encode_with_av("mov", "pcm_s16le", tone(1.0, 16_000), 16_000),
    "mov of u-law": encode_with_av("mov", "pcm_mulaw", tone(1.0, 16_000), 16_000),
    "mov of ima4": encode_with_av("mov", "adpcm_ima_qt", tone(1.0, 16_000), 16_000),
}


@pytest.mark.parametrize("make", FORGED_MP4.values(), ids=FORGED_MP4)
def test_a_table_that_promises_more_samples_than_bytes_is_refused(make: Callable[[], bytes]) -> None:
    with pytest.raises(BrokenPromise):
        check_mp4(io.BytesIO(make()))


@pytest.mark.parametrize("content", SOUND_FILES.values(), ids=SOUND_FILES)
def test_a_sound_file_passes_whole_and_truncated(content: bytes) -> None:
    check_mp4(io.BytesIO(content))
    check_mp4(io.BytesIO(content[: len(content) * 2 // 3]))


def test_uncompressed_sound_that_lost_most_of_its_samples_passes() -> None:
    """FFmpeg's index has one entry for many samples there, and what is left can be decoded."""
    check_mp4(io.BytesIO(mp4(track(sample_tables(samples=16_000, per_chunk=16_000, duration=1)))))
    with pytest.raises(BrokenPromise):
        check_mp4(io.BytesIO(mp4(track(sample_tables(samples=160_000, per_chunk=160_000, duration=1)))))


def test_the_samples_of_all_tracks_and_fragments_are_added() -> None:
    run = full_box(b"trun", struct.pack(">I", 600))
    fragments = box(b"moof", box(b"traf", run)) * 10
    check_mp4(io.BytesIO(fragments + bytes(6000)))
    with pytest.raises(BrokenPromise, match="trun promises 5,400 samples, more than"):
        check_mp4(io.BytesIO(fragments + bytes(5000)))


@pytest.mark.parametrize("name", [b"stts", b"ctts", b"stsc", b"stco", b"co64", b"stss", b"stps"])
def test_a_table_that_ends_behind_its_box_is_refused(name: bytes) -> None:
    forged = mp4(track(sample_tables(more=full_box(name, struct.pack(">I", 1000)))), bytes(100_000))
    with pytest.raises(BrokenPromise, match=f"{name.decode()} promises 1,000 entries and ends before them"):
        check_mp4(io.BytesIO(forged))


def test_sizes_of_samples_in_a_table_that_ends_before_them_are_refused() -> None:
    for name, size in ((b"stsz", 0), (b"stz2", 4)):
        forged = full_box(name, struct.pack(">II", size, 5000))
        with pytest.raises(BrokenPromise, match="promises 5,000 samples and ends before them"):
            check_mp4(io.BytesIO(mp4(track(sample_tables(more=forged)), bytes(100_000))))


def test_a_table_behind_a_sample_description_is_refused() -> None:
    hidden = full_box(b"stsd", struct.pack(">I", 1), box(b"mp4a", bytes(28), full_box(b"stsz", bytes(8))))
    with pytest.raises(BrokenPromise, match="hidden in its stsd"):
        check_mp4(io.BytesIO(mp4(track(sample_tables(more=hidden)))))


def test_boxes_in_boxes_without_end_are_not_followed() -> None:
    nested = b""
    for _ in range(2000):
        nested = box(b"moov", nested)
    check_mp4(io.BytesIO(nested))


def test_boxes_without_end_are_given_up() -> None:
    file = io.BytesIO(box(b"free") * 20)
    _Mp4Check(file, 160, 160, n_boxes=MAX_BOXES - 20).check()
    with pytest.raises(BrokenPromise, match="boxes"):
        _Mp4Check(file, 160, 160, n_boxes=MAX_BOXES - 19).check()


def test_an_edit_of_a_table_does_not_hide_another() -> None:
    """The largest promise counts, whichever FFmpeg takes."""
    more = full_box(b"stsz", struct.pack(">II", 4, 10)) + table(b"stts", struct.pack(">II", 10, 1024))
    with pytest.raises(BrokenPromise):
        check_mp4(io.BytesIO(mp4(track(sample_tables(samples=100_000, per_chunk=100_000, more=more)))))


@settings(max_examples=200, deadline=None)
@given(
    kind=st.sampled_from(sorted(SOUND_FILES)),
    edits=st.lists(st.tuples(st.integers(0, 2**20), st.binary(min_size=1, max_size=8)), max_size=6),
    cut=st.none() | st.integers(0, 2**20),
)
def test_any_damage_passes_or_is_a_broken_promise(kind: str, edits: list[tuple[int, bytes]], cut: int | None) -> None:
    content = bytearray(SOUND_FILES[kind])
    for at, value in edits:
        at %= len(content)
        content[at : at + len(value)] = value
    if cut is not None:
        content = content[: cut % len(content)]
    try:
        check_mp4(io.BytesIO(content))
    except BrokenPromise as broken:
        assert str(broken)  # noqa: PT017 - either outcome is right


def test_a_forged_file_is_refused_by_every_entrance_of_python() -> None:
    from neuron_whisper.errors import AudioForged

    content = FORGED_MP4["stsz"]()
    for source in (content, io.BytesIO(content)):
        with pytest.raises(AudioForged):
            load_audio(source)
    assert load_audio(encode_with_soundfile(tone(0.1, 16_000), 16_000, "WAV")).duration_s == pytest.approx(0.1)
