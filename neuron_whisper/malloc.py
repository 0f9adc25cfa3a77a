"""What glibc's malloc is told by processes that run for weeks."""

from __future__ import annotations

import ctypes
import os

ARENAS = 2
M_ARENA_MAX = -8  # malloc.h


def limit_arenas(most: int = ARENAS) -> bool:
    """Let threads share `most` heaps; to be called before there are any threads.

    glibc gives every thread its own, up to eight a core, each of which keeps most of what it once held: windows and
    samples of a megabyte, on whatever thread they came, let a server's memory grow for hours. False where
    MALLOC_ARENA_MAX decides already, and with another C library.
    """
    if "MALLOC_ARENA_MAX" in os.environ:
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    return bool(mallopt(M_ARENA_MAX, most))
