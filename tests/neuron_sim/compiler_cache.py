"""The compiler's cache: stands for libneuronxla's, as far as that is documented or seen in public logs and code.

Documented: the place (`--cache_dir` of NEURON_CC_FLAGS, then NEURON_COMPILE_CACHE_URL), a key of flags and graph per
compiler version, that failures are kept and tried again with retry_failed_compilation, and a command that clears locks.
Seen in logs: neuronxcc-VERSION/MODULE_KEY+HASH with model.neff, model.done and model.log; KEY is the
caller's cache_key.

Assumed: the hash is md5 of the flags; a graph is locked by a file which a killed process leaves, and which others wait
for without end, the worst of what is possible. /var/tmp/neuron-compile-cache is not used when no place is named: a
simulated NEFF must not be found there. The lines of `calls` (hit, miss, failed) are the simulator's.
"""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

VERSION = "neuronxcc-2.24+simulated"


def find_directory(given: str | None) -> Path | None:
    """Where the cache lies; None where nobody says."""
    flag = re.search(r"--cache_dir[=\s]\s*(\S+)", os.environ.get("NEURON_CC_FLAGS", ""))
    place = flag[1] if flag else given or os.environ.get("NEURON_COMPILE_CACHE_URL")
    return Path(place) if place else None


def count_calls(directory: Path) -> Counter[str]:
    """How often a graph was found ("hit"), compiled anew ("miss") or failed, since the last count_calls."""
    calls = directory / "calls"
    if not calls.exists():
        return Counter()
    counts = Counter(line.split()[0] for line in calls.read_text().splitlines())
    calls.unlink()
    return counts


@dataclass(frozen=True, slots=True)
class Entry:
    """A graph's directory in the cache."""

    path: Path

    @classmethod
    def of(cls, directory: Path, key: str, flags: str) -> Entry:
        return cls(directory / VERSION / f"MODULE_{key}+{hashlib.md5(flags.encode()).hexdigest()[:8]}")

    def look_up(self, module_bytes: bytes, compile_now: Callable[[], bytes], *, retry_failed: bool) -> bytes:
        """The graph's NEFF; compiled by compile_now where it is not kept. Raises RuntimeError for a kept failure."""
        self.path.mkdir(parents=True, exist_ok=True)
        lock = self.path / "model.hlo_module.pb.lock"
        while not _try_create(lock):
            time.sleep(0.05)
        try:
            neff = self.path / "model.neff"
            if (self.path / "model.done").exists():
                self._count("hit")
                return neff.read_bytes()
            if (self.path / "model.log").exists() and not retry_failed:
                raise RuntimeError(f"Got a cached failed neff at {neff}")
            (self.path / "model.hlo_module.pb").write_bytes(module_bytes)
            self._count("miss")
            try:
                made = compile_now()
            except Exception as error:
                self._count("failed")
                (self.path / "model.log").write_text(str(error))
                raise
            neff.write_bytes(made)
            (self.path / "model.done").touch()
            return made
        finally:
            lock.unlink(missing_ok=True)

    def _count(self, what: str) -> None:
        with (self.path.parents[1] / "calls").open("a") as file:  # short enough to be written at once
            file.write(f"{what} {self.path.name}\n")


def _try_create(path: Path) -> bool:
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    return True
