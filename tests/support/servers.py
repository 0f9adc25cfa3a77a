"""Servers for tests: the real application and the real HTTP server on a small program without a network."""

from __future__ import annotations

import io
import re
import socket
import sys
import threading
import wave
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from numpy.typing import NDArray

from neuron_whisper.server import ServerSettings, serve
from neuron_whisper.server.models.registry import ModelRegistry
from neuron_whisper.server.run import DrainingServer
from neuron_whisper.server.state import ServerState
from neuron_whisper.text.special_tokens import N_TIMESTAMPS, SpecialTokens
from neuron_whisper.text.tokenizer import BYTE_TO_UNICODE, Tokenizer
from neuron_whisper.transcriber import Transcriber
from tests.support import tiny_program
from tests.support.fake_session import FakeSession

TRANSCRIPTIONS = "/v1/audio/transcriptions"
TIMEOUT_S = 20.0


def tone(hertz: float = 440.0, seconds: float = 1.0, rate: int = 16_000) -> bytes:
    """A wav of one tone; the program transcribes each frequency to another text."""
    t = np.arange(int(seconds * rate)) / rate
    return wav(0.3 * np.sin(2 * np.pi * hertz * t), rate)


def wav(samples: NDArray[np.floating], rate: int = 16_000) -> bytes:
    """Samples of -1 to 1 as 16 bit, mono."""
    held = io.BytesIO()
    with wave.open(held, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((32_767 * samples).astype("<i2").tobytes())
    return held.getvalue()


def make_transcriber(
    *,
    name: str = "turbo",
    slots: int = 3,
    queue_limit: int = 64,
    is_multilingual: bool = True,
    fault_at: int | None = None,
) -> tuple[Transcriber, FakeSession]:
    """A transcriber whose tokens are bytes, and the session whose gate holds it."""
    special = SpecialTokens.from_layout(eot=256, n_languages=5, blank=ord(" "), is_multilingual=is_multilingual)
    dims = replace(tiny_program.DIMS, n_audio_ctx=1500, n_vocab=special.timestamp_begin + N_TIMESTAMPS)
    session = FakeSession(tiny_program.spec(slots=slots, beams=1, dims=dims, special=special), fault_at=fault_at)
    tokenizer = Tokenizer({BYTE_TO_UNICODE[byte]: byte for byte in range(256)}, [], special)
    return Transcriber.from_session(session, tokenizer, name=name, queue_limit=queue_limit), session


def read_error(response: httpx.Response, status: int) -> dict[str, Any]:
    """The error of a response, which must have this status and OpenAI's format, without internal details."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    assert response.headers["x-request-id"]
    error = response.json().pop("error")
    assert response.json().keys() == {"error"}
    assert error.keys() == {"message", "type", "param", "code"}
    assert error["type"] == ("invalid_request_error" if status < 500 else "server_error")
    assert not re.search(r"Traceback|\.py\b|neuron_whisper", error["message"])
    assert isinstance(error, dict)
    return error


@dataclass(frozen=True, slots=True)
class RunningServer:
    """A server in a thread of this process."""

    url: str
    transcriber: Transcriber
    session: FakeSession
    server: DrainingServer
    settings: ServerSettings

    @property
    def address(self) -> tuple[str, int]:
        return "127.0.0.1", int(self.url.rpartition(":")[2])

    def client(self) -> httpx.Client:
        # there is no TLS here, and its context is slow to make
        return httpx.Client(base_url=self.url, timeout=TIMEOUT_S, verify=False)

    def post(self, audio: bytes | None = None, path: str = TRANSCRIPTIONS, **fields: str) -> httpx.Response:
        with self.client() as client:
            return client.post(path, files={"file": ("tone.wav", audio or tone())}, data=fields)

    def wait_for(self, **counts: int) -> None:
        """Wait until /health/ready has these counts: decoding=1, waiting=0."""
        wait_for(self.url, **counts)


def wait_for(url: str, **expected: Any) -> None:
    """Wait until /health/ready has these values; every look is a request, so there is no sleep."""
    with httpx.Client(base_url=url, timeout=TIMEOUT_S, verify=False) as client:
        for _ in range(2000):
            health = client.get("/health/ready").json()
            if all(health.get(name) == value for name, value in expected.items()):
                return
    raise AssertionError(f"{health} never became {expected}")


@contextmanager
def run_server(
    settings: ServerSettings | None = None, *, send_buffer_bytes: int | None = None, **program: Any
) -> Iterator[RunningServer]:
    """A server on a free port, ended with everything it holds."""
    chosen = settings or ServerSettings(vad_filter=False)
    spoken_for, session = make_transcriber(**program)
    try:
        with serve_in_thread(spoken_for, chosen, send_buffer_bytes=send_buffer_bytes) as (url, server):
            try:
                yield RunningServer(url, spoken_for, session, server, chosen)
            finally:
                session.gate.set()
    finally:
        spoken_for.close()


@contextmanager
def serve_in_thread(
    models: Transcriber | ModelRegistry, settings: ServerSettings, *, send_buffer_bytes: int | None = None
) -> Iterator[tuple[str, DrainingServer]]:
    """The address of a server in a thread, and the server; what is served stays its caller's to close."""
    server_state = ServerState(models, settings)
    listener = socket.create_server(("127.0.0.1", 0))
    if send_buffer_bytes is not None:  # of the kernel, which would take a megabyte for a client that does not read
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer_bytes)
    started = threading.Event()
    server = DrainingServer(server_state, started.set)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        assert started.wait(TIMEOUT_S)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", server
    finally:
        server.should_exit = True
        thread.join()


def main(drain_s: str, fault_at: str = "0", jobs_dir: str = "", jobs_max_attempts: str = "3") -> None:
    """A server process that prints its URL, blocks its first decode step until it reads a line, then serves."""
    served, session = make_transcriber(fault_at=int(fault_at) or None)
    session.gate.clear()

    def open_gate() -> None:
        sys.stdin.readline()
        session.gate.set()

    threading.Thread(target=open_gate, daemon=True).start()
    settings = ServerSettings(
        port=0,
        drain_s=float(drain_s),
        vad_filter=False,
        jobs_dir=Path(jobs_dir) if jobs_dir else None,
        jobs_max_attempts=int(jobs_max_attempts),
    )
    serve(served, settings, on_listening=lambda url: print(url, flush=True))  # noqa: T201  # read by the test


if __name__ == "__main__":
    main(*sys.argv[1:])
