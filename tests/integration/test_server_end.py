"""How a server process ends: drained, out of patience, at once, or with its device."""

from __future__ import annotations

import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx

from tests.support.paths import ROOT
from tests.support.servers import TIMEOUT_S, TRANSCRIPTIONS, read_error, tone, wait_for

IGNORE_SIGTERM = """
import os, signal, sys
signal.signal(signal.SIGTERM, signal.SIG_IGN)
os.execv(sys.executable, sys.argv[1:])
"""


class ServerProcess:
    """A server process whose engine waits until `open_gate`."""

    def __init__(self, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.servers", *arguments],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.url = self.process.stdout.readline().strip()

    def post(self) -> httpx.Response:
        return httpx.post(self.url + TRANSCRIPTIONS, files={"file": tone()}, timeout=TIMEOUT_S)

    def open_gate(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def __enter__(self) -> ServerProcess:
        return self

    def __exit__(self, *error: object) -> None:
        self.process.kill()
        self.process.communicate()


def test_a_terminated_server_finishes_what_it_has_and_takes_nothing_new() -> None:
    with ServerProcess("30") as child, ThreadPoolExecutor() as clients:
        answer = clients.submit(child.post)
        wait_for(child.url, decoding=1)
        child.process.terminate()
        wait_for(child.url, status="draining")
        assert httpx.get(child.url + "/health/ready").status_code == 503
        refused = child.post()
        assert read_error(refused, 503)["code"] == "draining"
        assert int(refused.headers["retry-after"]) >= 1
        child.open_gate()
        assert answer.result().status_code == 200
        assert child.process.wait(TIMEOUT_S) == 0


def test_a_drain_that_takes_too_long_answers_what_is_left_and_ends() -> None:
    with ServerProcess("0") as child, ThreadPoolExecutor() as clients:
        answer = clients.submit(child.post)
        wait_for(child.url, decoding=1)
        child.process.terminate()
        assert read_error(answer.result(), 503)["code"] == "draining"
        assert child.process.wait(TIMEOUT_S) == 0


def test_a_second_signal_ends_the_process_at_once() -> None:
    with ServerProcess("30") as child, ThreadPoolExecutor() as clients:
        answer = clients.submit(child.post)
        wait_for(child.url, decoding=1)
        child.process.terminate()
        wait_for(child.url, status="draining")
        child.process.terminate()
        assert child.process.wait(TIMEOUT_S) == -15
        assert isinstance(answer.exception(), httpx.TransportError)


def test_sigterm_before_a_server_is_loaded_ends_it_where_it_is_ignored() -> None:
    """As process 1 of a container: its SIGTERM has no default action."""
    command = [
        sys.executable,
        "-c",
        IGNORE_SIGTERM,
        sys.executable,
        "-m",
        "neuron_whisper",
        "serve",
        "--artifact",
        "none",
    ]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL) as process:
        try:
            while not catches_sigterm(process.pid):
                assert process.poll() is None
            process.terminate()
            assert process.wait(TIMEOUT_S) == 128 + signal.SIGTERM
        finally:
            process.kill()


def catches_sigterm(pid: int) -> bool:
    """Whether the process has a handler for it."""
    status = Path(f"/proc/{pid}/status").read_text()
    (mask,) = (line.split()[1] for line in status.splitlines() if line.startswith("SigCgt:"))
    return bool(int(mask, 16) >> (signal.SIGTERM - 1) & 1)


def test_a_server_whose_device_fails_answers_and_ends_with_an_error() -> None:
    with ServerProcess("30", "2") as child:
        child.open_gate()
        refused = child.post()
        assert read_error(refused, 503)["code"] == "device_fault"
        assert child.process.wait(TIMEOUT_S) not in (0, None)
