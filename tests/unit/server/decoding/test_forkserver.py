"""How the end of a decoder is described, and how soon the forkserver ends."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import pytest

from neuron_whisper.server.decoding.forkserver import ForkserverClient, describe_wait_status


@pytest.mark.parametrize(
    ("status", "text"),
    [(int(signal.SIGSEGV), "signal SIGSEGV"), (3 << 8, "exit code 3"), (0, "exit code 0"), (126, "signal 126")],
)
def test_a_wait_status_in_words(status: int, text: str) -> None:
    assert describe_wait_status(status) == text


SLEEP_S = 20.0
SOON_S = 5.0  # on a machine that runs other tests as well
STUB = """#!{python}
import socket, sys, time
if {is_ready}:
    socket.socket(fileno=int(sys.argv[-1])).sendall(b'{{"fields": {{}}, "descriptors": 0}}\\n')
open({began!r}, "w").close()
time.sleep({sleep_s})
"""


@pytest.mark.parametrize("is_ready", [False, True])
def test_a_close_waits_neither_for_a_start_nor_for_what_the_process_does(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, is_ready: bool
) -> None:
    stub, began = tmp_path / "python", tmp_path / "began"
    os.mkfifo(began)
    stub.write_text(STUB.format(python=sys.executable, is_ready=is_ready, began=str(began), sleep_s=SLEEP_S))
    stub.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(stub))
    client = ForkserverClient()
    client.start()
    with began.open():  # waits until the process opens it
        started = time.monotonic()
        client.close()
    assert time.monotonic() - started < SOON_S
