"""How openvino_genai's pipeline is opened and called."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from neuron_whisper.bench.engines.openvino_genai import OpenVINOGenAI
from tests.support.peer_stubs import Recorder, engine_config, install

SILENCE = np.zeros(16_000, np.float32)


def test_a_multilingual_model_gets_a_language_token_and_an_english_one_neither(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pipeline = Recorder(generate=SimpleNamespace(texts=[" one two "]))
    install(monkeypatch, "openvino_genai", WhisperPipeline=pipeline)
    result = OpenVINOGenAI(engine_config("openvino-genai", "float32", beam_size=5)).transcribe(SILENCE, "de")
    assert result.text == "one two"
    assert pipeline.calls["open"] == (
        ("weights", "CPU"),
        {"INFERENCE_NUM_THREADS": 3, "INFERENCE_PRECISION_HINT": "f32"},
    )
    options = {"return_timestamps": True, "num_beams": 5, "task": "transcribe", "language": "<|de|>"}
    assert pipeline.calls["generate"][1] == options
    OpenVINOGenAI(engine_config("openvino-genai", "default", is_multilingual=False)).transcribe(SILENCE, "en")
    assert pipeline.calls["generate"][1] == {"return_timestamps": True}
