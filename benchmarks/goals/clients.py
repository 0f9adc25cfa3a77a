"""Clients of a transcription server: each uploads one clip after the other, and all at once."""

from __future__ import annotations

import http.client
import json
import threading
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from neuron_whisper.bench.accuracy.metrics import percentile
from neuron_whisper.errors import TargetUnavailable

TIMEOUT_S = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadResult:
    """What clients saw: seconds of all, those of each request, and each clip's text, in the clips' order."""

    seconds: float
    latencies_s: tuple[float, ...]
    texts: tuple[str, ...]

    @property
    def p95_s(self) -> float:
        return percentile(self.latencies_s, 95)


def run_clients(url: str, clips: Sequence[tuple[Path, str]], clients: int) -> LoadResult:
    """Every (file, language) once, by `clients` threads with a connection each.

    Raises TargetUnavailable with the first answer that is no text.
    """
    bodies = [_encode_form(path, language) for path, language in clips]
    texts, latencies = [""] * len(clips), [0.0] * len(clips)
    waiting = list(reversed(range(len(clips))))
    faults: list[str] = []

    def work() -> None:
        connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=TIMEOUT_S)
        try:
            while not faults:
                try:
                    n = waiting.pop()
                except IndexError:
                    return
                started = time.perf_counter()
                texts[n] = _post(connection, *bodies[n])
                latencies[n] = time.perf_counter() - started
        except (OSError, http.client.HTTPException, ValueError, KeyError) as error:
            faults.append(f"{type(error).__name__}: {error}")
        finally:
            connection.close()

    threads = [threading.Thread(target=work, name=f"client {n}") for n in range(clients)]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if faults:
        raise TargetUnavailable("clients", faults[0])
    return LoadResult(seconds=time.perf_counter() - started, latencies_s=tuple(latencies), texts=tuple(texts))


def _post(connection: http.client.HTTPConnection, body: bytes, content_type: str) -> str:
    connection.request("POST", "/v1/audio/transcriptions", body, {"content-type": content_type})
    answer = connection.getresponse()
    content = answer.read()
    if answer.status != 200:
        raise ValueError(f"HTTP {answer.status}: {content[:300].decode(errors='replace')}")
    return str(json.loads(content)["text"])


def _encode_form(path: Path, language: str) -> tuple[bytes, str]:
    boundary = uuid.uuid4().hex
    fields = {"model": "whisper-1", "language": language, "response_format": "json"}
    parts = [
        f'--{boundary}\r\ncontent-disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, value in fields.items()
    ]
    head = f'--{boundary}\r\ncontent-disposition: form-data; name="file"; filename="{path.name}"\r\n\r\n'.encode()
    body = b"".join([*parts, head, path.read_bytes(), f"\r\n--{boundary}--\r\n".encode()])
    return body, f"multipart/form-data; boundary={boundary}"
