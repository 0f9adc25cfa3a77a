"""A process and all that it started, by Linux's /proc: their memory and processor time. The standard library alone."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path


def walk_process_tree(pid: int) -> Iterator[int]:
    """The process and everything it started, and those in turn, as far as they run; itself alone elsewhere."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(_read_stat_fields(entry)[1])
        except (OSError, IndexError, ValueError):
            continue  # it has ended
        children.setdefault(parent, []).append(int(entry.parent.name))
    waiting = [pid]
    while waiting:
        found = waiting.pop()
        yield found
        waiting += children.get(found, [])


def peak_memory_bytes(pid: int | None = None) -> int:
    """Most memory a process (None: this one) ever held, and each of its family."""
    return sum(_read_memory_bytes(it, "VmHWM") for it in walk_process_tree(pid or os.getpid()))


def resident_memory_bytes(pid: int) -> int:
    """What a process and its family hold now."""
    return sum(_read_memory_bytes(it, "VmRSS") for it in walk_process_tree(pid))


def cpu_time_s(pid: int) -> float:
    """Processor time of a process and its family, all threads, so far."""
    ticks = 0
    for it in walk_process_tree(pid):
        try:
            fields = _read_stat_fields(Path(f"/proc/{it}/stat"))
        except OSError:  # it has ended
            continue
        ticks += int(fields[11]) + int(fields[12])  # utime, stime: proc(5) counts from the state on
    return ticks / os.sysconf("SC_CLK_TCK")


def _read_stat_fields(stat: Path) -> list[str]:
    """From the state on: a command's name may hold spaces and brackets."""
    return stat.read_text(errors="replace").rpartition(")")[2].split()


def _read_memory_bytes(pid: int, field: str) -> int:
    try:
        # not getrusage: that counts the parent's memory, too, from between fork and exec
        status = Path(f"/proc/{pid}/status").read_text(errors="replace")
    except OSError:  # it has ended
        return 0
    return next((int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith(field)), 0)
