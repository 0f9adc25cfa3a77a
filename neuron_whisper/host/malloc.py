"""Settings of glibc's malloc for processes that run for weeks."""

from __future__ import annotations

import ctypes
import os

MAX_ARENAS = 2
MMAP_THRESHOLD_BYTES = 512 * 1024  # a window's spectrogram and a clip's samples are larger
M_ARENA_MAX, M_MMAP_THRESHOLD = -8, -3  # malloc.h


def configure_malloc() -> bool:
    """Let threads share two heaps, and keep large blocks out of them; to be called before there are any threads.

    glibc gives every thread a heap, up to eight a core, each of which keeps most of what it once held. And once a
    large block was freed, blocks of its size come from the heaps, where small ones that stay keep what lies between
    them from ever being given back: under load, windows and samples of a megabyte let a server's memory grow for
    minutes. Blocks of half a megabyte go back when they are freed now, which costs some 2 % of the processor's time.
    False where MALLOC_ARENA_MAX or MALLOC_MMAP_THRESHOLD_ decide already, and with another C library.
    """
    if "MALLOC_ARENA_MAX" in os.environ or "MALLOC_MMAP_THRESHOLD_" in os.environ:
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    return bool(mallopt(M_ARENA_MAX, MAX_ARENAS)) and bool(mallopt(M_MMAP_THRESHOLD, MMAP_THRESHOLD_BYTES))
