"""A worker process: one engine, requests on stdin and responses on stdout, a JSON object a line.

{"do": "open", "config": EngineConfig} -> {"is_serial"}
{"do": "transcribe", "clip", "language"} -> {"took_s", ...TranscriptionResult}
{"do": "run_concurrently", "clips", "streams"} -> {"took_s"}
{"do": "graphs"} -> {"graphs": [GraphTotal, ...]}, empty where the engine does not know them
{"do": "usage"} -> {"peak_bytes", "cpu_s"}
Any error is the response {"error", "kind"}. The process ends with its stdin.
"""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any, TextIO

import numpy as np

from neuron_whisper.bench.engines.config import EngineConfig
from neuron_whisper.bench.engines.engine import Samples, WhisperEngine, run_concurrently
from neuron_whisper.bench.engines.registry import open_engine
from neuron_whisper.bench.engines.results import GraphTotal
from neuron_whisper.bench.process.memory import peak_memory_bytes


class Worker:
    """Handles one request after another; used by one thread."""

    def __init__(self) -> None:
        self._engine: WhisperEngine | None = None

    def handle(self, message: Mapping[str, Any]) -> dict[str, Any]:
        match message["do"]:
            case "open":
                self._engine = open_engine(EngineConfig.from_data(message["config"]))
                return {"is_serial": self._engine.is_serial}
            case "transcribe":
                return self._transcribe(_read_samples(message["clip"]), message["language"])
            case "run_concurrently":
                clips = [(_read_samples(clip), language) for clip, language in message["clips"]]
                assert self._engine is not None
                started = time.perf_counter()
                run_concurrently(self._engine, clips, message["streams"])
                return {"took_s": time.perf_counter() - started}
            case "graphs":
                read_totals: Callable[[], list[GraphTotal]] = getattr(self._engine, "graph_totals", list)
                return {"graphs": [asdict(total) for total in read_totals()]}
            case _:
                return {"peak_bytes": peak_memory_bytes(), "cpu_s": time.process_time()}

    def _transcribe(self, samples: Samples, language: str | None) -> dict[str, Any]:
        assert self._engine is not None
        started = time.perf_counter()
        result = self._engine.transcribe(samples, language)
        took_s = time.perf_counter() - started
        return {**asdict(result), "took_s": took_s}


def _read_samples(path: str) -> Samples:
    return np.fromfile(path, np.float32)


def _reserve_stdout() -> TextIO:
    """The pipe of responses; what libraries print to stdout goes to stderr."""
    pipe = os.dup(1)
    os.dup2(2, 1)
    return os.fdopen(pipe, "w", encoding="utf-8")


def main() -> None:
    responses = _reserve_stdout()
    worker = Worker()
    for line in sys.stdin:
        try:
            response = worker.handle(json.loads(line))
        except Exception as error:
            traceback.print_exc()
            response = {"error": f"{error}" or repr(error), "kind": type(error).__name__}
        responses.write(json.dumps(response) + "\n")
        responses.flush()
    os._exit(0)  # threads of libraries are not waited for


if __name__ == "__main__":
    main()
