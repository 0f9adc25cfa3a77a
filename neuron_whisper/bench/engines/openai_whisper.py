"""openai/whisper as an engine under test, in float32."""

from __future__ import annotations

import threading

from neuron_whisper.bench.engines.config import EngineConfig
from neuron_whisper.bench.engines.engine import Samples
from neuron_whisper.bench.engines.results import TranscriptionResult


class OpenAIWhisper:
    """whisper.transcribe. Its K/V cache hangs on the model's modules, hence one clip at a time."""

    is_serial = True

    def __init__(self, config: EngineConfig) -> None:
        import torch
        import whisper

        torch.set_num_threads(config.threads)
        self._transcribe = whisper.transcribe
        self._model = whisper.load_model(config.source, device="cpu")
        if config.alignment_heads:  # of weights loaded by their path it takes every head of the decoder's upper half
            dims = self._model.dims
            heads = torch.zeros(dims.n_text_layer, dims.n_text_head, dtype=torch.bool)
            heads[tuple(zip(*config.alignment_heads, strict=True))] = True
            self._model.register_buffer("alignment_heads", heads.to_sparse(), persistent=False)
        self._decoding = config.decoding
        self._lock = threading.Lock()

    def transcribe(self, samples: Samples, language: str | None) -> TranscriptionResult:
        decoding = self._decoding
        with self._lock:
            result = self._transcribe(
                self._model,
                samples,
                language=language,
                task=decoding.task,
                beam_size=decoding.beam_size,
                best_of=decoding.best_of,
                temperature=decoding.temperature,
                fp16=False,
                condition_on_previous_text=decoding.condition_on_previous_text,
                word_timestamps=decoding.word_timestamps,
            )
        segments = result["segments"]
        return TranscriptionResult(
            text=str(result["text"]).strip(),
            tokens=[token for segment in segments for token in segment["tokens"]],
            segments=[(float(segment["start"]), float(segment["end"]), segment["text"]) for segment in segments],
            words=[
                (float(word["start"]), float(word["end"]), word["word"])
                for segment in segments
                for word in segment.get("words", ())
            ],
        )
