"""NxDI's own Whisper as an engine under test: NeuronApplicationWhisper, driven by openai-whisper's transcribe.

Its three graphs take one window: the encoder, a prompt of the whole text context, and a step. Logits go to the host,
where openai-whisper chooses the token. Written against NxDI 0.9; example: NxDI's examples/generation_whisper.py.
"""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from neuron_whisper.bench.engines.config import EngineConfig
from neuron_whisper.bench.engines.engine import Samples
from neuron_whisper.bench.engines.nxdi_variants import parse_variant
from neuron_whisper.bench.engines.results import GraphTotal, TranscriptionResult
from neuron_whisper.target.neuron.runtime.core_allocation import reserve_cores

CONFIG_FILE = "config.json"


def compile_for_nxdi(source: Path, destination: Path, variant: str) -> None:
    """A Hugging Face directory -> compiled graphs, each rank's weights, and the configuration to open both.

    NxD works in BASE_COMPILE_WORK_DIR, which it empties, the compiler in the working directory: both are put beside
    `destination`.
    """
    source, destination = source.absolute(), destination.absolute()
    os.environ["BASE_COMPILE_WORK_DIR"] = f"{destination.parent / 'graphs'}/"
    os.chdir(destination.parent)
    _make_application(source, variant).compile(str(destination))
    shutil.copyfile(source / CONFIG_FILE, destination / CONFIG_FILE)


def _make_application(directory: Path, variant: str) -> Any:
    """NeuronApplicationWhisper of the configuration in `directory`, with sharded weights of its own once compiled."""
    import torch
    from neuronx_distributed_inference.models.config import NeuronConfig  # type: ignore[import-not-found] # no stubs
    from neuronx_distributed_inference.models.whisper.modeling_whisper import (  # type: ignore[import-not-found]
        NeuronApplicationWhisper,
        WhisperInferenceConfig,
    )
    from neuronx_distributed_inference.utils.hf_adapter import (  # type: ignore[import-not-found]
        load_pretrained_config,
    )

    dtype, tp = parse_variant(variant)
    neuron_config = NeuronConfig(
        batch_size=1, torch_dtype=getattr(torch, dtype), tp_degree=tp, save_sharded_checkpoint=True
    )
    config = WhisperInferenceConfig(neuron_config, load_config=load_pretrained_config(str(directory)))
    return NeuronApplicationWhisper(str(directory), config=config)


@dataclass(slots=True)
class _Total:
    calls: int = 0
    seconds: float = 0.0
    to_host_bytes: int = 0


class NxdiWhisper:
    """NeuronApplicationWhisper on compiled graphs. It has one K/V cache, hence one clip at a time."""

    is_serial = True

    def __init__(self, config: EngineConfig) -> None:
        _, tp = parse_variant(config.variant)
        reserve_cores(os.environ, tp)
        import torch

        torch.set_num_threads(config.threads)
        self._decoding = config.decoding
        self._model = _make_application(Path(config.source), config.variant)
        self._model.load(config.source)
        self._lock = threading.Lock()
        self._totals: dict[str, _Total] = defaultdict(_Total)
        dtype = self._model.config.neuron_config.torch_dtype
        self._time_calls(self._model.encoder, lambda mel: "encode", dtype.itemsize)
        # of every position a vocabulary, in float32
        self._time_calls(
            self._model.decoder,
            lambda tokens, *_: "prefill" if tokens.shape[-1] > 1 else "decode",
            torch.float32.itemsize,
        )

    def _time_calls(self, part: Any, name_graph: Callable[..., str], itemsize: int) -> None:
        """Time the calls of the encoder or decoder; each waits for its result, of `itemsize` bytes a value."""
        run = part.forward

        def forward(*inputs: Any) -> Any:
            started = time.perf_counter()
            output = run(*inputs)
            total = self._totals[name_graph(*inputs)]
            total.seconds += time.perf_counter() - started
            total.calls += 1
            total.to_host_bytes += output.numel() * itemsize
            return output

        part.forward = forward

    def graph_totals(self) -> list[GraphTotal]:
        return [
            GraphTotal(name=name, calls=it.calls, seconds=it.seconds, to_host_bytes=it.to_host_bytes)
            for name, it in self._totals.items()
        ]

    def transcribe(self, samples: Samples, language: str | None) -> TranscriptionResult:
        """best_of stays 1: the graphs take one sequence."""
        decoding = self._decoding
        with self._lock:
            result = self._model.transcribe(
                samples,
                language=language,
                task=decoding.task,
                temperature=decoding.temperature,
                best_of=None,
                fp16=False,  # of the spectrogram; decode sets it by the graphs' type
                condition_on_previous_text=decoding.condition_on_previous_text,
            )
        segments = result["segments"]
        return TranscriptionResult(
            text=str(result["text"]).strip(),
            tokens=[token for segment in segments for token in segment["tokens"]],
            segments=[(float(segment["start"]), float(segment["end"]), segment["text"]) for segment in segments],
        )
