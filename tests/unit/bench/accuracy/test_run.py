"""A measurement over real worker processes: turns, texts that vary, and a system that fails."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from neuron_whisper.bench.accuracy.manifest import ReferenceUtterance
from neuron_whisper.bench.accuracy.run import Measurement, System
from neuron_whisper.errors import InputError
from tests.support.manifests import write_speech
from tests.support.peer_stubs import engine_config


def utterance(path: Path) -> ReferenceUtterance:
    return ReferenceUtterance(path=path, language="en", text="one")


def test_a_system_that_does_not_open_has_an_error_and_the_clips_are_decoded(tmp_path: Path) -> None:
    lines: list[str] = []
    system = System(name="peer", model="tiny", config=engine_config("whisper.cpp", "f16"), python="/bin/false")
    speech = [utterance(write_speech(tmp_path) / "a.wav")]
    clips, [result] = Measurement(systems=[system], speech=speech, runs=1, log=lines.append).measure()
    assert [clip.duration_s for clip in clips] == [1.0]
    assert result.error.startswith("its process ended with 1")
    assert result.seconds == []
    assert lines[0] == "1 clips, 1 s of audio"
    assert not system.is_ours


def test_a_clip_that_cannot_be_read_ends_the_measurement_before_a_worker_starts(tmp_path: Path) -> None:
    system = System(name="ours", model="tiny", config=engine_config("neuron-whisper", "auto"), python=sys.executable)
    with pytest.raises(InputError):
        Measurement(systems=[system], speech=[utterance(tmp_path / "none.wav")]).measure()
