"""check_tables: which check a file gets, and what it costs."""

from __future__ import annotations

import io

import pytest

from neuron_whisper.audio.tables.check import check_tables
from neuron_whisper.errors import AudioForged, AudioUnreadable
from tests.support.audio_files import encode_with_av, tone
from tests.support.forged_files import FORGED_MP4
from tests.support.paths import SPEECH


class CountingFile(io.BytesIO):
    """Counts the bytes that are read."""

    n_read = 0

    def read(self, size: int | None = -1, /) -> bytes:
        piece = super().read(size)
        self.n_read += len(piece)
        return piece


def test_the_error_names_the_file_and_the_table_and_is_one_of_unreadable_audio() -> None:
    with pytest.raises(AudioForged) as caught:
        check_tables(io.BytesIO(FORGED_MP4["trun"]()), "a.mp4")
    assert isinstance(caught.value, AudioUnreadable)
    assert caught.value.source == "a.mp4"
    assert caught.value.reason.startswith("its table trun promises 80,000,000 samples, more than 717 bytes can hold")


def test_the_file_is_at_its_start_again_and_its_samples_are_not_read() -> None:
    file = CountingFile(encode_with_av("ipod", "aac", tone(20.0, 16_000), 16_000))
    check_tables(file, "a.m4a")
    assert file.tell() == 0
    assert file.n_read < len(file.getvalue()) // 10


@pytest.mark.parametrize("content", [b"", b"ID3", b"RIFF", b"\0\0\0\0ftyp", b"\xff\xf1", b"FORM\0\0\0\0AIFF"])
def test_a_file_of_a_few_bytes_passes(content: bytes) -> None:
    check_tables(io.BytesIO(content), "a")


@pytest.mark.skipif(not SPEECH.is_dir(), reason="recordings absent: that every one of them passes is not proved")
def test_every_recording_passes() -> None:
    for path in sorted(SPEECH.iterdir()):
        with path.open("rb") as file:
            check_tables(file, path.name)
