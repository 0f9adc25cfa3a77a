"""Whisper engines behind one face: ours and the peers, each imported when it is opened, in a process of its own.

Only the standard library and numpy are imported on the way here, so that a peer's own python can run it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from neuron_whisper.bench.engines.config import EngineConfig
from neuron_whisper.bench.engines.results import TranscriptionResult

Samples = NDArray[np.float32]  # mono, 16 kHz
BATCH_SIZE = 8  # faster-whisper's batch_size and whisperX's


class WhisperEngine(Protocol):
    is_serial: bool  # it takes one clip at a time; more wait

    def transcribe(self, samples: Samples, language: str | None) -> TranscriptionResult: ...


def open_engine(config: EngineConfig) -> WhisperEngine:
    """Raises ImportError where the package is not installed, and whatever the package raises."""
    return ENGINES[config.engine](config)


class NeuronWhisper:
    """This package, on an artifact. The variant is the plan for long audio."""

    is_serial = False

    def __init__(self, config: EngineConfig) -> None:
        from neuron_whisper.artifact.store import ArtifactStore
        from neuron_whisper.transcriber import Transcriber

        store = ArtifactStore(Path(config.cache))
        artifact = store.resolve(config.source)
        self._transcriber = Transcriber.open(store, artifact, threads=config.threads)
        self._config = config

    def transcribe(self, samples: Samples, language: str | None) -> TranscriptionResult:
        from neuron_whisper.audio.clip import AudioClip
        from neuron_whisper.decode.options import TranscribeOptions

        asked = self._config.decoding
        options = TranscribeOptions(
            language=language,
            task=asked.task,
            beam_size=asked.beam_size,
            temperature=asked.temperature,
            best_of=asked.best_of,
            condition_on_previous_text=asked.condition_on_previous_text,
            long_form=self._config.variant,
            vad_filter=asked.extras,
            repetition_cut=asked.extras,
            word_timestamps=asked.word_timestamps,
        )
        found = self._transcriber.transcribe(AudioClip(samples=samples), options)
        return TranscriptionResult(
            text=found.text,
            tokens=[token for segment in found.segments for token in segment.tokens],
            segments=[(it.start_s, it.end_s, it.text) for it in found.segments],
            words=[(word.start_s, word.end_s, word.text) for it in found.segments for word in it.words],
        )


class FasterWhisper:
    """SYSTRAN/faster-whisper, one segment after the other."""

    is_serial = False

    def __init__(self, config: EngineConfig) -> None:
        from faster_whisper import WhisperModel

        self._model = WhisperModel(
            config.source,
            device="cpu",
            compute_type=config.variant,
            cpu_threads=config.threads,
            num_workers=1,
            local_files_only=True,
        )
        self._decoding = config.decoding
        self._transcribe: Callable[..., Any] = self._model.transcribe
        self._extra_options: dict[str, Any] = {"condition_on_previous_text": self._decoding.condition_on_previous_text}

    def transcribe(self, samples: Samples, language: str | None) -> TranscriptionResult:
        asked = self._decoding
        segments, _ = self._transcribe(
            samples,
            language=language,
            task=asked.task,
            beam_size=asked.beam_size or 1,
            best_of=asked.best_of,
            temperature=list(asked.temperature),
            word_timestamps=asked.word_timestamps,
            **self._extra_options,
        )
        found = list(segments)
        return TranscriptionResult(
            text="".join(segment.text for segment in found).strip(),
            tokens=[token for segment in found for token in segment.tokens],
            segments=[(float(it.start), float(it.end), it.text) for it in found],
            words=[(float(word.start), float(word.end), word.word) for it in found for word in it.words or ()],
        )


class FasterWhisperBatched(FasterWhisper):
    """Its BatchedInferencePipeline: spans of voice activity, side by side."""

    def __init__(self, config: EngineConfig) -> None:
        from faster_whisper import BatchedInferencePipeline

        super().__init__(config)
        self._transcribe = BatchedInferencePipeline(model=self._model).transcribe
        self._extra_options = {"batch_size": BATCH_SIZE}


class OpenAIWhisper:
    """openai/whisper in float32. Its K/V cache hangs on the model's modules: one clip at a time."""

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
        asked = self._decoding
        with self._lock:
            answer = self._transcribe(
                self._model,
                samples,
                language=language,
                task=asked.task,
                beam_size=asked.beam_size,
                best_of=asked.best_of,
                temperature=asked.temperature,
                fp16=False,
                condition_on_previous_text=asked.condition_on_previous_text,
                word_timestamps=asked.word_timestamps,
            )
        found = answer["segments"]
        return TranscriptionResult(
            text=str(answer["text"]).strip(),
            tokens=[token for segment in found for token in segment["tokens"]],
            segments=[(float(it["start"]), float(it["end"]), it["text"]) for it in found],
            words=[(float(w["start"]), float(w["end"]), w["word"]) for it in found for w in it.get("words", ())],
        )


