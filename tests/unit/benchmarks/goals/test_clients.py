"""Clients against a real server on a scripted model."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks.goals.clients import run_clients
from benchmarks.goals.http_peer import Handler, Server
from neuron_whisper.errors import TargetUnavailable


@contextmanager
def serve_peer(transcribe: Any) -> Iterator[str]:
    """The peer's server on a scripted model."""
    own = {"model": SimpleNamespace(transcribe=transcribe), "slots": threading.Semaphore(1)}
    handler = type("Own", (Handler,), own)
    with Server(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def test_clients_send_every_clip_once_and_read_its_text(tmp_path: Path) -> None:
    clips = []
    for n in range(7):
        (tmp_path / f"{n}.wav").write_bytes(bytes([n]) * 1000 + b"\r\n--\x00")
        clips.append((tmp_path / f"{n}.wav", "de"))

    def transcribe(file: Any, *, language: str, beam_size: int) -> tuple[list[Any], None]:
        content = file.read()
        assert (language, beam_size, content[-5:]) == ("de", 1, b"\r\n--\x00")
        return [SimpleNamespace(text=f" {content[0]}"), SimpleNamespace(text=f" of {len(content)}")], None

    with serve_peer(transcribe) as url:
        result = run_clients(url, clips, 3)
    assert result.texts == tuple(f"{n} of 1005" for n in range(7))
    assert all(0 < latency <= result.seconds for latency in result.latencies_s)


def test_a_response_that_is_no_transcript_ends_the_load(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(b"a")

    class Refusing(Handler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.send_error(503, "no slot is free")

    with Server(("127.0.0.1", 0), Refusing) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        with pytest.raises(TargetUnavailable, match="HTTP 503"):
            run_clients(f"http://127.0.0.1:{server.server_address[1]}", [(tmp_path / "a.wav", "en")] * 3, 2)
        server.shutdown()
        thread.join()
