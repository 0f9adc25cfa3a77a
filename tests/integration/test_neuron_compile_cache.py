"""`compile` around Neuron's cache of compiled graphs: its place, what is equal in two runs, dead processes' locks.

neuronx-cc is a script here. tests/neuron_sim/test_neuron_cache.py shows that NxD's own graphs are found again.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from neuron_whisper.target.registry import missing_packages
from tests.support.stub_neuron import StubNeuron
from tests.support.tiny_models import TINY_DIMS, write_tiny_checkpoint

ROOT = Path(__file__).parents[2]
GRAPHS = 5
TIMEOUT_S = 120


class Machine:
    """A checkpoint, a cache directory, and the stub of the SDK, whose compiler runs `script` before all else."""

    def __init__(self, home: Path, stub: StubNeuron) -> None:
        dims = replace(TINY_DIMS, n_audio_state=128, n_text_state=128, n_audio_head=2, n_text_head=2)
        self.model = write_tiny_checkpoint(home / "two-heads.en", dims=dims)
        self.cache, self.stub, self.log = home / "cache", stub, home / "log"
        self.write_compiler("")

    def write_compiler(self, script: str) -> None:
        """A compiler that logs its folder, flags, working directory and cache, writes into its working directory."""
        record = f'echo "$1|$3|$PWD|$NEURON_COMPILE_CACHE_URL" >> {self.log}'
        self.stub.write_tool("neuronx-cc", f"{script}\n{record}\necho . > neuronxcc-scratch")

    def start(self) -> subprocess.Popen[str]:
        """The command, in a directory that it may not write, as `/` is under systemd."""
        shapes = ["--tp", "2", "--slots", "2", "--prompt-buckets", "4", "--set", "shapes.text_context=24"]
        command = [sys.executable, "-m", "neuron_whisper", "compile", "--model", str(self.model), *shapes]
        return subprocess.Popen(
            [*command, "--cache", str(self.cache)],
            cwd="/proc",
            env=os.environ | {"PYTHONPATH": f"{self.stub.site}:{ROOT}"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def compile(self) -> list[tuple[str, ...]]:
        """What the compiler logged: (folder, flags, working directory, cache's URL) of each graph."""
        process = self.start()
        _, errors = process.communicate(timeout=TIMEOUT_S)
        assert process.returncode == 0, errors
        return self.read_log()

    def read_log(self) -> list[tuple[str, ...]]:
        lines = sorted(tuple(line.split("|")) for line in self.log.read_text().splitlines())
        self.log.unlink()
        return lines

    def remove_artifacts(self) -> None:
        for path in self.cache.glob("artifacts/*"):
            path.rename(self.cache.parent / f"removed-{len(list(self.cache.parent.iterdir()))}")


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    if not missing_packages("neuron"):
        pytest.skip("the Neuron packages are installed: what a stub of them shows is not proved here")
    monkeypatch.delenv("NEURON_COMPILE_CACHE_URL", raising=False)
    monkeypatch.delenv("NEURON_CC_FLAGS", raising=False)
    return Machine(tmp_path, StubNeuron(tmp_path / "sdk", monkeypatch))


def test_two_compilations_give_the_compiler_the_same_folders_and_flags_without_a_path(machine: Machine) -> None:
    first = machine.compile()
    assert len(first) == GRAPHS
    machine.remove_artifacts()
    assert machine.compile() == first
    for folder, flags, working_directory, url in first:
        assert "/" not in flags
        assert Path(folder).is_relative_to(machine.cache / "staging")
        assert Path(working_directory).is_relative_to(machine.cache / "staging")
        assert url == str(machine.cache / "compile-cache" / "neuron")
    assert list((machine.cache / "staging").iterdir()) == [], "the scratch directory was removed"
    assert list((machine.cache / "compile-cache" / "locks").iterdir()) == []


def wait_for_lines(process: subprocess.Popen[str], log: Path, lines: int) -> None:
    while not log.exists() or len(log.read_text().splitlines()) < lines:
        assert process.poll() is None, process.communicate()[1]


@pytest.fixture
def killed(machine: Machine) -> Path:
    """The cache after `compile` was killed amid encode, with libneuronxla's locks of all graphs left in it."""
    cache = machine.cache / "compile-cache" / "neuron"
    entry = '"$NEURON_COMPILE_CACHE_URL/neuronxcc-2.24/MODULE_$4+d41d8cd9"'
    lock = f"mkdir -p {entry}; touch {entry}/model.lock"
    machine.write_compiler(f"case $1 in */encode/*bk0) {lock}; touch {machine.log}.in; exec sleep 86400 ;; esac")
    process = machine.start()
    wait_for_lines(process, machine.log, GRAPHS - 1)
    while not Path(f"{machine.log}.in").exists():
        assert process.poll() is None
    process.send_signal(signal.SIGKILL)
    process.communicate()
    machine.read_log()
    return cache


def test_after_a_kill_the_interrupted_graphs_lock_is_removed_and_no_other(machine: Machine, killed: Path) -> None:
    (left,) = killed.glob("*/*/*.lock")
    other = left.parents[1] / "MODULE_00000000000000000000+d41d8cd9" / "model.lock"
    other.parent.mkdir()
    other.touch()
    # libneuronxla might wait for ever for the lock of its graph
    machine.write_compiler(f'for it in {killed}/*/MODULE_"$4"+*/*.lock; do [ -e "$it" ] && exit 9; done')
    assert len(machine.compile()) == GRAPHS
    assert not left.exists()
    assert other.exists()
    assert list((machine.cache / "staging").iterdir()) == []
    assert list((machine.cache / "compile-cache" / "locks").iterdir()) == []


def test_a_second_compile_of_an_artifact_waits_saying_so_and_finds_it(machine: Machine, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    machine.write_compiler(f"until [ -e {gate} ]; do sleep 0.05; done")
    first = machine.start()
    while not list(machine.cache.glob("locks/compile-*.lock")):
        assert first.poll() is None, first.communicate()[1]
    second = machine.start()
    assert second.stderr is not None
    assert any("another process is compiling this artifact; waiting" in line for line in second.stderr)
    gate.touch()
    outputs = [process.communicate(timeout=TIMEOUT_S)[0].strip() for process in (first, second)]
    assert [first.returncode, second.returncode] == [0, 0]
    assert outputs[0] == outputs[1]
    assert len(machine.read_log()) == GRAPHS
