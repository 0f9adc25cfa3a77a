"""Clients that attack a server, a well-behaved client, and the resources of a process."""

from __future__ import annotations

import asyncio
import json
import random
import socket
import struct
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import httpx
from websockets.asyncio.client import connect

from tests.support.hostile_files import Upload
from tests.support.servers import TRANSCRIPTIONS, tone

TIMEOUT_S = 600.0
EXPECTED_STATUSES = (200, 400, 404, 408, 413, 429, 503)  # for any request; 500 would be a defect


@dataclass(slots=True)
class SteadyClient:
    """A well-behaved client that transcribes the same clip over and over and must get the same text each time."""

    url: str
    clip: bytes
    texts: Counter[str] = field(default_factory=Counter)
    latencies_s: list[float] = field(default_factory=list)
    failures: Counter[str] = field(default_factory=Counter)

    async def run(self, pause_s: float = 0.05) -> None:
        async with httpx.AsyncClient(base_url=self.url, timeout=TIMEOUT_S, verify=False, trust_env=False) as http:
            while True:
                started = time.monotonic()
                try:
                    response = await http.post(TRANSCRIPTIONS, files={"file": ("clip", self.clip)})
                except httpx.HTTPError as error:
                    self.failures[type(error).__name__] += 1
                else:
                    self.latencies_s.append(time.monotonic() - started)
                    if response.status_code == 200:
                        self.texts[response.json()["text"]] += 1
                    else:
                        self.failures[str(response.status_code)] += 1
                await asyncio.sleep(pause_s)


async def send_uploads(url: str, uploads: Iterable[Upload], *, at_once: int = 4) -> tuple[Counter[str], list[str]]:
    """Returns the count of each kind and status, and the responses that are wrong."""
    statuses: Counter[str] = Counter()
    problems: list[str] = []
    remaining = iter(uploads)

    async def client(http: httpx.AsyncClient) -> None:
        for upload in remaining:
            try:
                response = await http.post(
                    TRANSCRIPTIONS, files={"file": (upload.name, upload.content)}, data=upload.fields
                )
            except httpx.HTTPError as error:
                problems.append(f"{upload.kind}: {error!r}")
                continue
            status = response.status_code
            statuses[f"{upload.kind}: {status}"] += 1
            if status not in EXPECTED_STATUSES:
                problems.append(f"{upload.kind}: {status} {response.text[:200]}")
            elif status != 200 and response.json()["error"].keys() != {"message", "type", "param", "code"}:
                problems.append(f"{upload.kind}: {response.text[:200]}")

    async with httpx.AsyncClient(base_url=url, timeout=TIMEOUT_S, verify=False, trust_env=False) as http:
        await asyncio.gather(*(client(http) for _ in range(at_once)))
    return statuses, problems


def build_request(content: bytes) -> bytes:
    part = b'--edge\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
    part += content + b"\r\n--edge--\r\n"
    head = (
        f"POST {TRANSCRIPTIONS} HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=edge\r\n"
        f"Content-Length: {len(part)}\r\n\r\n"
    )
    return head.encode() + part


async def disconnect(url: str, n: int, seed: int = 0, *, at_once: int = 16) -> None:
    """`n` clients that disconnect in the headers, in the upload or while they wait, with a FIN or a reset."""
    rng = random.Random(seed)
    request = build_request(tone(seconds=1.0))
    numbers = iter(range(n))

    async def client() -> None:
        for _ in numbers:
            _, writer = await asyncio.open_connection(*_host_and_port(url))
            cut = rng.choice((rng.randrange(200), rng.randrange(len(request)), len(request)))
            writer.write(request[:cut])
            await writer.drain()
            await asyncio.sleep(rng.choice((0.0, 0.01, 0.2)))
            if rng.random() < 0.5:
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                writer.transport.abort()
            writer.close()

    await asyncio.gather(*(client() for _ in range(at_once)))


async def half_close(url: str, n: int) -> int:
    """`n` clients that close their sending side and wait; returns how many got a response."""
    request = build_request(tone(seconds=0.2))

    async def client() -> bool:
        reader, writer = await asyncio.open_connection(*_host_and_port(url))
        writer.write(request)
        writer.write_eof()
        response = await asyncio.wait_for(reader.read(), TIMEOUT_S)
        writer.close()
        return response.startswith(b"HTTP/1.1 ")

    return sum(await asyncio.gather(*(client() for _ in range(n))))


async def slow_loris(url: str, n: int, *, for_s: float) -> int:
    """`n` connections that send a byte of headers or of a body twice a second; returns how many the server closed."""
    started = time.monotonic()

    async def client(number: int) -> bool:
        reader, writer = await asyncio.open_connection(*_host_and_port(url))
        try:
            writer.write(b"POST /v1/audio/transcriptions HTTP/1.1\r\nHost: localhost\r\n")
            if number % 2:
                writer.write(b"Content-Type: multipart/form-data; boundary=edge\r\nContent-Length: 999999\r\n\r\n--e")
            while time.monotonic() - started < for_s:
                writer.write(b"x")
                await writer.drain()
                try:
                    if not await asyncio.wait_for(reader.read(100), 0.5):
                        return True
                except TimeoutError:
                    continue
            return False
        except ConnectionError:
            return True
        finally:
            writer.close()

    return sum(await asyncio.gather(*(client(number) for number in range(n))))


def _host_and_port(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    assert parts.hostname is not None
    assert parts.port is not None
    return parts.hostname, parts.port


def count_open_files(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def count_threads(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/task").iterdir()))


async def send_long_texts(url: str, n: int) -> int:
    """Prompts of 15 MB in realtime sessions, and 1.6 MB of keywords in forms; returns how many were refused."""
    refused = 0
    session = {"type": "transcription", "audio": {"input": {"transcription": {"prompt": "many words " * 1_400_000}}}}
    keywords = [("keywords[]", (None, "many words " * 1_450)) for _ in range(100)]
    async with httpx.AsyncClient(base_url=url, timeout=TIMEOUT_S, verify=False, trust_env=False) as http:
        for _ in range(n):
            async with connect(f"{url.replace('http', 'ws', 1)}/v1/realtime", max_size=None) as socket:
                await socket.recv()
                await socket.send(json.dumps({"type": "session.update", "session": session}))
                refused += json.loads(await socket.recv()).get("error", {}).get("code") == "text_too_long"
            response = await http.post(TRANSCRIPTIONS, files=[("file", ("tone.wav", tone())), *keywords])
            refused += response.status_code == 400
    return refused
