"""AudioReader: what was begun ahead is the same clip, and the same error."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest

from neuron_whisper.audio.load import load_audio
from neuron_whisper.audio.read_ahead import AudioReader
from neuron_whisper.errors import AudioUnreadable
from tests.support.servers import tone


@pytest.fixture
def wav(tmp_path: Path) -> str:
    path = tmp_path / "tone.wav"
    path.write_bytes(tone(300, 0.5))
    return str(path)


@pytest.mark.parametrize("times_begun", [0, 1, 2])
def test_a_file_is_the_same_clip_whether_it_was_begun_or_not(wav: str, times_begun: int) -> None:
    reader = AudioReader(channel=0)
    for _ in range(times_begun):
        reader.begin(wav)
    expected = load_audio(wav, channel=0)
    for _ in range(2):  # a file may be named twice
        clip = reader.read(wav)
        np.testing.assert_array_equal(clip.samples, expected.samples)
        assert clip.source == expected.source


@pytest.mark.parametrize("content", [None, b"", b"no audio"])
def test_a_file_that_cannot_be_read_is_an_error_when_it_is_asked_for(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "a.wav"
    if content is not None:
        path.write_bytes(content)
    reader = AudioReader()
    reader.begin(str(path))
    with pytest.raises(AudioUnreadable, match=r"a\.wav"):
        reader.read(str(path))


def test_a_file_that_is_read_ahead_does_not_keep_the_process_from_ending(
    wav: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_asked = threading.Event()
    monkeypatch.setattr(AudioReader, "_read", lambda self, file: is_asked.wait(10))
    AudioReader().begin(wav)
    assert [thread.daemon for thread in threading.enumerate() if thread.name == "read ahead"] == [True]
    is_asked.set()
