"""Peak memory of a process and its children, by Linux's /proc.

Only the standard library, since a worker runs in a peer's own python; and psutil has no peak on Linux.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path


def walk_process_tree(pid: int) -> Iterator[int]:
    """The process and its descendants that still run; itself alone where there is no /proc."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(_read_stat_fields(entry)[1])
        except (OSError, IndexError, ValueError):
            continue  # it has ended
        children.setdefault(parent, []).append(int(entry.parent.name))
    waiting = [pid]
    while waiting:
        child = waiting.pop()
        yield child
        waiting += children.get(child, [])


def peak_memory_bytes(pid: int | None = None) -> int:
    """Peak resident memory of a process (None: this one) plus that of each descendant."""
    return sum(_read_peak_bytes(it) for it in walk_process_tree(pid or os.getpid()))


def _read_stat_fields(stat: Path) -> list[str]:
    """Fields of /proc/PID/stat from the state on: the command's name before it may hold spaces and brackets."""
    return stat.read_text(errors="replace").rpartition(")")[2].split()


def _read_peak_bytes(pid: int) -> int:
    try:
        # not getrusage: that counts the parent's memory, too, from between fork and exec
        status = Path(f"/proc/{pid}/status").read_text(errors="replace")
    except OSError:  # it has ended
        return 0
    return next((int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM")), 0)
