"""Memory without mapped files, of real child processes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from benchmarks.process.memory import AnonymousMemorySampler, read_anonymous_bytes

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Linux's /proc")
SIZE = 64 << 20
MAP_FILE = """
import mmap, sys
with open(sys.argv[1], "rb") as file:
    mapped = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
total = sum(mapped[at] for at in range(0, len(mapped), 4096))
"""
HOLD = f"held = bytearray({SIZE})"
SHARE = f"import mmap; held = mmap.mmap(-1, {SIZE}); held.write(bytes({SIZE}))"


@contextmanager
def run(code: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A python that has run the code, prints a line and waits for the end of its stdin."""
    process = subprocess.Popen(
        [sys.executable, "-c", f"import sys\n{code}\nprint('ready', flush=True)\nsys.stdin.read()", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        process.stdout.readline()
        yield process
    finally:
        process.communicate()


@pytest.mark.parametrize("code", [HOLD, SHARE], ids=["private", "shared"])
def test_memory_that_no_file_backs_counts(code: str) -> None:
    with run("") as empty, run(code) as process:
        grown = read_anonymous_bytes(process.pid) - read_anonymous_bytes(empty.pid)
    assert 0.98 * SIZE < grown < 1.2 * SIZE


def test_pages_of_a_mapped_file_do_not_count(tmp_path: Path) -> None:
    (tmp_path / "weights").write_bytes(b"\1" * SIZE)
    with run("") as empty, run(MAP_FILE, str(tmp_path / "weights")) as process:
        status = Path(f"/proc/{process.pid}/status").read_text()
        assert int(status.partition("VmHWM:")[2].split()[0]) * 1024 > SIZE  # they are resident
        assert abs(read_anonymous_bytes(process.pid) - read_anonymous_bytes(empty.pid)) < SIZE / 16


def test_a_process_that_has_ended_counts_nothing() -> None:
    with run("") as process:
        pass
    assert read_anonymous_bytes(process.pid) == 0
    with AnonymousMemorySampler(process.pid) as sampler:
        pass
    assert sampler.sample() == 0


def test_the_highest_of_all_samples_holds_after_memory_is_freed() -> None:
    code = f"held = bytearray({SIZE}); print('held', flush=True); sys.stdin.readline(); del held"
    with run(code) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        with AnonymousMemorySampler(process.pid) as sampler:
            assert sampler.sample() > SIZE
            process.stdin.write("\n")
            process.stdin.flush()
            process.stdout.readline()
            assert read_anonymous_bytes(process.pid) < SIZE
        assert sampler.sample() > SIZE


def test_the_thread_samples_without_being_asked_and_children_count() -> None:
    code = f"""
import subprocess, time
print("started", flush=True)
sys.stdin.readline()
other = subprocess.Popen([sys.executable, "-c", "held = bytearray({SIZE}); input()"], stdin=subprocess.PIPE)
time.sleep(1.5)
"""
    with run(code) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        with AnonymousMemorySampler(process.pid, interval_s=0.005) as sampler:
            process.stdin.write("\n")
            process.stdin.flush()
            process.stdout.readline()
    assert sampler.peak_bytes > SIZE
