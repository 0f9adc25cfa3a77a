"""Clients of an OpenAI-compatible server, many at once, and what each of their requests came to. Knows no server."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import httpx

from neuron_whisper.bench.process.memory import resident_memory_bytes

TRANSCRIPTIONS = "/v1/audio/transcriptions"
REFUSED = (429, 503)
LONGEST_REST_S = 5.0  # of a client that was told to come back later
SHORTEST_REST_S = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    name: str
    content: bytes
    duration_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """How requests are made. `fields` are the form's beside the file; `rests`: a refused client heeds Retry-After."""

    url: str
    fields: Mapping[str, str]
    key: str | None = None
    timeout_s: float = 300.0
    rests: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """One request: seconds since the level began, seconds it took, "ok", "refused" or what went wrong."""

    at_s: float
    took_s: float
    kind: str
    audio_s: float
    retry_after_s: float | None = None


@dataclass(slots=True)
class Memory:
    """Resident bytes of a process and all it started, looked at from time to time."""

    pid: int
    samples: list[tuple[float, int]] = field(default_factory=list)

    def look(self, at_s: float) -> None:
        self.samples.append((at_s, resident_memory_bytes(self.pid)))


async def run_level(
    asked: Asked, clips: Sequence[Clip], *, clients: int, duration_s: float, seed: int = 0, memory: Memory | None = None
) -> list[Answered]:
    """So many clients, each with one request after another, for so long; requests that run then are finished."""
    answers: list[Answered] = []
    limits = httpx.Limits(max_connections=clients, max_keepalive_connections=clients)
    headers = {"Authorization": f"Bearer {asked.key}"} if asked.key else {}
    async with httpx.AsyncClient(
        base_url=asked.url, timeout=asked.timeout_s, limits=limits, headers=headers, trust_env=False
    ) as http:
        began = time.perf_counter()  # now: a client that could do TLS takes its time to be made

        async def client(number: int) -> None:
            chance = random.Random(seed * 1000 + number)
            while time.perf_counter() - began < duration_s:
                answer = await _ask(http, asked, chance.choice(clips), began)
                answers.append(answer)
                if answer.kind == "refused" and asked.rests:
                    rest = answer.retry_after_s if answer.retry_after_s is not None else 1.0
                    left = began + duration_s - time.perf_counter()
                    rest = min(rest * chance.uniform(0.8, 1.2), LONGEST_REST_S, left)
                    await asyncio.sleep(max(SHORTEST_REST_S, rest))
                elif answer.kind != "ok":
                    await asyncio.sleep(SHORTEST_REST_S)

        looking = asyncio.ensure_future(_look(memory, began)) if memory is not None else None
        try:
            await asyncio.gather(*(client(number) for number in range(clients)))
        finally:
            if looking is not None:
                looking.cancel()
                await asyncio.gather(looking, return_exceptions=True)
    return answers


async def _ask(http: httpx.AsyncClient, asked: Asked, clip: Clip, began: float) -> Answered:
    started = time.perf_counter()
    retry_after: float | None = None
    try:
        answer = await http.post(TRANSCRIPTIONS, files={"file": (clip.name, clip.content)}, data=dict(asked.fields))
        kind = _kind(answer)
        header = answer.headers.get("retry-after", "")
        retry_after = float(header) if header.replace(".", "", 1).isdecimal() else None
    except httpx.HTTPError as error:
        kind = type(error).__name__
    return Answered(
        at_s=started - began,
        took_s=time.perf_counter() - started,
        kind=kind,
        audio_s=clip.duration_s,
        retry_after_s=retry_after,
    )


def _kind(answer: httpx.Response) -> str:
    if answer.status_code == 200:
        return "ok"
    if answer.status_code in REFUSED and "retry-after" in answer.headers:
        return "refused"
    try:
        code = answer.json()["error"]["code"]
    except (ValueError, KeyError, TypeError):
        code = None
    return f"{answer.status_code} {code or ''}".strip()


async def _look(memory: Memory, began: float, every_s: float = 1.0) -> None:
    while True:
        memory.look(time.perf_counter() - began)
        await asyncio.sleep(every_s)
