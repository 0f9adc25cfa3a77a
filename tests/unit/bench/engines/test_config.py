"""The configuration of an engine crosses to its worker as JSON."""

from __future__ import annotations

import json
from dataclasses import asdict

from neuron_whisper.bench.engines.config import DecodingConfig, EngineConfig


def test_a_config_is_the_same_after_json() -> None:
    config = EngineConfig(
        engine="openai-whisper",
        variant="float32",
        source="model.pt",
        threads=2,
        decoding=DecodingConfig(beam_size=5, temperature=(0.0, 0.4), word_timestamps=True),
        is_multilingual=False,
        alignment_heads=((1, 0), (3, 5)),
        workers=2,
    )
    assert EngineConfig.from_data(json.loads(json.dumps(asdict(config)))) == config
