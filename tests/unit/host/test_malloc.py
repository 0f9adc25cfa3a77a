"""Heaps of a process with many threads, as glibc counts them."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

COUNT = """
import ctypes, re, sys, threading
from neuron_whisper.host.malloc import configure_malloc

if sys.argv[1] == "transcribe":
    from neuron_whisper.cli.main import main

    sys.argv[1:2] = ["transcribe", "missing.wav"]
    try:
        main()
    except SystemExit:
        pass
    del sys.argv[1]
print(configure_malloc() if sys.argv[1] == "limited" else None)
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
libc.free.argtypes = [ctypes.c_void_p]
libc.free(libc.malloc(1 << 23))  # glibc learns from it that such blocks come and go
large = libc.malloc(1 << 20)
file = ctypes.c_void_p(libc.fopen(sys.argv[2].encode(), b"w"))
libc.malloc_info(0, file)
libc.fclose(file)
report = open(sys.argv[2]).read()
print(report.count("<heap nr="), re.findall(r'<total type="mmap" count="(\\d+)"', report)[-1])
"""


def heaps(mode: str, file: str, **environment: str) -> tuple[str, int, int]:
    """(what configure_malloc answered, heaps after eight threads asked for memory, large blocks outside of them)"""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    done = subprocess.run(
        [sys.executable, "-c", COUNT, mode, file],
        env={**clean, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    answered, count, mapped = done.stdout.split()
    return answered, int(count), int(mapped)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library than glibc: nothing to limit")
def test_threads_share_two_heaps_and_large_blocks_lie_outside_unless_the_environment_decides(tmp_path: object) -> None:
    file = f"{tmp_path}/malloc.xml"
    _, as_it_is, learned = heaps("as it is", file)
    assert as_it_is > 2
    answered, count, mapped = heaps("limited", file)
    assert (answered, count) == ("True", 2)
    assert mapped > learned, "a block of a megabyte, though a larger one was freed before it"
    assert heaps("limited", file, MALLOC_ARENA_MAX="4")[:2] == ("False", 4)
    assert heaps("limited", file, MALLOC_MMAP_THRESHOLD_="100000000")[0] == "False"


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library than glibc: nothing to limit")
def test_the_transcribe_command_shares_two_heaps(tmp_path: object) -> None:
    _, count, _ = heaps("transcribe", f"{tmp_path}/malloc.xml")
    assert count == 2
