"""Peak memory of a process and its children."""

from __future__ import annotations

import os
import subprocess
import sys

from neuron_whisper.bench.process.memory import peak_memory_bytes, walk_process_tree

GRANDCHILD = "import sys; held = bytearray(64 << 20); print(1, flush=True); sys.stdin.read()"
CHILD = f"""
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", {GRANDCHILD!r}], stdin=subprocess.PIPE)
sys.stdin.read()
child.communicate()
"""


def test_a_child_of_a_child_is_in_the_tree_and_its_memory_counts() -> None:
    process = subprocess.Popen([sys.executable, "-c", CHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()  # the child's child holds its memory
    tree = list(walk_process_tree(process.pid))
    assert tree[0] == process.pid
    assert len(tree) == 2
    assert peak_memory_bytes(process.pid) > 64 << 20
    process.communicate()
    assert peak_memory_bytes(process.pid) == 0  # it has ended


def test_this_process_is_the_default() -> None:
    assert peak_memory_bytes() >= peak_memory_bytes(os.getpid()) > 0
