"""SYSTRAN/faster-whisper as an engine under test: sequential, and its batched pipeline."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from neuron_whisper.bench.engines.config import EngineConfig
from neuron_whisper.bench.engines.engine import Samples
from neuron_whisper.bench.engines.results import TranscriptionResult

BATCH_SIZE = 8  # faster-whisper's default batch_size, and whisperX's


class FasterWhisper:
    """WhisperModel.transcribe: one segment after the other. The variant is its compute type."""

    is_serial = False

    def __init__(self, config: EngineConfig) -> None:
        from faster_whisper import WhisperModel

        self._model = WhisperModel(
            config.source,
            device="cpu",
            compute_type=config.variant,
            cpu_threads=config.threads,
            num_workers=config.workers,
            local_files_only=True,
        )
        self._decoding = config.decoding
        self._transcribe: Callable[..., Any] = self._model.transcribe
        self._extra_options: dict[str, Any] = {"condition_on_previous_text": config.decoding.condition_on_previous_text}

    def transcribe(self, samples: Samples, language: str | None) -> TranscriptionResult:
        decoding = self._decoding
        decoded, _ = self._transcribe(
            samples,
            language=language,
            task=decoding.task,
            beam_size=decoding.beam_size or 1,
            best_of=decoding.best_of,
            temperature=list(decoding.temperature),
            word_timestamps=decoding.word_timestamps,
            **self._extra_options,
        )
        segments = list(decoded)
        return TranscriptionResult(
            text="".join(segment.text for segment in segments).strip(),
            tokens=[token for segment in segments for token in segment.tokens],
            segments=[(float(segment.start), float(segment.end), segment.text) for segment in segments],
            words=[
                (float(word.start), float(word.end), word.word) for segment in segments for word in segment.words or ()
            ],
        )


class FasterWhisperBatched(FasterWhisper):
    """BatchedInferencePipeline: spans of voice activity in one batch."""

    def __init__(self, config: EngineConfig) -> None:
        from faster_whisper import BatchedInferencePipeline

        super().__init__(config)
        self._transcribe = BatchedInferencePipeline(model=self._model).transcribe
        self._extra_options = {"batch_size": BATCH_SIZE}
