"""Heaps of a process with many threads, as glibc counts them."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

COUNT = """
import ctypes, sys, threading
from neuron_whisper.malloc import limit_arenas

print(limit_arenas() if sys.argv[1] == "limited" else None)
libc = ctypes.CDLL(None)
libc.malloc.restype = libc.fopen.restype = ctypes.c_void_p
together = threading.Barrier(8)


def work():
    together.wait()
    libc.malloc(1000)
    together.wait()


threads = [threading.Thread(target=work) for _ in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
file = ctypes.c_void_p(libc.fopen(sys.argv[2].encode(), b"w"))
libc.malloc_info(0, file)
libc.fclose(file)
print(open(sys.argv[2]).read().count("<heap nr="))
"""


def heaps(mode: str, file: str, **environment: str) -> tuple[str, int]:
    """(what limit_arenas answered, heaps after eight threads asked for memory)"""
    clean = {name: value for name, value in os.environ.items() if name != "MALLOC_ARENA_MAX"}
    done = subprocess.run(
        [sys.executable, "-c", COUNT, mode, file], env={**clean, **environment}, capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    answered, count = done.stdout.split()
    return answered, int(count)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library than glibc: nothing to limit")
def test_threads_share_two_heaps_unless_the_environment_says_how_many(tmp_path: object) -> None:
    file = f"{tmp_path}/malloc.xml"
    assert heaps("as it is", file)[1] > 2
    assert heaps("limited", file) == ("True", 2)
    assert heaps("limited", file, MALLOC_ARENA_MAX="4") == ("False", 4)
