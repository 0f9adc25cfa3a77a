"""WorkerProcess: one worker process, its messages, its output and its exit status."""

from __future__ import annotations

import logging
import os
import queue
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections import deque
from contextlib import suppress
from multiprocessing.connection import Connection, wait

from neuron_whisper.engine.messages import Channel, Start, WorkerCommand, WorkerEvent
from neuron_whisper.engine.worker_resources import WorkerResources

log = logging.getLogger(__name__)

MAX_OUTPUT_LINES = 20  # of a worker's output, kept for the error that reports its end
MAX_LINE_BYTES = 1000
REAP_TIMEOUT_S = 5.0  # from the end of a worker's socket to its exit; a killed one may hang in a driver for ever
LOG_LEVELS = logging.getLevelNamesMapping()
LEVEL_PREFIX = re.compile(r"(DEBUG|INFO|WARNING|ERROR|CRITICAL) ")  # log lines of our own code begin with it
MESSAGE_TIMEOUT_S = 30.0  # for the rest of a message that has begun to arrive: its sender may have been stopped midway


class WorkerProcess:
    """A child process, started by the constructor and never by fork. Any thread may `send` and `kill`.

    One thread constructs it and calls everything else. That thread must outlive the process: Linux sends a child the
    signal of its parent's death when the thread that started it ends.
    Raises OSError when no process can be started.
    """

    def __init__(
        self,
        index: int,
        resources: WorkerResources,
        start: Start,
        *,
        message_timeout_s: float = MESSAGE_TIMEOUT_S,
    ) -> None:
        self._index = index
        ours, theirs = socket.socketpair()
        with theirs:
            cpus = ",".join(map(str, resources.cpus)) or "-"
            try:
                self._process = subprocess.Popen(  # noqa: S603 - our own module in our own interpreter
                    [
                        sys.executable,
                        "-P",
                        "-m",
                        "neuron_whisper.engine.worker",
                        str(theirs.fileno()),
                        str(os.getpid()),
                        cpus,
                    ],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    bufsize=0,
                    env=dict(resources.environment),
                    pass_fds=[theirs.fileno()],
                    start_new_session=True,
                )
            except BaseException:
                ours.close()
                raise
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _to_timeval(min(MESSAGE_TIMEOUT_S, message_timeout_s)))
        self._channel = Channel(Connection(ours.detach()))
        assert self._process.stdout is not None
        self._output = self._process.stdout
        os.set_blocking(self._output.fileno(), False)
        self._is_output_closed = False
        self._partial_line = b""
        self._output_lines: deque[str] = deque(maxlen=MAX_OUTPUT_LINES)
        self._outbox: queue.SimpleQueue[WorkerCommand | None] = queue.SimpleQueue()
        self._writer = threading.Thread(target=self._run_writer, name=f"worker-{index}-writer", daemon=True)
        self._writer.start()
        self.send(start)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def last_output(self) -> str:
        """The last lines that it wrote to stdout and stderr."""
        return "\n".join(self._output_lines)

    def send(self, message: WorkerCommand) -> None:
        """Queue a message, in order; returns at once, also when the worker does not read."""
        self._outbox.put(message)

    def kill(self) -> None:
        self._process.kill()  # does nothing to one that was reaped

    def _run_writer(self) -> None:
        try:
            while (message := self._outbox.get()) is not None:
                self._channel.send(message)
        except OSError:
            log.debug("worker=%d closed its connection", self._index)  # `receive` raises EOFError for it
        except Exception:  # a message that cannot be sent must not be waited for
            log.exception("worker=%d message cannot be sent", self._index)
            self.kill()

    def receive(self, timeout_s: float) -> WorkerEvent | None:
        """The next message, None when none came in time. Logs its output meanwhile. Raises EOFError after its end."""
        sources: list[Connection | int] = [self._channel.connection]
        if not self._is_output_closed:
            sources.append(self._output.fileno())
        ready = wait(sources, timeout_s)
        if self._output.fileno() in ready:
            self._log_output()
        if self._channel.connection in ready:
            message: WorkerEvent = self._channel.receive()
            return message
        if not ready and self._process.poll() is not None:
            raise EOFError  # a child of its own keeps the socket open
        return None

    def _log_output(self) -> None:
        """Log its output line by line."""
        while (data := self._output.read(65536)) is not None:  # None: nothing now
            self._is_output_closed = not data
            *lines, self._partial_line = (self._partial_line + data).split(b"\n")
            if self._is_output_closed or len(self._partial_line) > MAX_LINE_BYTES:
                lines, self._partial_line = [*lines, self._partial_line], b""
            for line in lines:
                if text := line.decode(errors="replace").rstrip()[:MAX_LINE_BYTES]:
                    self._output_lines.append(text)
                    level = LOG_LEVELS[found[1]] if (found := LEVEL_PREFIX.match(text)) else logging.INFO
                    log.log(level, "worker=%d %s", self._index, text)
            if self._is_output_closed:
                return

    def reap(self) -> str:
        """Wait for its end, kill it if need be, and free everything -> "exit code 3", "signal SIGKILL". Call once."""
        for _ in range(2):
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(REAP_TIMEOUT_S)
                break
            self.kill()
        self._outbox.put(None)
        self._writer.join(REAP_TIMEOUT_S)
        if not self._is_output_closed:
            self._log_output()
        self._output.close()
        self._channel.close()
        return _describe_exit(self._process.returncode)


def _to_timeval(seconds: float) -> bytes:
    """As setsockopt takes it; 0 would be no timeout."""
    whole = int(seconds)
    return struct.pack("ll", whole, max(1000, int(1e6 * (seconds - whole))))


def _describe_exit(code: int | None) -> str:
    """-9 -> "signal SIGKILL"; 3 -> "exit code 3" """
    if code is None:
        return "not ended by SIGKILL"
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"signal {signal.Signals(-code).name}"
    except ValueError:
        return f"signal {-code}"
