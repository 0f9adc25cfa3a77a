"""A worker process by itself: it ends with its parent."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

from neuron_whisper.engine.worker import EXIT_ORPHANED


def run_worker(parent: int) -> int:
    """The exit code of a worker whose pool closed its end of the socket before the first message."""
    ours, theirs = socket.socketpair()
    with theirs:
        ours.close()
        done = subprocess.run(
            [sys.executable, "-m", "neuron_whisper.engine.worker", str(theirs.fileno()), str(parent), "-"],
            pass_fds=[theirs.fileno()],
            check=False,
        )
    return done.returncode


def test_a_worker_whose_pool_closed_the_socket_ends() -> None:
    assert run_worker(os.getpid()) == EXIT_ORPHANED


def test_a_worker_whose_parent_is_another_process_ends_before_it_loads_anything() -> None:
    assert run_worker(parent=1) == EXIT_ORPHANED
