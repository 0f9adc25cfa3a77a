"""How faster-whisper is opened and called, and what is read of its segments."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from neuron_whisper.bench.engines.faster_whisper import FasterWhisper, FasterWhisperBatched
from tests.support.peer_stubs import Recorder, engine_config, install

WORD = SimpleNamespace(start=0.0, end=0.4, word=" one")
SEGMENTS = [
    SimpleNamespace(start=0, end=1, text=" one", tokens=[5, 6], words=[WORD]),
    SimpleNamespace(start=1, end=2, text=" two", tokens=[7], words=None),
]
SILENCE = np.zeros(16_000, np.float32)


def test_sequential_gets_the_options_by_openais_names(monkeypatch: pytest.MonkeyPatch) -> None:
    model = Recorder(transcribe=(iter(SEGMENTS), None))
    install(monkeypatch, "faster_whisper", WhisperModel=model)
    config = engine_config("faster-whisper", "int8", condition_on_previous_text=False, word_timestamps=True)
    result = FasterWhisper(config).transcribe(SILENCE, "de")
    _, opened = model.calls["open"]
    assert (opened["compute_type"], opened["cpu_threads"], opened["local_files_only"]) == ("int8", 3, True)
    _, options = model.calls["transcribe"]
    assert (options["language"], options["beam_size"], options["condition_on_previous_text"]) == ("de", 1, False)
    assert options["temperature"] == [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    assert (result.text, result.tokens) == ("one two", [5, 6, 7])
    assert result.segments == [(0.0, 1.0, " one"), (1.0, 2.0, " two")]
    assert result.words == [(0.0, 0.4, " one")]


def test_batched_gets_a_batch_size_in_place_of_conditioning(monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline = Recorder(transcribe=(iter(SEGMENTS), None))
    install(
        monkeypatch,
        "faster_whisper",
        WhisperModel=Recorder(transcribe=None),
        BatchedInferencePipeline=pipeline,
    )
    FasterWhisperBatched(engine_config("faster-whisper-batched", "int8", beam_size=5)).transcribe(SILENCE, None)
    _, options = pipeline.calls["transcribe"]
    assert (options["batch_size"], options["beam_size"]) == (8, 5)
    assert "condition_on_previous_text" not in options


def test_clips_at_once_are_its_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    model = Recorder(transcribe=None)
    install(monkeypatch, "faster_whisper", WhisperModel=model)
    FasterWhisper(replace(engine_config("faster-whisper", "int8"), threads=1, workers=4))
    opened = model.calls["open"][1]
    assert (opened["cpu_threads"], opened["num_workers"]) == (1, 4)
