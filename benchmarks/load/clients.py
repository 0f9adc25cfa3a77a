"""Load generator: concurrent clients of any OpenAI-compatible server, and the result of each request."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import httpx

from benchmarks.process.requests import TRANSCRIPTIONS
from benchmarks.process.usage import resident_memory_bytes

REFUSAL_STATUSES = (429, 503)
MAX_RETRY_WAIT_S = 5.0  # cap on Retry-After
MIN_RETRY_WAIT_S = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadClip:
    name: str
    content: bytes
    duration_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadConfig:
    """How requests are made: `fields` of the form; `respect_retry_after`: a refused client waits for Retry-After."""

    url: str
    fields: Mapping[str, str]
    key: str | None = None
    timeout_s: float = 300.0
    respect_retry_after: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestResult:
    """One request: seconds since the level began, seconds it took, "ok", "refused" or what went wrong."""

    at_s: float
    took_s: float
    outcome: str
    audio_s: float
    retry_after_s: float | None = None


@dataclass(slots=True)
class MemoryRecorder:
    """Resident bytes of a process and all it started, looked at from time to time."""

    pid: int
    samples: list[tuple[float, int]] = field(default_factory=list)

    def record(self, at_s: float) -> None:
        self.samples.append((at_s, resident_memory_bytes(self.pid)))


async def run_level(
    config: LoadConfig,
    clips: Sequence[UploadClip],
    *,
    clients: int,
    duration_s: float,
    seed: int = 0,
    memory: MemoryRecorder | None = None,
) -> list[RequestResult]:
    """Run `clients`, each with one request after another, for `duration_s`; requests in flight then are finished."""
    answers: list[RequestResult] = []
    limits = httpx.Limits(max_connections=clients, max_keepalive_connections=clients)
    headers = {"Authorization": f"Bearer {config.key}"} if config.key else {}
    async with httpx.AsyncClient(
        base_url=config.url, timeout=config.timeout_s, limits=limits, headers=headers, trust_env=False
    ) as http:
        began = time.perf_counter()  # now: a client that could do TLS takes its time to be made

        async def client(number: int) -> None:
            chance = random.Random(seed * 1000 + number)
            while time.perf_counter() - began < duration_s:
                answer = await _send_request(http, config, chance.choice(clips), began)
                answers.append(answer)
                if answer.outcome == "refused" and config.respect_retry_after:
                    rest = answer.retry_after_s if answer.retry_after_s is not None else 1.0
                    left = began + duration_s - time.perf_counter()
                    rest = min(rest * chance.uniform(0.8, 1.2), MAX_RETRY_WAIT_S, left)
                    await asyncio.sleep(max(MIN_RETRY_WAIT_S, rest))
                elif answer.outcome != "ok":
                    await asyncio.sleep(MIN_RETRY_WAIT_S)

        looking = asyncio.ensure_future(_record_memory(memory, began)) if memory is not None else None
        try:
            await asyncio.gather(*(client(number) for number in range(clients)))
        finally:
            if looking is not None:
                looking.cancel()
                await asyncio.gather(looking, return_exceptions=True)
    return answers


async def _send_request(
    http: httpx.AsyncClient, config: LoadConfig, clip: UploadClip, started_at: float
) -> RequestResult:
    started = time.perf_counter()
    retry_after: float | None = None
    try:
        answer = await http.post(TRANSCRIPTIONS, files={"file": (clip.name, clip.content)}, data=dict(config.fields))
        kind = _classify_response(answer)
        header = answer.headers.get("retry-after", "")
        retry_after = float(header) if header.replace(".", "", 1).isdecimal() else None
    except httpx.HTTPError as error:
        kind = type(error).__name__
    return RequestResult(
        at_s=started - started_at,
        took_s=time.perf_counter() - started,
        outcome=kind,
        audio_s=clip.duration_s,
        retry_after_s=retry_after,
    )


def _classify_response(response: httpx.Response) -> str:
    if response.status_code == 200:
        return "ok"
    if response.status_code in REFUSAL_STATUSES and "retry-after" in response.headers:
        return "refused"
    try:
        code = response.json()["error"]["code"]
    except (ValueError, KeyError, TypeError):
        code = None
    return f"{response.status_code} {code or ''}".strip()


async def _record_memory(memory: MemoryRecorder, started_at: float, interval_s: float = 1.0) -> None:
    while True:
        memory.record(time.perf_counter() - started_at)
        await asyncio.sleep(interval_s)
