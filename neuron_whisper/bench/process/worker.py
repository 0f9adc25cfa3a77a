"""One system in a process of its own, asked over stdin and answering over stdout: a JSON object in a line.

{"do": "open", ...Opening} -> {"is_serial"}    {"do": "hear", "clip", "language"} -> {"took_s", ...Heard}
{"do": "together", "clips", "streams"} -> {"took_s"}    {"do": "cost"} -> {"peak_bytes", "cpu_s"}
Whatever goes wrong is an answer {"error", "kind"}. It ends with its stdin.
"""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, TextIO

import numpy as np

from neuron_whisper.bench.engines.config import EngineConfig
from neuron_whisper.bench.engines.engines import Samples, WhisperEngine, open_engine, run_concurrently
from neuron_whisper.bench.process.memory import peak_memory_bytes


class Worker:
    """Answers one message after the other; it is used by one thread."""

    def __init__(self) -> None:
        self._engine: WhisperEngine | None = None

    def handle(self, message: Mapping[str, Any]) -> dict[str, Any]:
        match message["do"]:
            case "open":
                self._engine = open_engine(EngineConfig.from_data(message["opening"]))
                return {"is_serial": self._engine.is_serial}
            case "hear":
                return self._transcribe(_read_samples(message["clip"]), message["language"])
            case "together":
                clips = [(_read_samples(clip), language) for clip, language in message["clips"]]
                assert self._engine is not None
                started = time.perf_counter()
                run_concurrently(self._engine, clips, message["streams"])
                return {"took_s": time.perf_counter() - started}
            case _:
                return {"peak_bytes": peak_memory_bytes(), "cpu_s": time.process_time()}

    def _transcribe(self, samples: Samples, language: str | None) -> dict[str, Any]:
        assert self._engine is not None
        started = time.perf_counter()
        heard = self._engine.transcribe(samples, language)
        took_s = time.perf_counter() - started
        return {**asdict(heard), "took_s": took_s}


def _read_samples(path: str) -> Samples:
    return np.fromfile(path, np.float32)


def _reserve_stdout() -> TextIO:
    """The pipe of answers, for us alone: what libraries print goes to stderr."""
    kept = os.dup(1)
    os.dup2(2, 1)
    return os.fdopen(kept, "w", encoding="utf-8")


def main() -> None:
    answers = _reserve_stdout()
    worker = Worker()
    for line in sys.stdin:
        try:
            answer = worker.handle(json.loads(line))
        except Exception as error:
            traceback.print_exc()
            answer = {"error": f"{error}" or repr(error), "kind": type(error).__name__}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()
    os._exit(0)  # threads of libraries are not waited for


if __name__ == "__main__":
    main()
