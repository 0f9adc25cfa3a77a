"""The result of a transcription crosses from its worker as JSON."""

from __future__ import annotations

import json
from dataclasses import asdict

from neuron_whisper.bench.engines.results import TranscriptionResult


def test_what_an_engine_does_not_return_is_null_and_not_empty() -> None:
    data = json.loads(json.dumps(asdict(TranscriptionResult(text="a b", words=[]))))
    assert data == {"text": "a b", "tokens": None, "segments": None, "words": []}
    assert TranscriptionResult(**data) == TranscriptionResult(text="a b", words=[])
