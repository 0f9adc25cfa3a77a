"""Opens the engine that a configuration names."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from neuron_whisper.bench.engines.config import EngineConfig
from neuron_whisper.bench.engines.engine import WhisperEngine
from neuron_whisper.bench.engines.faster_whisper import FasterWhisper, FasterWhisperBatched
from neuron_whisper.bench.engines.neuron_whisper import NeuronWhisper
from neuron_whisper.bench.engines.nxdi_whisper import NxdiWhisper
from neuron_whisper.bench.engines.openai_whisper import OpenAIWhisper
from neuron_whisper.bench.engines.openvino_genai import OpenVINOGenAI
from neuron_whisper.bench.engines.whisper_cpp import WhisperCpp

ENGINES: Mapping[str, Callable[[EngineConfig], WhisperEngine]] = {
    "neuron-whisper": NeuronWhisper,
    "faster-whisper": FasterWhisper,
    "faster-whisper-batched": FasterWhisperBatched,
    "nxdi-whisper": NxdiWhisper,
    "openai-whisper": OpenAIWhisper,
    "openvino-genai": OpenVINOGenAI,
    "whisper.cpp": WhisperCpp,
}


def open_engine(config: EngineConfig) -> WhisperEngine:
    """The engine, its weights loaded. Raises ImportError where its package is missing, and what the package raises."""
    return ENGINES[config.engine](config)
