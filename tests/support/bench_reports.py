"""A report of `bench --json` as far as cards of artifacts read it."""

from __future__ import annotations

from typing import Any


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
