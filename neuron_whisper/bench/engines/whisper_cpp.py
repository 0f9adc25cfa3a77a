"""ggml-org/whisper.cpp as an engine under test, through pywhispercpp."""

from __future__ import annotations

import threading

from neuron_whisper.bench.engines.config import EngineConfig
from neuron_whisper.bench.engines.engine import Samples
from neuron_whisper.bench.engines.results import TranscriptionResult


class WhisperCpp:
    """pywhispercpp's Model. A context takes one clip at a time."""

    is_serial = True

    def __init__(self, config: EngineConfig) -> None:
        from pywhispercpp.model import Model

        decoding = config.decoding
        temperature = decoding.temperature
        self._model = Model(
            config.source,
            redirect_whispercpp_logs_to=None,
            params_sampling_strategy=int(bool(decoding.beam_size)),
            n_threads=config.threads,
            print_progress=False,
            print_timestamps=False,
            print_realtime=False,
            # as openai/whisper does by default; whisper.cpp does not
            suppress_nst=True,
            translate=decoding.task == "translate",
            greedy={"best_of": decoding.best_of},
            beam_search={"beam_size": decoding.beam_size or -1, "patience": -1.0},
            temperature=temperature[0],
            temperature_inc=temperature[1] - temperature[0] if len(temperature) > 1 else 0.0,
            # no_context forgets the clip before; n_max_text_ctx 0 forgets the window before, too
            no_context=True,
            n_max_text_ctx=16384 if decoding.condition_on_previous_text else 0,
        )
        self._is_multilingual = config.is_multilingual
        self._lock = threading.Lock()

    def transcribe(self, samples: Samples, language: str | None) -> TranscriptionResult:
        code = (language or "auto") if self._is_multilingual else "en"
        with self._lock:
            segments = self._model.transcribe(samples, language=code)
        return TranscriptionResult(text=" ".join(segment.text.strip() for segment in segments).strip())
