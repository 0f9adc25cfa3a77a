"""A server in a process of its own: started, found by the address it tells, ended."""

from __future__ import annotations

import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Mapping, Sequence
from typing import Self

from neuron_whisper.bench.process.memory import cpu_time_s, peak_memory_bytes
from neuron_whisper.errors import TargetUnavailable

POLL_INTERVAL_S = 0.01
START_TIMEOUT_S = 300.0
STOP_TIMEOUT_S = 30.0
OUTPUT_TAIL_CHARACTERS = 400  # of what it said, where it ended early


class ServerProcess:
    """A command that tells an address on stderr when it listens; `ready_path` answers 200 when it can work."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str] | None = None, *, ready_path: str):
        self._name = command[command.index("-m") + 1] if "-m" in command else command[0]
        # to a file: a pipe that nobody reads would stop it
        self._log = tempfile.TemporaryFile("w+", errors="replace")  # noqa: SIM115 - closed in close()
        self.started_at = time.perf_counter()
        self._process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=self._log)
        self.pid = self._process.pid
        try:
            deadline = self.started_at + START_TIMEOUT_S
            self.url = self._wait_for_url(deadline)
            self._wait_until_ready(f"{self.url}{ready_path}", deadline)
        except BaseException:
            self.close()
            raise
        self.ready_s = time.perf_counter() - self.started_at

    def _read_output(self) -> str:
        self._log.seek(0)
        return self._log.read()

    def _wait_for_url(self, deadline: float) -> str:
        while time.perf_counter() < deadline:
            said = self._read_output()
            if "http://" in said and said.split("http://", 1)[1].count("\n"):
                return "http://" + said.split("http://", 1)[1].split()[0].rstrip("/")
            self._check_alive()
            time.sleep(POLL_INTERVAL_S)
        raise TargetUnavailable(self._name, f"it did not listen within {START_TIMEOUT_S:.0f} s")

    def _wait_until_ready(self, url: str, deadline: float) -> None:
        while True:
            try:
                with urllib.request.urlopen(url, timeout=5):
                    return
            except OSError as error:
                self._check_alive()
                if time.perf_counter() > deadline:
                    raise TargetUnavailable(self._name, f"it did not get ready: {error}") from None
                time.sleep(POLL_INTERVAL_S)

    def _check_alive(self) -> None:
        if (code := self._process.poll()) is not None:
            said = " ".join(self._read_output().split())[-OUTPUT_TAIL_CHARACTERS:]
            raise TargetUnavailable(self._name, f"its process ended with {code}: {said or 'it said nothing'}")

    def peak_memory_bytes(self) -> int:
        return peak_memory_bytes(self.pid)

    def cpu_s(self) -> float:
        """Processor time so far."""
        return cpu_time_s(self.pid)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()
