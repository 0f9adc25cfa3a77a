"""Client of a worker process: starts it, sends requests, reads responses."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

import neuron_whisper
from neuron_whisper.bench.engines.config import EngineConfig
from neuron_whisper.bench.engines.results import GraphTotal, TranscriptionResult
from neuron_whisper.errors import TargetUnavailable

STDERR_TAIL_LINES = 3  # shown when a process ends without a response
STOP_TIMEOUT_S = 10.0


class WorkerClient:
    """A running worker; used by one thread. `started_at` is the start of its process, by time.perf_counter."""

    def __init__(self, name: str, python: str, threads: int, scratch: Path) -> None:
        self.name = name
        self._log = tempfile.TemporaryFile("w+", dir=scratch, errors="replace")  # noqa: SIM115 - closed in close()
        self.started_at = time.perf_counter()
        self._process = subprocess.Popen(  # noqa: S603 - this package, in a python that the user named
            [python, "-P", "-m", "neuron_whisper.bench.process.worker"],
            env=build_worker_environment(scratch, threads, python),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            encoding="utf-8",
        )
        self.pid = self._process.pid

    def open(self, config: EngineConfig) -> bool:
        """Open the engine; whether it takes one clip at a time. Raises TargetUnavailable, as every request does."""
        return bool(self._request({"do": "open", "config": asdict(config)})["is_serial"])

    def transcribe_text(self, clip: Path, language: str | None) -> tuple[str, list[int] | None, float]:
        """(text, tokens, seconds) of a file of raw float32 samples."""
        result, took_s = self.transcribe(clip, language)
        return result.text.strip(), result.tokens, took_s

    def transcribe(self, clip: Path, language: str | None) -> tuple[TranscriptionResult, float]:
        """(result, seconds) of a file of raw float32 samples."""
        response = self._request({"do": "transcribe", "clip": str(clip), "language": language})
        took_s = float(response.pop("took_s"))
        return TranscriptionResult(**response), took_s

    def run_concurrently(self, clips: Sequence[tuple[Path, str | None]], streams: int) -> float:
        """Seconds for all clips, `streams` at a time."""
        message = {"do": "run_concurrently", "clips": [(str(clip), language) for clip, language in clips]}
        return float(self._request({**message, "streams": streams})["took_s"])

    def graph_totals(self) -> dict[str, GraphTotal]:
        """By name; empty for an engine that does not know."""
        return {total["name"]: GraphTotal(**total) for total in self._request({"do": "graphs"})["graphs"]}

    def peak_memory_bytes(self) -> int:
        return int(self._request({"do": "usage"})["peak_bytes"])

    def cpu_s(self) -> float:
        """Processor time of all its threads so far."""
        return float(self._request({"do": "usage"})["cpu_s"])

    def _request(self, message: Mapping[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps(message) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise TargetUnavailable(self.name, self._describe_exit())
        response: dict[str, Any] = json.loads(line)
        if "error" in response:
            raise TargetUnavailable(self.name, f"{response['kind']}: {response['error']}")
        return response

    def _describe_exit(self) -> str:
        code = self._process.wait()
        self._log.seek(0)
        lines = [line.strip() for line in self._log if line.strip()]
        return f"its process ended with {code}: {' / '.join(lines[-STDERR_TAIL_LINES:]) or 'it printed nothing'}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
        self._log.close()


def build_worker_environment(scratch: Path, threads: int, python: str = sys.executable) -> dict[str, str]:
    """The environment in which `python -m neuron_whisper.bench...` runs this package with the given threads.

    Another python finds only this package through `scratch`, none of the packages installed next to it.
    """
    limits = {name: str(threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
    environment = {**os.environ, **limits} if threads else dict(os.environ)
    if python != sys.executable:
        link = scratch / "package" / "neuron_whisper"
        if not link.is_symlink():
            link.parent.mkdir(exist_ok=True)
            link.symlink_to(Path(neuron_whisper.__file__).parent)
        environment["PYTHONPATH"] = str(link.parent)
    # no downloads during a measurement
    environment |= {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "PYTHONUNBUFFERED": "1"}
    return environment
