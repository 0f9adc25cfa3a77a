"""Measures a row: every system in a process of its own, the systems taking turns in every run."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import httpx

from benchmarks.goals.clients import run_clients
from benchmarks.goals.rows import BEST_VARIANT, Row
from benchmarks.goals.speech import Recording, Speech
from benchmarks.goals.systems import Candidate, Systems
from benchmarks.process.memory import AnonymousMemorySampler
from benchmarks.process.usage import cpu_time_s
from neuron_whisper.bench.process.client import WorkerClient, build_worker_environment
from neuron_whisper.bench.process.server import ServerProcess
from neuron_whisper.errors import TargetUnavailable

CPP_VARIANTS = ("q8_0", "f16")
REQUESTS_PER_CLIENT = 3  # also clips per stream
INT8 = "int8"  # faster-whisper's fastest compute type on a CPU


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
    """Measures rows; used by one thread. `_best_settings`, found by trying, hold for later rows of the same work."""

    systems: Systems
    speech: Speech
    scratch: Path
    runs: int
    log: Callable[[str], None]
    _best_settings: dict[str, str] = field(default_factory=dict)

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
        results = [RowResult(it.name, it.peer, it.facts, note=str(it.facts.get("tried", ""))) for it in candidates]
        measures[row.work](row, candidates, results)
        return [*results, *failed]

    def _prepare_candidates(self, row: Row) -> tuple[list[Candidate], list[RowResult]]:
        candidates, failed = self.systems.own_candidates(row), []
        for peer_spec in row.peers:
            try:
                candidates.append(self._prepare_peer(peer_spec, row))
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
            for run, at in take_turns(self.runs, len(results)):
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
        worker = self._start_process(candidate, stack)
        self._warm_up(worker, candidate)
        return worker

    def _start_process(self, candidate: Candidate, stack: ExitStack) -> WorkerClient:
        return stack.enter_context(
            WorkerClient(candidate.name, candidate.python, candidate.config.threads, self.scratch)
        )

    def _warm_up(self, worker: WorkerClient, candidate: Candidate) -> None:
        worker.open(candidate.config)
        _transcribe(worker, self.speech.short[0])

    def _run_once(self, row: Row, worker: WorkerClient, result: RowResult, recordings: Sequence[Recording]) -> float:
        if row.work == "concurrent":
            clips = [(it.samples, it.language) for it in _repeat(recordings, REQUESTS_PER_CLIENT * row.at_once)]
            return worker.run_concurrently(clips, row.at_once)
        transcripts = {it.name: _transcribe(worker, it) for it in recordings}
        result.texts = result.texts or {name: text for name, (text, _) in transcripts.items()}
        return sum(took_s for _, took_s in transcripts.values())

    def _measure_fresh(self, row: Row, candidates: Sequence[Candidate], results: Sequence[RowResult]) -> None:
        for _, at in take_turns(self.runs, len(results)):
            candidate, result = candidates[at], results[at]
            if result.error:
                continue
            with _record_errors(result, self.log), ExitStack() as stack:
                started = time.perf_counter()
                worker = self._start_process(candidate, stack)
                sampler = stack.enter_context(AnonymousMemorySampler(worker.pid))
                self._warm_up(worker, candidate)
                first_s = time.perf_counter() - started
                texts = {it.name: _transcribe(worker, it)[0] for it in self.speech.select(row.speech)}
                result.texts = result.texts or texts
                result.add(first_s=first_s, peak_bytes=worker.peak_memory_bytes(), anonymous_bytes=sampler.sample())
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
                    server = stack.enter_context(self._start_server(candidate))
                    run_clients(server.url, _to_uploads(recordings[:2]), 2)
                servers.append(server)
            for _, at in take_turns(self.runs, len(results)):
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

    def _start_server(self, candidate: Candidate) -> ServerProcess:
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
                str(config.workers),
                "--threads",
                str(config.threads),
            ],
            environment,
            ready_path="/health",
        )

    # --- the fastest settings of peers ------------------------------------------------------------

    def _prepare_peer(self, peer_spec: str, row: Row) -> Candidate:
        """The peer, with its fastest settings where its variant is "best"; `tried` of its facts names them."""
        peer, _, variant = peer_spec.partition(":")
        if variant != BEST_VARIANT:
            return self.systems.peer_candidate(peer_spec, row)
        kind = "clients" if row.work == "clients" else f"{peer} {row.work}"
        settings = self._list_settings(peer, row)
        if kind not in self._best_settings:
            self._best_settings[kind] = self._try_settings(settings, row)
        best = self._best_settings[kind]
        candidate = settings[best]
        tried = f"{best}, the fastest of {', '.join(settings)}"
        return replace(candidate, facts={**candidate.facts, "tried": tried})

    def _list_settings(self, peer: str, row: Row) -> dict[str, Candidate]:
        """What is tried for the row, by its name."""
        if not peer.startswith("faster-whisper"):
            return {it: self.systems.peer_candidate(f"{peer}:{it}", row) for it in CPP_VARIANTS}
        candidate = self.systems.peer_candidate(f"{peer}:{INT8}", row)
        cores = candidate.config.threads
        pairs = list_worker_settings(cores) if row.at_once > 1 else [(1, n) for n in list_thread_counts(cores)]
        return {
            f"workers x threads {workers}x{threads}": replace(
                candidate, config=replace(candidate.config, workers=workers, threads=threads)
            )
            for workers, threads in pairs
        }

    def _try_settings(self, settings: Mapping[str, Candidate], row: Row) -> str:
        """The name of the fastest on two clips, or under as many streams or clients as the row has."""
        if len(settings) == 1:
            return next(iter(settings))
        took: dict[str, float] = {}
        for name, candidate in settings.items():
            with ExitStack() as stack:
                if row.work == "clients":
                    uploads = _to_uploads(_repeat([it for it in self.speech.short if it.file], 2 * row.at_once))
                    server = stack.enter_context(self._start_server(candidate))
                    run_clients(server.url, uploads[:2], 2)
                    took[name] = run_clients(server.url, uploads, row.at_once).seconds
                    continue
                worker = self._start_worker(candidate, stack)
                if row.work == "concurrent":
                    clips = [(it.samples, it.language) for it in _repeat(self.speech.short, row.at_once)]
                    took[name] = worker.run_concurrently(clips, row.at_once)
                else:
                    took[name] = sum(_transcribe(worker, it)[1] for it in self.speech.short[:2])
        best = min(took, key=took.__getitem__)
        peer = settings[best].peer
        self.log(f"{peer}: " + ", ".join(f"{name} {took_s:.2f} s" for name, took_s in took.items()))
        return best


def take_turns(runs: int, systems: int) -> Iterator[tuple[int, int]]:
    """(run, system) of every measurement: another system is first in each run, so that a machine that becomes slower
    meanwhile favours none. (2, 2) -> (0, 0), (0, 1), (1, 1), (1, 0)
    """
    for run in range(runs):
        for turn in range(systems):
            yield run, (turn + run) % systems


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


def list_thread_counts(cores: int) -> list[int]:
    """6 -> [1, 2, 4, 6]: powers of two below all cores, and these."""
    return [*(2**n for n in range(cores.bit_length()) if 2**n < cores), cores]


def list_worker_settings(cores: int) -> list[tuple[int, int]]:
    """2 -> (1, 2), (2, 1), (2, 2), (4, 1): workers and threads, from one that has all cores to two for each core."""
    pairs = [(1, cores), (cores, 1), (2, max(1, cores // 2)), (2, cores), (2 * cores, 1)]
    return list(dict.fromkeys(pairs))


def _transcribe(worker: WorkerClient, recording: Recording) -> tuple[str, float]:
    text, _, took_s = worker.transcribe_text(recording.samples, recording.language)
    return text, took_s


def _repeat(recordings: Sequence[Recording], min_count: int) -> list[Recording]:
    """All recordings, repeated until they are at least `min_count`."""
    return list(recordings) * math.ceil(min_count / len(recordings))


def _to_uploads(recordings: Sequence[Recording]) -> list[tuple[Path, str]]:
    return [(it.file, it.language) for it in recordings if it.file is not None]
