"""Soak test: a server under clients for a long time; every transcript must be the same, memory flat.

`python -m benchmarks.load.soak MANIFEST --artifact base --minutes 30`
"""

from __future__ import annotations

import argparse
import json
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.goals.clients import run_clients
from benchmarks.process.usage import resident_memory_bytes
from neuron_whisper.bench.accuracy.manifest import RowFilter, read_utterances
from neuron_whisper.bench.accuracy.metrics import percentile
from neuron_whisper.bench.process.server import ServerProcess
from neuron_whisper.errors import TargetUnavailable

MAX_GROWTH = 0.05  # of memory after the warm-up
WARM_UP_SHARE = 0.1  # of the time
SAMPLE_INTERVAL_S = 2.0


@dataclass(slots=True)
class SoakResult:
    """The measurements of a soak: (seconds from its start, resident bytes), latencies, and clips whose text changed."""

    memory: list[tuple[float, int]] = field(default_factory=list)
    latencies_s: list[float] = field(default_factory=list)
    texts: dict[str, str] = field(default_factory=dict)
    changed_clips: list[str] = field(default_factory=list)
    seconds: float = 0.0
    audio_s: float = 0.0
    error: str = ""

    def add_texts(self, names: Sequence[str], texts: Sequence[str]) -> None:
        """Record transcripts; a clip's text must be the same each time."""
        for name, text in zip(names, texts, strict=True):
            if self.texts.setdefault(name, text) != text:
                self.changed_clips.append(name)

    @property
    def growth(self) -> float | None:
        """Growth of memory from the first third after the warm-up to the last, by medians; None for too few samples."""
        settled = [size for at, size in self.memory if at >= WARM_UP_SHARE * self.seconds]
        third = len(settled) // 3
        return median(settled[-third:]) / median(settled[:third]) - 1 if third else None

    @property
    def passed(self) -> bool:
        return not self.error and not self.changed_clips and self.growth is not None and self.growth <= MAX_GROWTH

    def summarize(self) -> dict[str, Any]:
        return {
            "seconds": round(self.seconds, 1),
            "requests": len(self.latencies_s),
            "audio_per_second": round(self.audio_s / self.seconds, 2) if self.seconds else None,
            "p50_s": round(percentile(self.latencies_s, 50), 3) if self.latencies_s else None,
            "p95_s": round(percentile(self.latencies_s, 95), 3) if self.latencies_s else None,
            "first_mb": self.memory[0][1] // 1_000_000 if self.memory else None,
            "last_mb": self.memory[-1][1] // 1_000_000 if self.memory else None,
            "peak_mb": max(size for _, size in self.memory) // 1_000_000 if self.memory else None,
            "growth": None if self.growth is None else round(self.growth, 4),
            "changed": sorted(set(self.changed_clips)),
            "error": self.error,
            "passed": self.passed,
        }


def run_soak(
    server: ServerProcess, clips: Sequence[tuple[Path, str, float]], *, clients: int, seconds: float
) -> SoakResult:
    """Send every (file, language, seconds of audio) again and again for `seconds`, or until something fails."""
    result, started, is_over = SoakResult(), time.perf_counter(), threading.Event()

    def watch() -> None:
        while not is_over.is_set():
            result.memory.append((time.perf_counter() - started, resident_memory_bytes(server.pid)))
            is_over.wait(min(SAMPLE_INTERVAL_S, seconds / 30))

    watcher = threading.Thread(target=watch, name="memory")
    watcher.start()
    try:
        while time.perf_counter() - started < seconds:
            answers = run_clients(server.url, [(path, language) for path, language, _ in clips], clients)
            result.latencies_s += answers.latencies_s
            result.audio_s += sum(audio_s for _, _, audio_s in clips)
            result.add_texts([path.name for path, _, _ in clips], answers.texts)
    except TargetUnavailable as error:
        result.error = error.reason
    finally:
        result.seconds = time.perf_counter() - started
        is_over.set()
        watcher.join()
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    """1 when a transcript changed, a request failed or memory grew."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifest", type=Path, metavar="MANIFEST", help="as of `neuron-whisper bench`")
    parser.add_argument("--artifact", required=True, help="a stored artifact, as `neuron-whisper serve` takes it")
    parser.add_argument("--language", default="en")
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--longest-s", type=float, default=30.0, help="skip longer clips, in seconds")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args(arguments)
    clips = _read_clips(args)
    sys.stderr.write(f"{args.minutes:g} minutes, {args.clients} clients, {len(clips)} clips\n")
    command = [
        sys.executable,
        "-m",
        "neuron_whisper",
        "serve",
        "--artifact",
        args.artifact,
        "--port",
        "0",
        "--max-wait-s",
        "3600",
    ]
    with ServerProcess(command, ready_path="/health/ready") as server:
        result = run_soak(server, clips, clients=args.clients, seconds=60 * args.minutes)
    figures = result.summarize()
    if args.json is not None:
        series = [[round(at, 1), size] for at, size in result.memory]
        args.json.write_text(json.dumps({**figures, "memory": series}, indent=1) + "\n", encoding="utf-8")
    sys.stdout.write(json.dumps(figures, ensure_ascii=False) + "\n")
    return 0 if result.passed else 1


def _read_clips(args: argparse.Namespace) -> list[tuple[Path, str, float]]:
    from neuron_whisper.audio.load import load_audio

    utterances, _ = read_utterances([args.manifest], RowFilter(language=args.language, skip=("*stereo*",)))
    clips = [(it.path, it.language, load_audio(it.path).duration_s) for it in utterances]
    return [clip for clip in clips if clip[2] <= args.longest_s]


if __name__ == "__main__":
    sys.exit(main())
