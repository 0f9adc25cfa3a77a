"""Results of `bench`, and a report of it as far as cards of artifacts read it."""

from __future__ import annotations

import sys
from typing import Any

from neuron_whisper.bench.accuracy.run import System, SystemResult
from neuron_whisper.bench.engines.config import DecodingConfig, EngineConfig


def make_report(artifact_key: str) -> dict[str, Any]:
    """An artifact of ours and a peer, on eight clips."""
    rates = {"substitutions": 1, "deletions": 0, "insertions": 0, "reference": 30}
    system = {
        "name": "neuron-whisper base",
        "model": "base",
        "variant": "auto",
        "threads": 4,
        "wer": {"rate": 0.0321, **rates},
        "cer": {"rate": 0.012, **rates},
        "rtf": 0.123,
        "clips": [{"text": "secret words"}],
    }
    return {
        "format": 1,
        "date": "2026-11-27T12:00:00+00:00",
        "machine": {"processor": "A CPU"},
        "speech": {"clips": 8, "audio_s": 120.0, "languages": ["en"]},
        "clips": [{"name": "a.wav", "reference": "secret words"}],
        "systems": [{**system, "artifact_key": artifact_key}, {**system, "name": "faster-whisper base"}],
    }


def make_result(
    engine: str, texts: list[str], seconds: list[list[float]], *, label: str = "tiny", **more: Any
) -> SystemResult:
    """A system "ENGINE LABEL" on the model tiny; its tokens are the numbers of the clips."""
    config = EngineConfig(engine=engine, variant="auto", source="", threads=2, decoding=DecodingConfig())
    facts = {"artifact_key": "0123456789abcdef0123"} if engine == "neuron-whisper" else {"note": "as it is"}
    system = System(name=f"{engine} {label}", model="tiny", config=config, python=sys.executable, facts=facts)
    tokens: list[list[int] | None] = [[n] for n in range(len(texts))]
    return SystemResult(system, load_s=1.5, peak_bytes=300_000_000, texts=texts, tokens=tokens, seconds=seconds, **more)
