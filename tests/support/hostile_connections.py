"""Clients that attack a server's connections with raw bytes, and how long others wait meanwhile."""

from __future__ import annotations

import base64
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TypeVar

import httpx

from tests.support.servers import TRANSCRIPTIONS

T = TypeVar("T")
Address = tuple[str, int]
TIMEOUT_S = 20.0
TEXT, BINARY, CONTINUATION, CLOSE, PING = 1, 2, 0, 8, 9

UPLOAD_PART = b'--edge\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
CHUNKED_HEADERS = (
    f"POST {TRANSCRIPTIONS} HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=edge\r\n"
    "Transfer-Encoding: chunked\r\n\r\n"
).encode()


def make_chunked_upload(content: bytes, chunk_bytes: int) -> bytes:
    """A request that uploads `content` in chunks of this size."""
    body = UPLOAD_PART + content + b"\r\n--edge--\r\n"
    pieces = [body[start : start + chunk_bytes] for start in range(0, len(body), chunk_bytes)]
    return CHUNKED_HEADERS + b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


def make_upgrade(
    path: str = "/v1/audio/stream", *headers: str, method: str = "GET", version: str = "1.1", body: bytes = b""
) -> bytes:
    """A request that opens a WebSocket, with further headers."""
    lines = [
        f"{method} {path} HTTP/{version}",
        "Host: localhost",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}",
        *headers,
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + body


def make_frame(opcode: int, payload: bytes = b"", *, is_final: bool = True) -> bytes:
    """A masked frame; the mask is zero, so that the payload stays as it is."""
    size = len(payload)
    length = bytes([0x80 | size]) if size < 126 else bytes([0x80 | 126]) + size.to_bytes(2)
    return bytes([(0x80 if is_final else 0) | opcode]) + length + bytes(4) + payload


def exchange(address: Address, request: bytes, *more: bytes, timeout_s: float = TIMEOUT_S) -> bytes:
    """Send a request, then, when it is answered, `more`; everything that comes until the server closes.

    Raises TimeoutError where it does not close.
    """
    found = b""
    with socket.create_connection(address, timeout=timeout_s) as connection, suppress(ConnectionError):
        connection.sendall(request)
        for piece in more:
            found += connection.recv(65536)
            connection.sendall(piece)
        while data := connection.recv(65536):
            found += data
    return found


def read_response(address: Address, request: bytes) -> bytes:
    """The first bytes of the answer; the connection is closed then. Raises TimeoutError."""
    with socket.create_connection(address, timeout=TIMEOUT_S) as connection:
        connection.sendall(request)
        return connection.recv(65536)


@dataclass(slots=True)
class Neighbour:
    """A client that asks for /health/live again and again. `waits_s`: how long each answer took."""

    url: str
    waits_s: list[float] = field(default_factory=list)

    @contextmanager
    def asking(self) -> Iterator[None]:
        is_over = threading.Event()

        def ask() -> None:
            with httpx.Client(base_url=self.url, timeout=TIMEOUT_S, verify=False, trust_env=False) as client:
                while True:
                    started = time.monotonic()
                    client.get("/health/live").raise_for_status()
                    self.waits_s.append(time.monotonic() - started)
                    if is_over.wait(0.01):
                        return

        thread = threading.Thread(target=ask)
        thread.start()
        try:
            yield
        finally:
            is_over.set()
            thread.join()


def run_at_once(n: int, attack: Callable[[], T]) -> list[T]:
    """Run the attack in `n` threads at once."""
    found: list[T] = []
    threads = [threading.Thread(target=lambda: found.append(attack())) for _ in range(n)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def read_until_closed(connection: socket.socket) -> bytes:
    """Everything until the server closes."""
    connection.settimeout(20)
    found = b""
    try:
        while piece := connection.recv(65536):
            found += piece
    except ConnectionResetError:
        pass
    return found
