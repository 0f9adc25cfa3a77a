"""The measurement: systems side by side, in turns, on the same clips."""

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
from neuron_whisper.bench.process.client import WorkerClient
from neuron_whisper.errors import TargetUnavailable


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """What is measured. `facts` are reported as they are: artifact key, profile, versions."""

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
    """A recording decoded once, as raw float32 in `samples`, so that every system hears the same."""

    utterance: ReferenceUtterance
    samples: Path
    duration_s: float


@dataclass(slots=True)
class SystemResult:
    """What came of one system; `error` says why it ended early. Lists run over runs, then over clips."""

    system: System
    is_serial: bool = False
    load_s: float = math.nan
    peak_bytes: int = 0
    texts: list[str] = field(default_factory=list)
    tokens: list[list[int] | None] = field(default_factory=list)
    seconds: list[list[float]] = field(default_factory=list)
    throughput: dict[int, list[float]] = field(default_factory=dict)
    texts_vary: bool = False
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """`streams`: how many clips at once, for each throughput that is wanted. `detect_language`: no language is told."""

    systems: Sequence[System]
    speech: Sequence[ReferenceUtterance]
    runs: int = 3
    streams: tuple[int, ...] = ()
    detect_language: bool = False
    log: Callable[[str], None] = lambda line: None

    def measure(self) -> tuple[list[DecodedClip], list[SystemResult]]:
        """Run by run, in each the systems in turn, another one first each time: noise of the machine hits them alike.

        A system that fails is left where it is and told in `error`. Raises InputError for a clip.
        """
        with ExitStack() as stack:
            scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            clips = self._decode_clips(scratch)
            results = [SystemResult(system) for system in self.systems]
            children: list[WorkerClient | None] = [
                self._start_worker(result, clips, scratch, stack) for result in results
            ]
            for n, run in [(n, run) for n in (0, *self.streams) for run in range(self.runs)]:
                for turn in range(len(results)):
                    at = (turn + run) % len(results)
                    result, child = results[at], children[at]
                    if child is None:
                        continue
                    try:
                        if n == 0:
                            self._run_sequentially(result, child, clips, run)
                        else:
                            self._run_concurrently(result, child, clips, n)
                    except TargetUnavailable as error:
                        children[at] = None
                        self._record_error(result, error)
            for result, child in zip(results, children, strict=True):
                if child is not None:
                    result.peak_bytes = child.peak_memory_bytes()
        return clips, results

    def _decode_clips(self, scratch: Path) -> list[DecodedClip]:
        clips = []
        for n, spoken in enumerate(self.speech):
            clip = load_audio(spoken.path, channel=spoken.channel)
            samples = scratch / f"{n}.f32"
            clip.samples.tofile(samples)
            clips.append(DecodedClip(utterance=spoken, samples=samples, duration_s=clip.duration_s))
        self.log(f"{len(clips)} clips, {sum(clip.duration_s for clip in clips):.0f} s of audio")
        return clips

    def _requested_language(self, clip: DecodedClip) -> str | None:
        return None if self.detect_language else clip.utterance.language

    def _start_worker(
        self, result: SystemResult, clips: Sequence[DecodedClip], scratch: Path, stack: ExitStack
    ) -> WorkerClient | None:
        """One after the other, so that no start slows another's; the first transcript warms the system up, too."""
        system = result.system
        threads = system.config.threads
        try:
            child = stack.enter_context(WorkerClient(system.name, system.python, threads, scratch))
            result.is_serial = child.open(system.config)
            child.transcribe_text(clips[0].samples, self._requested_language(clips[0]))
        except TargetUnavailable as error:
            self._record_error(result, error)
            return None
        result.load_s = time.perf_counter() - child.started_at
        self.log(f"{system.name}: ready in {result.load_s:.1f} s")
        return child

    def _run_sequentially(
        self, result: SystemResult, worker: WorkerClient, clips: Sequence[DecodedClip], run: int
    ) -> None:
        answers = [worker.transcribe_text(clip.samples, self._requested_language(clip)) for clip in clips]
        texts = [text for text, _, _ in answers]
        if run == 0:
            result.texts, result.tokens = texts, [tokens for _, tokens, _ in answers]
        result.texts_vary |= texts != result.texts
        result.seconds.append([took_s for _, _, took_s in answers])
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
