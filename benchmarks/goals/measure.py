"""A row's measurement: every system in a process of its own, run after run in turns."""

from __future__ import annotations

import math
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.goals.clients import run_clients
from benchmarks.goals.rows import BEST_VARIANT, Row
from benchmarks.goals.speech import Recording, Speech
from benchmarks.goals.systems import Candidate, Systems
from benchmarks.process.server import ServerProcess
from neuron_whisper.bench.process.client import WorkerClient, build_worker_environment
from neuron_whisper.errors import TargetUnavailable

CPP_VARIANTS = ("q8_0", "f16")
REQUESTS_PER_CLIENT = 3  # of a client, and clips of a stream


@dataclass(slots=True)
class RowResult:
    """What came of a system in a row; `error` says why it ended early. `texts` are of the first run, by recording."""

    name: str
    peer: str
    facts: Mapping[str, object] = field(default_factory=dict)
    metrics: dict[str, list[float]] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    note: str = ""
    error: str = ""

    def add(self, **figures: float) -> None:
        for metric, value in figures.items():
            self.metrics.setdefault(metric, []).append(value)


@dataclass(slots=True, kw_only=True)
class RowBenchmark:
    """Measures rows. What was found by trying (`_best_settings`) holds for the rows after it; used by one thread."""

    systems: Systems
    speech: Speech
    scratch: Path
    runs: int
    log: Callable[[str], None]
    _best_settings: dict[str, tuple[str, str]] = field(default_factory=dict)

    def measure(self, row: Row) -> list[RowResult]:
        """Ours first. A system that fails is in it with its fault."""
        self.log(f"--- {row.name}: {row.title}")
        measures = {
            "one by one": self._measure_in_turns,
            "together": self._measure_in_turns,
            "fresh": self._measure_fresh,
            "clients": self._measure_clients,
        }
        candidates, failed = self._prepare_candidates(row)
        results = [RowResult(it.name, it.peer, it.facts) for it in candidates]
        measures[row.work](row, candidates, results)
        return [*results, *failed]

    def _prepare_candidates(self, row: Row) -> tuple[list[Candidate], list[RowResult]]:
        candidates, failed = self.systems.own_candidates(row), []
        for told in row.peers:
            try:
                candidates.append(self.systems.peer_candidate(self._select_variant(told, row), row))
            except TargetUnavailable as error:
                failed.append(RowResult(told, told.partition(":")[0], error=error.reason))
                self.log(f"{told}: {error.reason}")
        return candidates, failed

    # --- processes that are asked -----------------------------------------------------------------

    def _measure_in_turns(self, row: Row, candidates: Sequence[Candidate], results: Sequence[RowResult]) -> None:
        recordings = self.speech.select(row.speech)
        with ExitStack() as stack:
            children: list[WorkerClient | None] = []
            for candidate, result in zip(candidates, results, strict=True):
                child = None
                with _record_errors(result, self.log):
                    child = self._start_worker(candidate, stack)
                    if row.work == "together":  # that tells no texts
                        result.texts = {it.name: _transcribe(child, it)[0] for it in recordings}
                children.append(child)
            for run in range(self.runs):
                for turn in range(len(results)):
                    at = (turn + run) % len(results)  # nobody is always the first
                    child, result = children[at], results[at]
                    if child is None or result.error:
                        continue
                    with _record_errors(result, self.log):
                        before_s = child.cpu_s()
                        took_s = self._run_once(row, child, result, recordings)
                        result.add(seconds=took_s, cpu_s=child.cpu_s() - before_s)
                        self.log(f"{result.name}: run {run + 1} of {self.runs}: {took_s:.2f} s")
            for child, result in zip(children, results, strict=True):
                if child is not None and not result.error:
                    result.add(peak_bytes=child.peak_memory_bytes())

    def _start_worker(self, candidate: Candidate, stack: ExitStack) -> WorkerClient:
        """Warmed up by a short clip."""
        child = stack.enter_context(
            WorkerClient(candidate.name, candidate.python, candidate.config.threads, self.scratch)
        )
        child.open(candidate.config)
        _transcribe(child, self.speech.short[0])
        return child

    def _run_once(self, row: Row, worker: WorkerClient, result: RowResult, recordings: Sequence[Recording]) -> float:
        if row.work == "together":
            clips = [(it.samples, it.language) for it in _repeat(recordings, REQUESTS_PER_CLIENT * row.at_once)]
            return worker.run_concurrently(clips, row.at_once)
        heard = {it.name: _transcribe(worker, it) for it in recordings}
        result.texts = result.texts or {name: text for name, (text, _) in heard.items()}
        return sum(took_s for _, took_s in heard.values())

    def _measure_fresh(self, row: Row, candidates: Sequence[Candidate], results: Sequence[RowResult]) -> None:
        for _ in range(self.runs):
            for candidate, result in zip(candidates, results, strict=True):
                if result.error:
                    continue
                with _record_errors(result, self.log), ExitStack() as stack:
                    started = time.perf_counter()
                    child = self._start_worker(candidate, stack)
                    first_s = time.perf_counter() - started
                    heard = {it.name: _transcribe(child, it)[0] for it in self.speech.select(row.speech)}
                    result.texts = result.texts or heard
                    result.add(first_s=first_s, peak_bytes=child.peak_memory_bytes())
                    self.log(f"{result.name}: first text after {first_s:.2f} s")

    # --- servers ----------------------------------------------------------------------------------

    def _measure_clients(self, row: Row, candidates: Sequence[Candidate], results: Sequence[RowResult]) -> None:
        recordings = [it for it in self.speech.short if it.file is not None]
        asked = _repeat(recordings, REQUESTS_PER_CLIENT * row.at_once)
        with ExitStack() as stack:
            servers: list[ServerProcess | None] = []
            for candidate, result in zip(candidates, results, strict=True):
                server = None
                with _record_errors(result, self.log):
                    if not candidate.is_ours:
                        result.note = "workers x threads: {}, the fastest of {}".format(*self._best_settings["http"])
                    server = stack.enter_context(self._start_server(candidate))
                    run_clients(server.url, _to_uploads(recordings[:2]), 2)
                servers.append(server)
            for run in range(self.runs):
                for turn in range(len(results)):
                    at = (turn + run) % len(results)
                    server, result = servers[at], results[at]
                    if server is None or result.error:
                        continue
                    with _record_errors(result, self.log):
                        before_s = server.cpu_s()
                        found = run_clients(server.url, _to_uploads(asked), row.at_once)
                        cpu_s = server.cpu_s() - before_s
                        result.texts = result.texts or dict(zip((it.name for it in asked), found.texts, strict=True))
                        result.add(
                            seconds=found.seconds,
                            p95_s=found.p95_s,
                            cpu_s=cpu_s,
                            peak_bytes=server.peak_memory_bytes(),
                        )
                        self.log(f"{result.name}: {found.seconds:.2f} s, p95 {found.p95_s:.2f} s")
            for candidate, server, result in zip(candidates, servers, results, strict=True):
                if candidate.is_ours and server is not None and not result.error:
                    with suppress(OSError), urllib.request.urlopen(f"{server.url}/metrics", timeout=30) as answer:
                        result.note = format_engine_note(answer.read().decode())

    def _start_server(self, candidate: Candidate, setting: str | None = None) -> ServerProcess:
        opening = candidate.config
        environment = build_worker_environment(
            self.scratch, 0 if candidate.is_ours else opening.threads, candidate.python
        )
        if candidate.is_ours:
            return ServerProcess(
                [
                    candidate.python,
                    "-m",
                    "neuron_whisper",
                    "serve",
                    "--artifact",
                    Path(opening.source).name,
                    "--port",
                    "0",
                    "--max-wait-s",
                    "3600",
                ],  # a refusal is no measurement
                {**environment, "NEURON_WHISPER_CACHE": opening.cache},
                ready_path="/health/ready",
            )
        workers, threads = (setting or self._best_settings["http"][0]).split("x")
        environment["OMP_NUM_THREADS"] = threads
        return ServerProcess(
            [
                candidate.python,
                "-P",
                "-m",
                "benchmarks.goals.http_peer",
                "--model",
                opening.source,
                "--compute",
                opening.variant,
                "--workers",
                workers,
                "--threads",
                threads,
            ],
            environment,
            ready_path="/health",
        )

    # --- what is found by trying ------------------------------------------------------------------

    def _select_variant(self, peer_spec: str, row: Row) -> str:
        peer, _, variant = peer_spec.partition(":")
        if variant != BEST_VARIANT:
            return peer_spec
        if row.work == "clients":
            if "http" not in self._best_settings:
                self._best_settings["http"] = self._try_server_settings(row)
            return f"{peer}:int8"
        if peer not in self._best_settings:
            self._best_settings[peer] = self._try_variants(peer, row)
        return f"{peer}:{self._best_settings[peer][0]}"

    def _try_variants(self, peer: str, row: Row) -> tuple[str, str]:
        """(the fastest on two clips, all that were tried)"""
        took: dict[str, float] = {}
        for variant in CPP_VARIANTS:
            with ExitStack() as stack:
                child = self._start_worker(self.systems.peer_candidate(f"{peer}:{variant}", row), stack)
                took[variant] = sum(_transcribe(child, it)[1] for it in self.speech.short[:2])
        self.log(f"{peer}: " + ", ".join(f"{name} {took_s:.2f} s" for name, took_s in took.items()))
        return min(took, key=took.__getitem__), ", ".join(took)

    def _try_server_settings(self, row: Row) -> tuple[str, str]:
        """As _try_variants, of workers x threads under as many clients."""
        candidate = self.systems.peer_candidate("faster-whisper:int8", row)
        asked = _to_uploads(_repeat([it for it in self.speech.short if it.file is not None], 2 * row.at_once))
        took: dict[str, float] = {}
        for setting in list_worker_settings(candidate.config.threads):
            with self._start_server(candidate, setting) as server:
                run_clients(server.url, asked[:2], 2)
                took[setting] = run_clients(server.url, asked, row.at_once).seconds
            self.log(f"faster-whisper over HTTP, workers x threads {setting}: {took[setting]:.2f} s")
        return min(took, key=took.__getitem__), ", ".join(took)


