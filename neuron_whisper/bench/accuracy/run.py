"""Measures systems in turns on the same clips, each in a worker process."""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from neuron_whisper.audio.load import load_audio
from neuron_whisper.bench.accuracy.manifest import ReferenceUtterance
from neuron_whisper.bench.engines.config import EngineConfig
from neuron_whisper.bench.engines.results import GraphTotal
from neuron_whisper.bench.process.client import WorkerClient
from neuron_whisper.errors import TargetUnavailable


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """A system under test. `facts` are reported as they are: artifact key, profile, versions."""

    name: str
    model: str
    config: EngineConfig
    python: str
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_ours(self) -> bool:
        return self.config.engine == "neuron-whisper"


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodedClip:
    """A recording decoded once to raw float32 in the file `samples`, so that every system gets the same input."""

    utterance: ReferenceUtterance
    samples: Path
    duration_s: float


@dataclass(slots=True)
class SystemResult:
    """The measurements of one system; `error` is why it ended early. Lists run over runs, then over clips.

    `graphs` are the calls of all runs of one clip after the other, by the kind of graph.
    """

    system: System
    is_serial: bool = False
    load_s: float = math.nan
    peak_bytes: int = 0
    texts: list[str] = field(default_factory=list)
    tokens: list[list[int] | None] = field(default_factory=list)
    seconds: list[list[float]] = field(default_factory=list)
    throughput: dict[int, list[float]] = field(default_factory=dict)
    texts_vary: bool = False
    graphs: dict[str, GraphTotal] = field(default_factory=dict)
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """A measurement. `streams`: numbers of concurrent clips; `detect_language`: ignore the manifest's languages.

    `one_at_a_time`: a system is loaded after the one before has ended, since both would not fit; without turns.
    """

    systems: Sequence[System]
    speech: Sequence[ReferenceUtterance]
    runs: int = 3
    streams: tuple[int, ...] = ()
    detect_language: bool = False
    one_at_a_time: bool = False
    log: Callable[[str], None] = lambda line: None

    def measure(self) -> tuple[list[DecodedClip], list[SystemResult]]:
        """Measure run by run, the systems taking turns and another one first each run, so that noise hits all equally.

        A system that fails is measured no further and has its `error` set. Raises InputError for a clip.
        """
        with tempfile.TemporaryDirectory() as scratch:
            clips = self._decode_clips(Path(scratch))
            results = [SystemResult(system) for system in self.systems]
            for group in [[result] for result in results] if self.one_at_a_time else [results]:
                with ExitStack() as stack:
                    self._measure_in_turns(group, clips, Path(scratch), stack)
        return clips, results

    def _measure_in_turns(
        self, results: Sequence[SystemResult], clips: Sequence[DecodedClip], scratch: Path, stack: ExitStack
    ) -> None:
        """Load all of `results`, and measure them."""
        workers: list[WorkerClient | None] = [self._start_worker(result, clips, scratch, stack) for result in results]
        for n, run in [(n, run) for n in (0, *self.streams) for run in range(self.runs)]:
            for turn in range(len(results)):
                at = (turn + run) % len(results)
                result, worker = results[at], workers[at]
                if worker is None:
                    continue
                try:
                    if n == 0:
                        self._run_sequentially(result, worker, clips, run)
                    else:
                        self._run_concurrently(result, worker, clips, n)
                except TargetUnavailable as error:
                    workers[at] = None
                    self._record_error(result, error)
        for result, worker in zip(results, workers, strict=True):
            if worker is not None:
                result.peak_bytes = worker.peak_memory_bytes()

    def _decode_clips(self, scratch: Path) -> list[DecodedClip]:
        clips = []
        for n, utterance in enumerate(self.speech):
            clip = load_audio(utterance.path, channel=utterance.channel)
            samples = scratch / f"{n}.f32"
            clip.samples.tofile(samples)
            clips.append(DecodedClip(utterance=utterance, samples=samples, duration_s=clip.duration_s))
        self.log(f"{len(clips)} clips, {sum(clip.duration_s for clip in clips):.0f} s of audio")
        return clips

    def _requested_language(self, clip: DecodedClip) -> str | None:
        return None if self.detect_language else clip.utterance.language

    def _start_worker(
        self, result: SystemResult, clips: Sequence[DecodedClip], scratch: Path, stack: ExitStack
    ) -> WorkerClient | None:
        """Workers start one after another, so that no start slows another; the first transcript warms the system up."""
        system = result.system
        threads = system.config.threads
        try:
            worker = stack.enter_context(WorkerClient(system.name, system.python, threads, scratch))
            result.is_serial = worker.open(system.config)
            worker.transcribe_text(clips[0].samples, self._requested_language(clips[0]))
        except TargetUnavailable as error:
            self._record_error(result, error)
            return None
        result.load_s = time.perf_counter() - worker.started_at
        self.log(f"{system.name}: ready in {result.load_s:.1f} s")
        return worker

    def _run_sequentially(
        self, result: SystemResult, worker: WorkerClient, clips: Sequence[DecodedClip], run: int
    ) -> None:
        before = worker.graph_totals()
        results = [worker.transcribe_text(clip.samples, self._requested_language(clip)) for clip in clips]
        for name, total in worker.graph_totals().items():
            result.graphs[name] = total.since(before.get(name)).plus(result.graphs.get(name))
        texts = [text for text, _, _ in results]
        if run == 0:
            result.texts, result.tokens = texts, [tokens for _, tokens, _ in results]
        result.texts_vary |= texts != result.texts
        result.seconds.append([took_s for _, _, took_s in results])
        self.log(f"{result.system.name}: run {run + 1} of {self.runs}: {sum(result.seconds[-1]):.1f} s")

    def _run_concurrently(
        self, result: SystemResult, worker: WorkerClient, clips: Sequence[DecodedClip], streams: int
    ) -> None:
        # each clip as often as it takes for every stream to have two
        times = math.ceil(2 * streams / len(clips))
        took_s = worker.run_concurrently(
            [(clip.samples, self._requested_language(clip)) for clip in clips] * times, streams
        )
        per_second = times * sum(clip.duration_s for clip in clips) / took_s
        result.throughput.setdefault(streams, []).append(per_second)
        self.log(f"{result.system.name}: {streams} at a time: {per_second:.1f} s of audio per second")

    def _record_error(self, result: SystemResult, error: TargetUnavailable) -> None:
        result.error = error.reason
        self.log(f"{result.system.name}: {error.reason}")
