"""Clients of a transcription server: each uploads one clip after another, all at the same time."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx

from benchmarks.process.requests import RESPONSE_TIMEOUT_S, TRANSCRIPTIONS, encode_form
from neuron_whisper.bench.accuracy.metrics import percentile
from neuron_whisper.errors import TargetUnavailable


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadResult:
    """Seconds for all requests, seconds of each, and each clip's text, in the clips' order."""

    seconds: float
    latencies_s: tuple[float, ...]
    texts: tuple[str, ...]

    @property
    def p95_s(self) -> float:
        return percentile(self.latencies_s, 95)


def run_clients(url: str, clips: Sequence[tuple[Path, str]], clients: int) -> LoadResult:
    """Send every (file, language) once, by `clients` threads with a connection each.

    Raises TargetUnavailable with the first response that is no transcript.
    """
    fields = {"model": "whisper-1", "response_format": "json"}
    bodies = [encode_form(path, {**fields, "language": language}) for path, language in clips]
    texts, latencies = [""] * len(clips), [0.0] * len(clips)
    waiting = list(reversed(range(len(clips))))
    errors: list[str] = []

    def work() -> None:
        try:
            with httpx.Client(base_url=url, timeout=RESPONSE_TIMEOUT_S, trust_env=False) as client:
                while not errors:
                    try:
                        n = waiting.pop()
                    except IndexError:
                        return
                    started = time.perf_counter()
                    texts[n] = _post(client, *bodies[n])
                    latencies[n] = time.perf_counter() - started
        except (httpx.HTTPError, ValueError, KeyError) as error:
            errors.append(f"{type(error).__name__}: {error}")

    threads = [threading.Thread(target=work, name=f"client {n}") for n in range(clients)]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise TargetUnavailable("clients", errors[0])
    return LoadResult(seconds=time.perf_counter() - started, latencies_s=tuple(latencies), texts=tuple(texts))


def _post(client: httpx.Client, body: bytes, headers: dict[str, str]) -> str:
    response = client.post(TRANSCRIPTIONS, content=body, headers=headers)
    if response.status_code != 200:
        raise ValueError(f"HTTP {response.status_code}: {response.text[:300]}")
    return str(response.json()["text"])
