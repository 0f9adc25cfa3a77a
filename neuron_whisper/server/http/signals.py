"""SIGTERM before there is an event loop: a process that still loads its models has nothing to finish."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

SIGTERM_EXIT_STATUS = 128 + signal.SIGTERM  # what a shell reports of a command that SIGTERM ended


@contextmanager
def exit_on_sigterm() -> Iterator[None]:
    """While the block runs, SIGTERM ends the process at once. For the main thread.

    Process 1 of a container has no default action, and a Python handler waits until the main thread comes back from
    the native code that loads a model: so a thread waits for what the interpreter's own handler writes.
    """
    told, heard = socket.socketpair()
    told.setblocking(False)
    before = signal.signal(signal.SIGTERM, lambda number, frame: None)
    descriptor = signal.set_wakeup_fd(told.fileno(), warn_on_full_buffer=False)

    def wait() -> None:
        for number in iter(lambda: heard.recv(1), b""):
            if number[0] == signal.SIGTERM:
                os._exit(SIGTERM_EXIT_STATUS)

    waiting = threading.Thread(target=wait, name="ends-at-once", daemon=True)
    waiting.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(descriptor)
        signal.signal(signal.SIGTERM, before)
        told.close()
        waiting.join()
        heard.close()
