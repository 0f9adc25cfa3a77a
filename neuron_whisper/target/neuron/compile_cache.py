"""libneuronxla's cache of compiled graphs: where it lies, and its locks that a killed compiler left.

What is known of it: Neuron's documentation says that it is found by `--cache_dir` of NEURON_CC_FLAGS, then
NEURON_COMPILE_CACHE_URL, then /var/tmp/neuron-compile-cache, and is looked up by a hash of flags and graph; public logs
show entries `neuronxcc-VERSION/MODULE_KEY+HASH`, KEY being NxD's `cache_key`. It has locks, which
`neuron_parallel_compile --command clear-locks` removes. That a lock is a file `*.lock` in its entry is assumed.
"""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from neuron_whisper.artifact import locks

URL_VARIABLE, FLAGS_VARIABLE = "NEURON_COMPILE_CACHE_URL", "NEURON_CC_FLAGS"
_CACHE_FLAG = re.compile(r"(--cache_dir[=\s]\s*)(\S+)")


def cache_environment(environment: Mapping[str, str], directory: Path | None) -> dict[str, str]:
    """The variables that put the cache into `directory`, or where the user has put it, whatever the working directory.

    None: left where libneuronxla has it, unless the user says otherwise.
    """
    changed = {}
    if found := _CACHE_FLAG.search(flags := environment.get(FLAGS_VARIABLE, "")):
        changed[FLAGS_VARIABLE] = flags[: found.start(2)] + _make_absolute(found[2]) + flags[found.end(2) :]
    if url := environment.get(URL_VARIABLE, "") or (str(directory) if directory and not found else ""):
        changed[URL_VARIABLE] = _make_absolute(url)
    return changed


def find_cache(environment: Mapping[str, str]) -> Path | None:
    """The directory that `environment` says holds the cache; None when it says none, or S3."""
    found = _CACHE_FLAG.search(environment.get(FLAGS_VARIABLE, ""))
    url = found[2] if found else environment.get(URL_VARIABLE, "")
    return None if not url or "://" in url else Path(url)


def _make_absolute(url: str) -> str:
    return url if "://" in url else str(Path(url).absolute())


@contextmanager
def lock_graph(lock_directory: Path, cache: Path | None, key: str) -> Iterator[None]:
    """Let one process at a time compile the graph of that key.

    When the last one was killed amid it, its lock in `cache` is removed, on which libneuronxla might wait for ever.
    """
    path = lock_directory / f"graph-{key}.lock"
    descriptor = locks.acquire_exclusive(path)
    try:
        if os.fstat(descriptor).st_size and cache is not None:  # the file of one that ended was deleted
            remove_locks(cache, key)
        os.write(descriptor, b"compiling\n")
        yield
    finally:
        locks.release_and_delete(descriptor, path)


def remove_locks(cache: Path, key: str) -> None:
    """Delete the lock files in the cache's entries of that key, of any compiler version and flags."""
    for entry in cache.glob(f"*/*{glob.escape(key)}*"):
        for path in entry.glob("*.lock"):
            path.unlink(missing_ok=True)
