"""Starts a server process, waits until it is ready, and stops it."""

from __future__ import annotations

import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Mapping, Sequence
from typing import Self

from neuron_whisper.bench.process.memory import peak_memory_bytes
from neuron_whisper.errors import TargetUnavailable

LISTENING = "listening on "  # then the URL: a line on the server's stderr
POLL_INTERVAL_S = 0.01
START_TIMEOUT_S = 1200.0  # a big model is read, loaded and checked; a process that ends is noticed at once
STOP_TIMEOUT_S = 30.0
LOG_TAIL_CHARACTERS = 400  # shown when it ends early
LOG_NOTE_CHARACTERS = 8000  # of the note that an error carries


class ServerProcess:
    """A command that prints `listening on URL` to stderr; `ready_path` answers 200 when it can work.

    `started_at` is by time.perf_counter. Raises TargetUnavailable, with the end of its log, when it does not start;
    more of the log is a note of that error.
    """

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str] | None = None,
        *,
        ready_path: str,
        start_timeout_s: float = START_TIMEOUT_S,
    ):
        self._name = command[command.index("-m") + 1] if "-m" in command else command[0]
        # to a file: the server would block on a full pipe
        self._log = tempfile.TemporaryFile("w+", errors="replace")  # noqa: SIM115 - closed in close()
        self.started_at = time.perf_counter()
        self._process = subprocess.Popen(  # noqa: S603 - the caller's own command
            command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=self._log
        )
        self.pid = self._process.pid
        try:
            deadline = self.started_at + start_timeout_s
            self.url = self._wait_for_url(deadline)
            self._wait_until_ready(f"{self.url}{ready_path}", deadline)
        except BaseException as error:
            error.add_note(self.read_log()[-LOG_NOTE_CHARACTERS:])
            self.close()
            raise
        self.ready_s = time.perf_counter() - self.started_at

    def read_log(self) -> str:
        """Everything the server has written to stderr so far."""
        self._log.seek(0)
        return self._log.read()

    def _wait_for_url(self, deadline: float) -> str:
        while time.perf_counter() < deadline:
            _, announced, rest = self.read_log().partition(LISTENING)
            if announced and "\n" in rest:
                return rest.split()[0].rstrip("/")
            self._check_alive()
            time.sleep(POLL_INTERVAL_S)
        waited_s = time.perf_counter() - self.started_at
        tail = self._read_log_tail()
        raise TargetUnavailable(self._name, f"it did not listen within {waited_s:.0f} s: {tail}")

    def _wait_until_ready(self, url: str, deadline: float) -> None:
        while True:
            try:
                with urllib.request.urlopen(url, timeout=5):  # noqa: S310 - the server that was just started
                    return
            except OSError as error:
                self._check_alive()
                if time.perf_counter() > deadline:
                    raise TargetUnavailable(self._name, f"it did not get ready: {error}") from None
                time.sleep(POLL_INTERVAL_S)

    def _check_alive(self) -> None:
        if (code := self._process.poll()) is not None:
            raise TargetUnavailable(self._name, f"its process ended with {code}: {self._read_log_tail()}")

    def _read_log_tail(self) -> str:
        return " ".join(self.read_log().split())[-LOG_TAIL_CHARACTERS:] or "its log is empty"

    def peak_memory_bytes(self) -> int:
        return peak_memory_bytes(self.pid)

    def stop(self) -> int:
        """End the process by SIGTERM, or by SIGKILL when it does not end; its exit code."""
        self._process.terminate()
        try:
            return self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        self.stop()
        self._log.close()
