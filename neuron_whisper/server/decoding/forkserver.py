"""ForkserverClient: starts the process from which decoders are forked, and asks it for them."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TypeVar

from neuron_whisper.audio.process.messages import MessageSocket

log = logging.getLogger(__name__)

T = TypeVar("T")

STOP_TIMEOUT_S = 0.2  # it may import what takes longer; nothing is lost with it when it is killed
# What an interpreter and its libraries need to start; no secret of the server's comes with it.
PASSED_VARIABLES = ("PATH", "HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "PYTHONPATH", "TMPDIR", "TEMP", "TMP")


class ForkserverClient:
    """The forkserver, started by `start` or by the first `fork`, and again if it has died.

    Its calls run in one thread, in order. `close` may be called by any thread.
    """

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, "decoder-forkserver")
        self._process: subprocess.Popen[bytes] | None = None
        self._starting: subprocess.Popen[bytes] | None = None  # until it is ready
        self._messages: MessageSocket | None = None
        self._connections: list[socket.socket] = []  # of decoders, so that none is left by a cancelled request
        self._closing = threading.Event()

    def start(self) -> None:
        """Start the process now, without waiting for it."""
        self._thread.submit(self._ensure_started)

    async def fork(self) -> tuple[int, socket.socket]:
        """A new decoder: its process id, and the socket that is connected to it. Raises OSError."""
        return await self._run(self._fork)

    async def reap(self, pid: int) -> int | None:
        """Wait for the end of a decoder -> its wait status; None where that is not known."""
        return await self._run(lambda: self._reap(pid))

    def forget(self, pid: int) -> None:
        """Reap a decoder that was killed, later."""
        with suppress(RuntimeError):  # closed
            self._thread.submit(self._reap, pid)

    def close(self) -> None:
        """End the process and all decoders."""
        self._closing.set()
        if (process := self._starting) is not None:
            process.kill()
        self._thread.submit(self._stop)
        self._thread.shutdown(wait=True)
        for connection in self._connections:
            connection.close()

    async def _run(self, call: Callable[[], T]) -> T:
        try:
            future = asyncio.get_running_loop().run_in_executor(self._thread, call)
        except RuntimeError as error:
            raise OSError("the decoders are closed") from error
        return await future

    # --- in the thread ------------------------------------------------------------------------------

    def _ensure_started(self) -> MessageSocket:
        if self._closing.is_set():
            raise OSError("the decoders are closed")
        if self._messages is not None and not self._messages.is_closed():
            return self._messages
        self._stop()
        ours, theirs = socket.socketpair()
        with theirs:
            environment = {name: os.environ[name] for name in PASSED_VARIABLES if name in os.environ}
            try:
                self._process = subprocess.Popen(  # noqa: S603  # our own module in our own interpreter
                    [sys.executable, "-P", "-m", "neuron_whisper.audio.process.forkserver", str(theirs.fileno())],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    # threads of a BLAS would be lost in a fork
                    env={**environment, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"},
                    pass_fds=[theirs.fileno()],
                    start_new_session=True,
                )
            except BaseException:
                ours.close()
                raise
        self._messages, self._starting = MessageSocket(ours), self._process
        if self._closing.is_set():  # `close` may have looked too early to see it
            self._process.kill()
        try:
            self._messages.receive()
        except EOFError:
            raise OSError("the process that decodes audio ended while it started") from None
        finally:
            self._starting = None
        return self._messages

    def _fork(self) -> tuple[int, socket.socket]:
        for is_last_try in (False, True):
            ours, theirs = socket.socketpair()
            try:
                with theirs:
                    messages = self._ensure_started()
                    messages.send({"fork": True}, theirs.fileno())
                self._connections = [it for it in (*self._connections, ours) if it.fileno() >= 0]
                return int(messages.receive().fields["pid"]), ours
            except (EOFError, OSError) as error:
                ours.close()
                if is_last_try or self._closing.is_set():
                    raise OSError(str(error) or "the process that decodes audio ended") from error
                log.warning("the forkserver of the decoders ended; it is started again")
        raise AssertionError("unreachable")

    def _reap(self, pid: int) -> int | None:
        if self._messages is None:
            return None
        try:
            self._messages.send({"reap": pid})
            status: int | None = self._messages.receive().fields["status"]
        except (EOFError, OSError):
            return None
        return status

    def _stop(self) -> None:
        if self._messages is not None:
            self._messages.close()
        if self._process is not None:
            try:
                self._process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._messages = self._process = None


def describe_wait_status(status: int) -> str:
    """9 -> "signal SIGKILL"; 256 -> "exit code 1" """
    if not os.WIFSIGNALED(status):
        return f"exit code {os.waitstatus_to_exitcode(status)}"
    number = os.WTERMSIG(status)
    try:
        return f"signal {signal.Signals(number).name}"
    except ValueError:
        return f"signal {number}"
