"""A stand-in for the Neuron SDK on sys.path, whose neuronx-cc is a shell script of the test's own.

Its ModelBuilder calls the compiler for every graph at once, each in a thread, as NxD's does, and traces nothing. It is
for tests of the code around a compilation; tests/neuron_sim runs NxD itself.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

SDK_2_29 = {
    "torch-neuronx": "2.9.0.2.13.26312",
    "neuronx-cc": "2.24.5133.0",
    "neuronx-distributed": "0.18.27753",
    "neuronx-distributed-inference": "0.9.17334",
}

MODEL_BUILDER = """
import hashlib
import os
import subprocess
from concurrent.futures import ThreadPoolExecutor, as_completed

import torch


def neuron_xla_compile(compiler_flags, cache_key, work_dir, retry_failed_compilation):
    done = subprocess.run(["neuronx-cc", str(work_dir), str(retry_failed_compilation), compiler_flags, cache_key])
    if done.returncode:
        raise RuntimeError(f"neuronx-cc failed with {done.returncode}")


class Program(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x

    @torch.jit.export
    def initialize(self, weights: list[dict[str, torch.Tensor]], start: torch.Tensor) -> None:
        raise RuntimeError("NeuronCore(s) not available - Requested:2 Available:0")


class Bundle(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.nxd_model = Program()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.nxd_model(x)


class ModelBuilder:
    def __init__(self, compiler_workdir, **options):
        self.work_dir, self.graphs = compiler_workdir, []

    def add(self, tag, instance, buckets, compiler_args, priority_model_idx):
        self.graphs += [(compiler_args, f"{self.work_dir}/{tag}/_tp0_bk{i}") for i in range(len(buckets))]

    def trace(self, initialize_model_weights):
        executor = ThreadPoolExecutor()
        jobs = []
        for flags, folder in self.graphs:
            if "--logfile" not in flags:
                flags += f" --logfile={os.path.abspath(folder)}/log-neuron-cc.txt"
            key = hashlib.sha256((folder[len(self.work_dir) :] + flags).encode()).hexdigest()[:20]
            options = {"compiler_flags": flags, "cache_key": key, "work_dir": folder}
            jobs.append(executor.submit(neuron_xla_compile, retry_failed_compilation=False, **options))
        for job in as_completed(jobs):
            job.result()
        return torch.jit.script(Bundle())
"""


def write_driver_and_runtime(root: Path, *, driver: str, runtime: str) -> None:
    """The files below `root` that tell the versions of the loaded driver and of the runtime library."""
    module, library = root / "sys" / "module" / "neuron", root / "opt" / "aws" / "neuron" / "lib"
    module.mkdir(parents=True)
    library.mkdir(parents=True)
    (module / "version").write_text(f"{driver}\n")
    (library / f"libnrt.so.{runtime}").touch()
    (library / "libnrt.so.1").symlink_to(f"libnrt.so.{runtime}")


class StubNeuron:
    """The packages below `root`, findable by this process and its children."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.site, self.bin = root / "site", root / "bin"
        self.bin.mkdir(parents=True)
        for file, text in {
            "torch_neuronx/__init__.py": "",
            "neuronx_distributed_inference/__init__.py": "",
            "neuronx_distributed/__init__.py": "",
            "neuronx_distributed/trace/__init__.py": "",
            "neuronx_distributed/trace/model_builder.py": MODEL_BUILDER,
        }.items():
            path = self.site / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        self.install(SDK_2_29)
        self.write_tool("neuronx-cc", "exit 0")
        monkeypatch.syspath_prepend(str(self.site))
        for package in ("torch_neuronx", "neuronx_distributed", "neuronx_distributed_inference"):
            spec = importlib.util.find_spec(package)
            if spec is not None:  # imported through the patch, so that it is gone with it
                monkeypatch.setitem(sys.modules, package, importlib.util.module_from_spec(spec))
        monkeypatch.setenv("PYTHONPATH", str(self.site))
        monkeypatch.setenv("PATH", f"{self.bin}:/usr/bin:/bin")

    def install(self, versions: dict[str, str]) -> None:
        """These versions, as pip records them, instead of any before."""
        for old in self.site.glob("*.dist-info/METADATA"):
            old.unlink()
            old.parent.rmdir()
        for package, version in versions.items():
            directory = self.site / f"{package.replace('-', '_')}-{version}.dist-info"
            directory.mkdir()
            (directory / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n")
        importlib.invalidate_caches()

    def write_tool(self, name: str, script: str) -> None:
        """An executable on the path. neuronx-cc gets NxD's folder of the graph, retry, flags, and the cache's key."""
        path = self.bin / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