class OpenVINOGenAI:
    """openvino_genai's WhisperPipeline, which has no temperature ladder and no gates."""

    is_serial = True

    def __init__(self, config: EngineConfig) -> None:
        import openvino_genai

        settings: dict[str, Any] = {"INFERENCE_NUM_THREADS": config.threads}
        if config.variant == "float32":
            settings["INFERENCE_PRECISION_HINT"] = "f32"
        self._pipeline = openvino_genai.WhisperPipeline(config.source, "CPU", **settings)
        self._decoding, self._is_multilingual = config.decoding, config.is_multilingual
        self._lock = threading.Lock()

    def transcribe(self, samples: Samples, language: str | None) -> TranscriptionResult:
        told: dict[str, Any] = {"num_beams": self._decoding.beam_size} if (self._decoding.beam_size or 1) > 1 else {}
        if self._is_multilingual:
            told["task"] = self._decoding.task
            if language is not None:
                told["language"] = f"<|{language}|>"
        with self._lock:
            answer = self._pipeline.generate(samples, return_timestamps=True, **told)
        return TranscriptionResult(text=str(answer.texts[0]).strip())


class WhisperCpp:
    """ggml-org/whisper.cpp through pywhispercpp. A context takes one clip at a time."""

    is_serial = True

    def __init__(self, config: EngineConfig) -> None:
        from pywhispercpp.model import Model

        asked = config.decoding
        ladder = asked.temperature
        self._model = Model(
            config.source,
            redirect_whispercpp_logs_to=None,
            params_sampling_strategy=int(bool(asked.beam_size)),
            n_threads=config.threads,
            print_progress=False,
            print_timestamps=False,
            print_realtime=False,
            # as openai/whisper does by default; whisper.cpp does not
            suppress_nst=True,
            translate=asked.task == "translate",
            greedy={"best_of": asked.best_of},
            beam_search={"beam_size": asked.beam_size or -1, "patience": -1.0},
            temperature=ladder[0],
            temperature_inc=ladder[1] - ladder[0] if len(ladder) > 1 else 0.0,
            # no_context forgets the clip before; n_max_text_ctx 0 forgets the window before, too
            no_context=True,
            n_max_text_ctx=16384 if asked.condition_on_previous_text else 0,
        )
        self._is_multilingual = config.is_multilingual
        self._lock = threading.Lock()

    def transcribe(self, samples: Samples, language: str | None) -> TranscriptionResult:
        told = (language or "auto") if self._is_multilingual else "en"
        with self._lock:
            segments = self._model.transcribe(samples, language=told)
        return TranscriptionResult(text=" ".join(segment.text.strip() for segment in segments).strip())


ENGINES: Mapping[str, Callable[[EngineConfig], WhisperEngine]] = {
    "neuron-whisper": NeuronWhisper,
    "faster-whisper": FasterWhisper,
    "faster-whisper-batched": FasterWhisperBatched,
    "openai-whisper": OpenAIWhisper,
    "openvino-genai": OpenVINOGenAI,
    "whisper.cpp": WhisperCpp,
}


def run_concurrently(engine: WhisperEngine, clips: Sequence[tuple[Samples, str | None]], streams: int) -> None:
    """All clips, by `streams` threads which share the engine. Raises what the first of them raised."""
    waiting = list(reversed(clips))
    faults: list[BaseException] = []

    def work() -> None:
        while waiting and not faults:
            try:
                samples, language = waiting.pop()
            except IndexError:  # another thread took the last one
                return
            try:
                engine.transcribe(samples, language)
            except Exception as error:
                faults.append(error)

    threads = [threading.Thread(target=work, name=f"stream {n}") for n in range(streams)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if faults:
        raise faults[0]
