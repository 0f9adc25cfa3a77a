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
from neuron_whisper.bench.accuracy.manifest import Spoken
from neuron_whisper.bench.engines.config import Opening
from neuron_whisper.bench.process.client import Child
from neuron_whisper.errors import TargetUnavailable


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """What is measured. `facts` are reported as they are: artifact key, profile, versions."""

    name: str
    model: str
    opening: Opening
    python: str
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_ours(self) -> bool:
        return self.opening.engine == "neuron-whisper"


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """A recording decoded once, as raw float32 in `samples`, so that every system hears the same."""

    spoken: Spoken
    samples: Path
    duration_s: float


@dataclass(slots=True)
class Measured:
    """What came of one system; `fault` says why it ended early. Lists run over runs, then over clips."""

    system: System
    is_serial: bool = False
    load_s: float = math.nan
    peak_bytes: int = 0
    texts: list[str] = field(default_factory=list)
    tokens: list[list[int] | None] = field(default_factory=list)
    seconds: list[list[float]] = field(default_factory=list)
    throughput: dict[int, list[float]] = field(default_factory=dict)
    texts_vary: bool = False
    fault: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """`streams`: how many clips at once, for each throughput that is wanted. `detects`: no language is told."""

    systems: Sequence[System]
    speech: Sequence[Spoken]
    runs: int = 3
    streams: tuple[int, ...] = ()
    detects: bool = False
    tell: Callable[[str], None] = lambda line: None

    def measure(self) -> tuple[list[Clip], list[Measured]]:
        """Run by run, in each the systems in turn, another one first each time: noise of the machine hits them alike.

        A system that fails is left where it is and told in `fault`. Raises InputError for a clip.
        """
        with ExitStack() as stack:
            scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            clips = self._decoded(scratch)
            results = [Measured(system) for system in self.systems]
            children: list[Child | None] = [self._opened(result, clips, scratch, stack) for result in results]
            for n, run in [(n, run) for n in (0, *self.streams) for run in range(self.runs)]:
                for turn in range(len(results)):
                    at = (turn + run) % len(results)
                    result, child = results[at], children[at]
                    if child is None:
                        continue
                    try:
                        if n == 0:
                            self._one_by_one(result, child, clips, run)
                        else:
                            self._together(result, child, clips, n)
                    except TargetUnavailable as error:
                        children[at] = None
                        self._fail(result, error)
            for result, child in zip(results, children, strict=True):
                if child is not None:
                    result.peak_bytes = child.peak_memory_bytes()
        return clips, results

    def _decoded(self, scratch: Path) -> list[Clip]:
        clips = []
        for n, spoken in enumerate(self.speech):
            clip = load_audio(spoken.path, channel=spoken.channel)
            samples = scratch / f"{n}.f32"
            clip.samples.tofile(samples)
            clips.append(Clip(spoken=spoken, samples=samples, duration_s=clip.duration_s))
        self.tell(f"{len(clips)} clips, {sum(clip.duration_s for clip in clips):.0f} s of audio")
        return clips

    def _language(self, clip: Clip) -> str | None:
        return None if self.detects else clip.spoken.language

    def _opened(self, result: Measured, clips: Sequence[Clip], scratch: Path, stack: ExitStack) -> Child | None:
        """One after the other, so that no start slows another's; the first transcript warms the system up, too."""
        system = result.system
        threads = system.opening.threads
        try:
            child = stack.enter_context(Child(system.name, system.python, threads, scratch))
            result.is_serial = child.open(system.opening)
            child.hear(clips[0].samples, self._language(clips[0]))
        except TargetUnavailable as error:
            self._fail(result, error)
            return None
        result.load_s = time.perf_counter() - child.started
        self.tell(f"{system.name}: ready in {result.load_s:.1f} s")
        return child

    def _one_by_one(self, result: Measured, child: Child, clips: Sequence[Clip], run: int) -> None:
        answers = [child.hear(clip.samples, self._language(clip)) for clip in clips]
        texts = [text for text, _, _ in answers]
        if run == 0:
            result.texts, result.tokens = texts, [tokens for _, tokens, _ in answers]
        result.texts_vary |= texts != result.texts
        result.seconds.append([took_s for _, _, took_s in answers])
        self.tell(f"{result.system.name}: run {run + 1} of {self.runs}: {sum(result.seconds[-1]):.1f} s")

    def _together(self, result: Measured, child: Child, clips: Sequence[Clip], streams: int) -> None:
        # each clip as often as it takes for every stream to have two
        times = math.ceil(2 * streams / len(clips))
        took_s = child.together([(clip.samples, self._language(clip)) for clip in clips] * times, streams)
        per_second = times * sum(clip.duration_s for clip in clips) / took_s
        result.throughput.setdefault(streams, []).append(per_second)
        self.tell(f"{result.system.name}: {streams} at a time: {per_second:.1f} s of audio per second")

    def _fail(self, result: Measured, error: TargetUnavailable) -> None:
        result.fault = error.reason
        self.tell(f"{result.system.name}: {error.reason}")
