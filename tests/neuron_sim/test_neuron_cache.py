"""Compiled graphs are found again: in other processes, from another installation, and after a killed compilation.

NxD makes the graphs and flags here; the cache is the simulator's. The real hash and locks were not seen.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from shutil import copytree, ignore_patterns

import pytest

from neuron_whisper.target.neuron.compile_process import graph_labels
from tests import neuron_sim
from tests.neuron_sim.compiler_cache import count_calls
from tests.support.tiny_program import spec

pytestmark = pytest.mark.skipif(
    not neuron_sim.is_installed(), reason="no simulator: that compiled graphs are found again is not proved"
)

ROOT = Path(neuron_sim.__file__).parents[2]
PROGRAM = replace(spec(), align_buckets=(), alignment_heads=())
GRAPHS = len(graph_labels(PROGRAM))
COMPILE = """
import sys
from pathlib import Path
from shutil import rmtree
from neuron_whisper.target.neuron.compile_process import compile_in_child
from tests.neuron_sim.test_neuron_cache import PROGRAM
from tests.support.neuron_programs import make_profile

home, tp = Path(sys.argv[1]), int(sys.argv[2])
scratch = home / "staging" / sys.argv[3]
rmtree(scratch, ignore_errors=True)
scratch.mkdir(parents=True)
compile_in_child(
    PROGRAM, make_profile(tp), scratch / "graphs.pt", lambda *step: print(*step, flush=True), scratch=scratch,
    compile_cache=home / "compile-cache",
)
"""


def start(
    home: Path, *, root: Path = ROOT, tp: int = 2, name: str = "compile-0", **environment: str
) -> subprocess.Popen[str]:
    """A process that compiles the program, with the sources below `root` and scratch of that name."""
    variables = os.environ | environment
    paths = [str(root / "tests/neuron_sim/site"), str(root)]
    return subprocess.Popen(
        [sys.executable, "-c", COMPILE, str(home), str(tp), name],
        env=variables | {"PYTHONPATH": os.pathsep.join(paths), "PYTHONHASHSEED": str(os.getpid() % 1000)},
        cwd="/",
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def compile_all(home: Path, **options: object) -> None:
    process = start(home, **options)  # type: ignore[arg-type]
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output


def read_graphs(cache: Path) -> dict[str, bytes]:
    """Name of an entry, which holds the hashes of graph and flags -> the graph."""
    return {path.parent.name: path.read_bytes() for path in cache.glob("*/*/model.hlo_module.pb")}


def test_another_process_finds_every_graph_and_another_installation_makes_the_same(tmp_path: Path) -> None:
    from tests.neuron_sim.protos import HloModuleProto

    homes = [tmp_path / "a", tmp_path / "a", tmp_path / "deeper" / "b"]
    elsewhere = tmp_path / "another-installation"
    for package in ("neuron_whisper", "tests", "compile_profiles"):
        copytree(ROOT / package, elsewhere / package, ignore=ignore_patterns("__pycache__"))
    caches = [home / "compile-cache" / "neuron" for home in homes]

    compile_all(homes[0])
    assert count_calls(caches[0]) == {"miss": GRAPHS}
    graphs = read_graphs(caches[0])
    assert len(graphs) == GRAPHS
    for graph in graphs.values():
        module = HloModuleProto.FromString(graph)
        assert module.SerializeToString(deterministic=True) == graph, "maps are in order"
    for path in (b"/home", b"/tmp", b".py", str(ROOT).encode(), str(tmp_path).encode()):
        assert not [name for name, graph in graphs.items() if path in graph], path

    compile_all(homes[1], name="compile-of-other-weights")
    assert count_calls(caches[1]) == {"hit": GRAPHS}

    compile_all(homes[2], root=elsewhere)
    assert read_graphs(caches[2]) == graphs, "graphs, and in their names the hashes of graphs and flags"


def test_after_a_kill_finished_graphs_are_found_and_the_interrupted_one_is_compiled_at_once(tmp_path: Path) -> None:
    cache = tmp_path / "compile-cache" / "neuron"
    process = start(tmp_path, tp=1, SIMULATE_HANG="/decode/")
    assert process.stdout is not None
    for line in process.stdout:  # until all the others are done
        if re.match(rf"compiling decode \d+ {GRAPHS - 1} {GRAPHS}", line):
            break
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert count_calls(cache) == {"miss": GRAPHS}
    assert len(list(cache.glob("*/*/*.lock"))) == 1

    began = time.monotonic()
    compile_all(tmp_path, tp=1)
    assert count_calls(cache) == {"hit": GRAPHS - 1, "miss": 1}
    assert time.monotonic() - began < 240, "nobody waited for the dead"
    assert list(cache.glob("*/*/*.lock")) == []
    assert list((tmp_path / "compile-cache" / "locks").iterdir()) == []
