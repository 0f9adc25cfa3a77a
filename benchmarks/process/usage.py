"""Resident memory and processor time of a process and its descendants."""

from __future__ import annotations

from collections.abc import Callable

import psutil


def resident_memory_bytes(pid: int) -> int:
    """Resident memory of the process and its descendants now; those that have ended count nothing."""
    return int(_sum_over_tree(pid, lambda process: process.memory_info().rss))


def cpu_time_s(pid: int) -> float:
    """Processor time of the process and its running descendants so far, all threads."""
    return _sum_over_tree(pid, lambda process: sum(process.cpu_times()[:2]))  # user, system


def _sum_over_tree(pid: int, read: Callable[[psutil.Process], float]) -> float:
    try:
        root = psutil.Process(pid)
        processes = [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0
    total = 0.0
    for process in processes:
        try:
            total += read(process)
        except psutil.NoSuchProcess:  # it has ended meanwhile
            continue
    return total
