"""Peak memory of a process without the files that it maps, by sampling Linux's /proc."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Self

from neuron_whisper.bench.process.memory import walk_process_tree

SAMPLE_INTERVAL_S = 0.02
TREE_INTERVAL_S = 1.0  # between searches for new children, which read every process of the machine
ANONYMOUS_FIELDS = ("RssAnon:", "RssShmem:")


def read_anonymous_bytes(pid: int) -> int:
    """Resident memory that no file backs: private and shared memory. 0 where the process has ended.

    Pages of a mapped file count for every process that maps it, and can be dropped at any time.
    """
    try:
        status = Path(f"/proc/{pid}/status").read_text(errors="replace")
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith(ANONYMOUS_FIELDS))


class AnonymousMemorySampler:
    """Samples a process and its children in a thread of its own, from `with` to its end.

    Linux keeps no high-water mark of this; a peak shorter than SAMPLE_INTERVAL_S may be missed.
    """

    def __init__(self, pid: int, interval_s: float = SAMPLE_INTERVAL_S) -> None:
        self.peak_bytes = 0
        self._pid, self._interval_s = pid, interval_s
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"memory of {pid}", daemon=True)

    def sample(self) -> int:
        """Take one sample more; the peak so far."""
        self._take(tuple(walk_process_tree(self._pid)))
        return self.peak_bytes

    def _run(self) -> None:
        tree: tuple[int, ...] = ()
        searched_at = -TREE_INTERVAL_S
        while not self._ended.is_set():
            if time.monotonic() - searched_at >= TREE_INTERVAL_S:
                tree, searched_at = tuple(walk_process_tree(self._pid)), time.monotonic()
            self._take(tree)
            self._ended.wait(self._interval_s)

    def _take(self, tree: tuple[int, ...]) -> None:
        self.peak_bytes = max(self.peak_bytes, sum(read_anonymous_bytes(pid) for pid in tree))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        self._thread.join()
