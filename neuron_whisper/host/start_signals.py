"""SIGTERM from the first moment of a process, before the modules are loaded that handle it well."""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType

TERMINATED = 128 + signal.SIGTERM  # as a shell reports a command ended by SIGTERM


def end_on_sigterm() -> None:
    """End the process at SIGTERM where the signal would be ignored, until another handler takes its place.

    Process 1 of a container has no default action for signals, and a child inherits that its parent ignores one: then
    a SIGTERM that comes early is lost, and the container is killed much later.
    """
    is_ignored = os.getpid() == 1 or signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
    if is_ignored and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _end)


def _end(number: int, frame: FrameType | None) -> None:
    os._exit(TERMINATED)
