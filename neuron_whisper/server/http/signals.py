"""SIGTERM before the event loop runs: a process that is still loading models has nothing to finish."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

SIGTERM_EXIT_STATUS = 128 + signal.SIGTERM  # as a shell reports a command ended by SIGTERM


@contextmanager
def exit_on_sigterm() -> Iterator[None]:
    """While the block runs, SIGTERM ends the process at once. For the main thread.

    Process 1 of a container has no default action for SIGTERM, and a Python handler runs only when the main thread
    returns from the native code that loads a model. So a thread reads the interpreter's wakeup descriptor instead.
    """
    writer, reader = socket.socketpair()
    writer.setblocking(False)
    old_handler = signal.signal(signal.SIGTERM, lambda number, frame: None)
    old_descriptor = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)

    def exit_when_signalled() -> None:
        for number in iter(lambda: reader.recv(1), b""):
            if number[0] == signal.SIGTERM:
                os._exit(SIGTERM_EXIT_STATUS)

    thread = threading.Thread(target=exit_when_signalled, name="exit-on-sigterm", daemon=True)
    thread.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(old_descriptor)
        signal.signal(signal.SIGTERM, old_handler)
        writer.close()
        thread.join()
        reader.close()
