"""Measures a row: every system in a process of its own, the systems taking turns in every run."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from benchmarks.goals.clients import run_clients
from benchmarks.goals.rows import BEST_VARIANT, Row
from benchmarks.goals.speech import Recording, Speech
from benchmarks.goals.systems import Candidate, Systems
from benchmarks.process.usage import cpu_time_s
from neuron_whisper.bench.process.client import WorkerClient, build_worker_environment
from neuron_whisper.bench.process.server import ServerProcess
from neuron_whisper.errors import TargetUnavailable

CPP_VARIANTS = ("q8_0", "f16")
REQUESTS_PER_CLIENT = 3  # also clips per stream


@dataclass(slots=True)
class RowResult:
    """Measurements of a system in a row; `error` is why it ended early. `texts` are the first run's, by recording."""

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
    """Measures rows; used by one thread. `_best_settings`, found by trying, hold for all later rows."""

    systems: Systems
    speech: Speech
    scratch: Path
    runs: int
    log: Callable[[str], None]
    _best_settings: dict[str, tuple[str, str]] = field(default_factory=dict)

    def measure(self, row: Row) -> list[RowResult]:
        """The results of all systems, ours first; a system that fails has its `error` set."""
        self.log(f"--- {row.name}: {row.title}")
        measures = {
            "sequential": self._measure_in_turns,
            "concurrent": self._measure_in_turns,
            "cold_start": self._measure_fresh,
            "clients": self._measure_clients,
        }
        candidates, failed = self._prepare_candidates(row)
        results = [RowResult(it.name, it.peer, it.facts) for it in candidates]
        measures[row.work](row, candidates, results)
        return [*results, *failed]

    def _prepare_candidates(self, row: Row) -> tuple[list[Candidate], list[RowResult]]:
        candidates, failed = self.systems.own_candidates(row), []
        for peer_spec in row.peers:
            try:
                candidates.append(self.systems.peer_candidate(self._select_variant(peer_spec, row), row))
            except TargetUnavailable as error:
                failed.append(RowResult(peer_spec, peer_spec.partition(":")[0], error=error.reason))
                self.log(f"{peer_spec}: {error.reason}")
        return candidates, failed

    # --- worker processes -------------------------------------------------------------------------

    def _measure_in_turns(self, row: Row, candidates: Sequence[Candidate], results: Sequence[RowResult]) -> None:
        recordings = self.speech.select(row.speech)
        with ExitStack() as stack:
            workers: list[WorkerClient | None] = []
            for candidate, result in zip(candidates, results, strict=True):
                worker = None
                with _record_errors(result, self.log):
                    worker = self._start_worker(candidate, stack)
                    if row.work == "concurrent":  # run_concurrently returns no texts
                        result.texts = {it.name: _transcribe(worker, it)[0] for it in recordings}
                workers.append(worker)
            for run in range(self.runs):
                for turn in range(len(results)):
                    at = (turn + run) % len(results)  # another system is first in each run
                    worker, result = workers[at], results[at]
                    if worker is None or result.error:
                        continue
                    with _record_errors(result, self.log):
                        before_s = worker.cpu_s()
                        took_s = self._run_once(row, worker, result, recordings)
                        result.add(seconds=took_s, cpu_s=worker.cpu_s() - before_s)
                        self.log(f"{result.name}: run {run + 1} of {self.runs}: {took_s:.2f} s")
            for worker, result in zip(workers, results, strict=True):
                if worker is not None and not result.error:
                    result.add(peak_bytes=worker.peak_memory_bytes())

    def _start_worker(self, candidate: Candidate, stack: ExitStack) -> WorkerClient:
        """A worker that has transcribed a short clip to warm up."""
        worker = stack.enter_context(
            WorkerClient(candidate.name, candidate.python, candidate.config.threads, self.scratch)
        )
        worker.open(candidate.config)
        _transcribe(worker, self.speech.short[0])
        return worker

    def _run_once(self, row: Row, worker: WorkerClient, result: RowResult, recordings: Sequence[Recording]) -> float:
        if row.work == "concurrent":
            clips = [(it.samples, it.language) for it in _repeat(recordings, REQUESTS_PER_CLIENT * row.at_once)]
            return worker.run_concurrently(clips, row.at_once)
        transcripts = {it.name: _transcribe(worker, it) for it in recordings}
        result.texts = result.texts or {name: text for name, (text, _) in transcripts.items()}
        return sum(took_s for _, took_s in transcripts.values())

    def _measure_fresh(self, row: Row, candidates: Sequence[Candidate], results: Sequence[RowResult]) -> None:
        for _ in range(self.runs):
            for candidate, result in zip(candidates, results, strict=True):
                if result.error:
                    continue
                with _record_errors(result, self.log), ExitStack() as stack:
                    started = time.perf_counter()
                    worker = self._start_worker(candidate, stack)
                    first_s = time.perf_counter() - started
                    texts = {it.name: _transcribe(worker, it)[0] for it in self.speech.select(row.speech)}
                    result.texts = result.texts or texts
                    result.add(first_s=first_s, peak_bytes=worker.peak_memory_bytes())
                    self.log(f"{result.name}: first text after {first_s:.2f} s")

    # --- servers ----------------------------------------------------------------------------------

    def _measure_clients(self, row: Row, candidates: Sequence[Candidate], results: Sequence[RowResult]) -> None:
        recordings = [it for it in self.speech.short if it.file is not None]
        repeated = _repeat(recordings, REQUESTS_PER_CLIENT * row.at_once)
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
                        before_s = cpu_time_s(server.pid)
                        load = run_clients(server.url, _to_uploads(repeated), row.at_once)
                        cpu_s = cpu_time_s(server.pid) - before_s
                        result.texts = result.texts or dict(zip((it.name for it in repeated), load.texts, strict=True))
                        result.add(
                            seconds=load.seconds,
                            p95_s=load.p95_s,
                            cpu_s=cpu_s,
                            peak_bytes=server.peak_memory_bytes(),
                        )
                        self.log(f"{result.name}: {load.seconds:.2f} s, p95 {load.p95_s:.2f} s")
            for candidate, server, result in zip(candidates, servers, results, strict=True):
                if candidate.is_ours and server is not None and not result.error:
                    with suppress(httpx.HTTPError):
                        result.note = format_engine_note(httpx.get(f"{server.url}/metrics", trust_env=False).text)

    def _start_server(self, candidate: Candidate, setting: str | None = None) -> ServerProcess:
        config = candidate.config
        environment = build_worker_environment(
            self.scratch, 0 if candidate.is_ours else config.threads, candidate.python
        )
        if candidate.is_ours:
            return ServerProcess(
                [
                    candidate.python,
                    "-m",
                    "neuron_whisper",
                    "serve",
                    "--artifact",
                    Path(config.source).name,
                    "--port",
                    "0",
                    "--max-wait-s",
                    "3600",
                ],  # a refusal is no measurement
                {**environment, "NEURON_WHISPER_CACHE": config.cache},
                ready_path="/health/ready",
            )
        workers, threads = (setting or self._best_settings["http"][0]).split("x")
        environment["OMP_NUM_THREADS"] = threads
        return ServerProcess(
            [
                candidate.python,
                "-P",
                str(Path(__file__).with_name("http_peer.py")),  # by its path: the peer's python has no benchmarks
                "--model",
                config.source,
                "--compute",
                config.variant,
                "--workers",
                workers,
                "--threads",
                threads,
            ],
            environment,
            ready_path="/health",
        )

    # --- the fastest settings of peers ------------------------------------------------------------

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
        """(the fastest on two clips, all that were tried)."""
        took: dict[str, float] = {}
        for variant in CPP_VARIANTS:
            with ExitStack() as stack:
                worker = self._start_worker(self.systems.peer_candidate(f"{peer}:{variant}", row), stack)
                took[variant] = sum(_transcribe(worker, it)[1] for it in self.speech.short[:2])
        self.log(f"{peer}: " + ", ".join(f"{name} {took_s:.2f} s" for name, took_s in took.items()))
        return min(took, key=took.__getitem__), ", ".join(took)

    def _try_server_settings(self, row: Row) -> tuple[str, str]:
        """(the fastest workers x threads under as many clients as the row has, all that were tried)."""
        candidate = self.systems.peer_candidate("faster-whisper:int8", row)
        uploads = _to_uploads(_repeat([it for it in self.speech.short if it.file is not None], 2 * row.at_once))
        took: dict[str, float] = {}
        for setting in list_worker_settings(candidate.config.threads):
            with self._start_server(candidate, setting) as server:
                run_clients(server.url, uploads[:2], 2)
                took[setting] = run_clients(server.url, uploads, row.at_once).seconds
            self.log(f"faster-whisper over HTTP, workers x threads {setting}: {took[setting]:.2f} s")
        return min(took, key=took.__getitem__), ", ".join(took)


