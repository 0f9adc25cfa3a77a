"""openvino_genai's WhisperPipeline as an engine under test."""

from __future__ import annotations

import threading
from typing import Any

from neuron_whisper.bench.engines.config import EngineConfig
from neuron_whisper.bench.engines.engine import Samples
from neuron_whisper.bench.engines.results import TranscriptionResult


class OpenVINOGenAI:
    """WhisperPipeline, which has no temperature fallback.

    The variant float32 sets its inference precision, int8 is that of its weights.
    """

    is_serial = True

    def __init__(self, config: EngineConfig) -> None:
        import openvino_genai

        properties: dict[str, Any] = {"INFERENCE_NUM_THREADS": config.threads}
        if config.variant == "float32":
            properties["INFERENCE_PRECISION_HINT"] = "f32"
        self._pipeline = openvino_genai.WhisperPipeline(config.source, "CPU", **properties)
        self._decoding, self._is_multilingual = config.decoding, config.is_multilingual
        self._lock = threading.Lock()

    def transcribe(self, samples: Samples, language: str | None) -> TranscriptionResult:
        beam_size = self._decoding.beam_size or 1
        options: dict[str, Any] = {"num_beams": beam_size} if beam_size > 1 else {}
        if self._is_multilingual:
            options["task"] = self._decoding.task
            if language is not None:
                options["language"] = f"<|{language}|>"
        with self._lock:
            result = self._pipeline.generate(samples, return_timestamps=True, **options)
        return TranscriptionResult(text=str(result.texts[0]).strip())