@contextmanager
def _record_errors(result: RowResult, log: Callable[[str], None]) -> Iterator[None]:
    """What goes wrong within is told and kept in the result's fault."""
    try:
        yield
    except TargetUnavailable as error:
        result.error = error.reason
        log(f"{result.name}: {error.reason}")


def format_engine_note(metrics: str) -> str:
    """Of our server's /metrics: how full a step was, and where the device's time went.

    "6.0 rows in a step on average; of the device's time encode 60 %, prefill 10 %, step 30 %"
    """
    totals: dict[str, float] = {}
    for line in metrics.splitlines():
        name, _, value = line.rpartition(" ")
        name = name.partition("{")[0].removeprefix("neuron_whisper_")
        if name.endswith(("_sum", "_count")):
            totals[name] = totals.get(name, 0.0) + float(value)
    rows = totals.get("step_rows_sum", 0.0) / (totals.get("step_rows_count") or 1.0)
    spent = {kind: totals.get(f"{kind}_seconds_sum", 0.0) for kind in ("encode", "prefill", "step", "align")}
    whole = sum(spent.values()) or 1.0
    shares = ", ".join(f"{kind} {100 * seconds / whole:.0f} %" for kind, seconds in spent.items() if seconds)
    return f"{rows:.1f} rows in a step on average" + f"; of the device's time {shares}" * bool(shares)


def list_worker_settings(cores: int) -> tuple[str, ...]:
    """2 -> ("1x2", "2x1", "2x2", "4x1"): workers x threads, from one that has all cores to two for each core."""
    pairs = [(1, cores), (cores, 1), (2, max(1, cores // 2)), (2, cores), (2 * cores, 1)]
    return tuple(dict.fromkeys(f"{workers}x{threads}" for workers, threads in pairs))


def _transcribe(worker: WorkerClient, recording: Recording) -> tuple[str, float]:
    text, _, took_s = worker.transcribe_text(recording.samples, recording.language)
    return text, took_s


def _repeat(recordings: Sequence[Recording], min_count: int) -> list[Recording]:
    """All recordings as often as it takes."""
    return list(recordings) * math.ceil(min_count / len(recordings))


def _to_uploads(recordings: Sequence[Recording]) -> list[tuple[Path, str]]:
    return [(it.file, it.language) for it in recordings if it.file is not None]