@contextmanager
def _record_errors(result: RowResult, log: Callable[[str], None]) -> Iterator[None]:
    """Logs a TargetUnavailable raised in the block and keeps it as the result's error."""
    try:
        yield
    except TargetUnavailable as error:
        result.error = error.reason
        log(f"{result.name}: {error.reason}")


def format_engine_note(metrics: str) -> str:
    """From our server's /metrics: how full a step was, and where the device's time went.

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
    device_s = sum(spent.values()) or 1.0
    shares = ", ".join(f"{kind} {100 * seconds / device_s:.0f} %" for kind, seconds in spent.items() if seconds)
    return f"{rows:.1f} rows in a step on average" + f"; of the device's time {shares}" * bool(shares)


def list_worker_settings(cores: int) -> tuple[str, ...]:
    """2 -> ("1x2", "2x1", "2x2", "4x1"): workers x threads, from one that has all cores to two for each core."""
    pairs = [(1, cores), (cores, 1), (2, max(1, cores // 2)), (2, cores), (2 * cores, 1)]
    return tuple(dict.fromkeys(f"{workers}x{threads}" for workers, threads in pairs))


def _transcribe(worker: WorkerClient, recording: Recording) -> tuple[str, float]:
    text, _, took_s = worker.transcribe_text(recording.samples, recording.language)
    return text, took_s


def _repeat(recordings: Sequence[Recording], min_count: int) -> list[Recording]:
    """All recordings, repeated until they are at least `min_count`."""
    return list(recordings) * math.ceil(min_count / len(recordings))


def _to_uploads(recordings: Sequence[Recording]) -> list[tuple[Path, str]]:
    return [(it.file, it.language) for it in recordings if it.file is not None]
