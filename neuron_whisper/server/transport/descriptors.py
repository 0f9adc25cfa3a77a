"""File descriptors: how many connections they suffice for, and a quiet log where they do not."""

from __future__ import annotations

import asyncio
import errno
import logging
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)

RESERVED = 64  # for files of models, the log, children, and a connection that is answered with 503
LOG_INTERVAL_S = 10.0  # between two lines that say the same
OUT_OF_DESCRIPTORS = (errno.EMFILE, errno.ENFILE)


def fit_connections(wanted: int) -> int:
    """How many connections the process may have open, at most `wanted`.

    A connection takes one descriptor, and half of them another one: for an upload too large for memory. The process's
    soft limit is raised as far as this needs and the hard limit allows.
    """
    in_use = len(list(Path("/proc/self/fd").iterdir())) + RESERVED
    needed = in_use + wanted + wanted // 2
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < needed:
        soft = needed if hard == resource.RLIM_INFINITY else min(hard, needed)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return wanted
    fitting = max(1, (soft - in_use) * 2 // 3)
    log.warning(
        "max_connections=%d needs %d file descriptors and this process may open %d: at most %d connections; "
        "raise the limit (ulimit -n, LimitNOFILE= of systemd)",
        wanted,
        needed,
        soft,
        fitting,
    )
    return fitting


class AcceptErrors:
    """Handler of an event loop's errors: one line where no connection can be accepted, as ever for others.

    asyncio logs a traceback for each attempt, which is megabytes a second. `clock` is an argument for tests.
    """

    def __init__(self, count_closed: Callable[[str], None], *, clock: Callable[[], float] = time.monotonic) -> None:
        self._count_closed, self._clock = count_closed, clock
        self._logged_at = float("-inf")

    def __call__(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if not (isinstance(error, OSError) and error.errno in OUT_OF_DESCRIPTORS and "socket" in context):
            loop.default_exception_handler(context)
            return
        self._count_closed("descriptors")
        if self._clock() - self._logged_at >= LOG_INTERVAL_S:
            self._logged_at = self._clock()
            log.error("no connection can be accepted: %s; raise the limit (ulimit -n)", error.strerror)
