"""measure_samples: where the samples of an index end; MP4s whose samples are found by it alone are decoded."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuron_whisper.audio.container.file_bytes import FileBytes
from neuron_whisper.audio.container.mp4_boxes import Box
from neuron_whisper.audio.container.mp4_index import measure_samples
from neuron_whisper.audio.container.parts import find_parts
from neuron_whisper.audio.load import load_audio
from tests.support.audio_files import encode_with_av, encode_with_soundfile, tone


def box(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", 8 + len(content)) + name + content


def table(name: bytes, *numbers: int, form: str = "I", lead: bytes = b"") -> bytes:
    return box(name, bytes(4) + lead + struct.pack(f">{len(numbers)}{form}", *numbers))


def measure(*tables: bytes) -> int:
    content = b"".join(tables)
    for name in (b"stbl", b"minf", b"mdia", b"trak", b"moov"):
        content = box(name, content)
    return measure_samples(FileBytes(io.BytesIO(content)), Box(b"moov", 0, 8, len(content)))


SIZES = table(b"stsz", 0, 5, 10, 20, 30, 40, 50)
RUNS = table(b"stsc", 2, 1, 2, 1, 2, 1, 1)  # two samples in the first chunk, one in each behind it
OFFSETS = table(b"stco", 4, 100, 5000, 200, 300)


def test_samples_end_behind_the_chunk_that_lies_last() -> None:
    assert measure(RUNS, SIZES, OFFSETS) == 5030


def test_offsets_of_64_bits_and_samples_of_one_size_are_read() -> None:
    offsets = box(b"co64", bytes(4) + struct.pack(">IQQ", 2, 1 << 33, 100))
    assert measure(RUNS, table(b"stsz", 7, 3), offsets) == (1 << 33) + 14


def test_chunks_whose_samples_have_no_size_end_where_they_begin() -> None:
    assert measure(OFFSETS) == 5000
    assert measure(RUNS, OFFSETS) == 5000


def test_tables_that_promise_more_than_they_hold_are_read_as_far_as_they_go() -> None:
    assert measure(RUNS, SIZES, table(b"stco", 0xFFFFFFFF, 100)) == 130
    assert measure(RUNS, table(b"stsz", 0, 0xFFFFFFFF, 10), table(b"stco", 1, 100)) == 110


def test_an_index_without_tables_or_cut_off_says_nothing() -> None:
    assert measure() == 0
    assert measure_samples(FileBytes(io.BytesIO(bytes(20))), Box(b"moov", 0, 8, 1 << 40)) == 0


@given(content=st.binary(max_size=200), runs=st.lists(st.integers(0, 2**32 - 1), max_size=9))
def test_any_tables_give_a_number(content: bytes, runs: list[int]) -> None:
    runs = runs[: len(runs) // 3 * 3]
    assert measure(table(b"stsc", len(runs) // 3, *runs), box(b"stsz", content), box(b"stco", content)) >= 0


# --- files ----------------------------------------------------------------------------------------

WAV = encode_with_soundfile(tone(1.0, 16000, hz=880), 16000, "WAV")


def encode_m4a(*, index_first: bool) -> bytes:
    noise = np.random.default_rng(0).normal(0, 0.01, (32_000, 1))
    whole = encode_with_av("ipod", "aac", (tone(2.0, 16000) * 0.5 + noise).astype(np.float32), 16000)
    if not index_first:
        return whole
    samples_at, index_at = whole.index(b"mdat") - 4, whole.index(b"moov") - 4
    index = bytearray(whole[index_at:])
    at = index.index(b"stco") + 8
    count = int.from_bytes(index[at : at + 4], "big")
    form = f">{count}I"
    moved = [offset + len(index) for offset in struct.unpack_from(form, index, at + 4)]
    struct.pack_into(form, index, at + 4, *moved)
    return whole[:samples_at] + index + whole[samples_at:index_at]


@pytest.mark.parametrize("index_first", [True, False])
@pytest.mark.parametrize("header", [bytes(8), b"\xff" * 8, b"\0\0\0\x10\1\2\3\4"])
def test_a_damaged_header_of_the_samples_costs_no_sample(header: bytes, index_first: bool) -> None:
    whole = encode_m4a(index_first=index_first)
    at = whole.index(b"mdat") - 4
    clip = load_audio(whole[:at] + header + whole[at + 8 :])
    np.testing.assert_array_equal(clip.samples, load_audio(whole).samples)
    (warning,) = clip.warnings
    assert warning.startswith("the header of the box mdat is damaged")


@pytest.mark.parametrize("size", [8, 500, 3000])
def test_samples_behind_a_box_that_is_too_small_are_those_of_the_index(size: int) -> None:
    whole = encode_m4a(index_first=True)
    at = whole.index(b"mdat") - 4
    clip = load_audio(whole[:at] + struct.pack(">I", size) + whole[at + 4 :] + WAV)
    np.testing.assert_array_equal(clip.samples[:-16000], load_audio(whole).samples)
    assert clip.warnings[0] == "the file holds 2 recordings (MP4, WAV), one behind the other; all were decoded"
    assert "mdat" in clip.warnings[1]


@pytest.mark.parametrize("is_random", [True, False])
def test_damage_from_the_header_of_the_samples_on_costs_only_what_it_hits(is_random: bool) -> None:
    whole = encode_m4a(index_first=True)
    at, size = whole.index(b"mdat") - 4, len(whole) // 10
    damage = np.random.default_rng(0).bytes(size) if is_random else bytes(size)
    clip = load_audio(whole[:at] + damage + whole[at + size :])
    assert clip.duration_s > 1.5
    assert "mdat" in clip.warnings[0]


def test_the_index_of_a_second_recording_counts_from_its_own_start() -> None:
    first, second = WAV, bytearray(encode_m4a(index_first=True))
    at = second.index(b"mdat") - 4
    second[at : at + 8] = bytes(8)
    (wav, m4a), notes, _ = find_parts(io.BytesIO(first + second))
    assert (wav.end, m4a.start, m4a.end) == (len(first), len(first), len(first) + len(second))
    assert len(notes) == 1
