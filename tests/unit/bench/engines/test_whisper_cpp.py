"""How pywhispercpp is opened and called."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from neuron_whisper.bench.engines.whisper_cpp import WhisperCpp
from tests.support.peer_stubs import Recorder, engine_config, install

SILENCE = np.zeros(16_000, np.float32)


def test_the_options_are_whisper_cpps_own(monkeypatch: pytest.MonkeyPatch) -> None:
    model = Recorder(transcribe=[SimpleNamespace(text=" one"), SimpleNamespace(text=" two")])
    install(monkeypatch, "pywhispercpp.model", Model=model)
    engine = WhisperCpp(engine_config("whisper.cpp", "f16", beam_size=5, condition_on_previous_text=False))
    assert engine.transcribe(SILENCE, None).text == "one two"
    assert model.calls["transcribe"][1] == {"language": "auto"}
    _, options = model.calls["open"]
    assert (options["params_sampling_strategy"], options["beam_search"]["beam_size"]) == (1, 5)
    assert (options["temperature"], options["temperature_inc"]) == (0.0, 0.2)
    assert (options["n_max_text_ctx"], options["n_threads"]) == (0, 3)


def test_one_temperature_has_no_increment_and_an_english_model_no_detection(monkeypatch: pytest.MonkeyPatch) -> None:
    model = Recorder(transcribe=[])
    install(monkeypatch, "pywhispercpp.model", Model=model)
    config = engine_config("whisper.cpp", "f16", is_multilingual=False, temperature=(0.0,))
    assert WhisperCpp(config).transcribe(SILENCE, None).text == ""
    assert model.calls["open"][1]["temperature_inc"] == 0.0
    assert model.calls["transcribe"][1] == {"language": "en"}
