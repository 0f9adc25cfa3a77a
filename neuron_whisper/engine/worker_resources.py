"""The share of the machine that each worker of a pool gets: processors, threads, NeuronCores."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from neuron_whisper.profile import TargetTable
from neuron_whisper.target.neuron.runtime import cores as neuron

CPU_TOPOLOGY_DIRECTORY = Path("/sys/devices/system/cpu")


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerResources:
    """A worker's share: its whole environment, the processors it is bound to (empty: any), threads (0: all cores)."""

    environment: Mapping[str, str]
    cpus: tuple[int, ...] = ()
    threads: int = 0


def partition_resources(
    target: TargetTable, workers: int, *, threads: int, environment: Mapping[str, str], cpus: Sequence[int]
) -> list[WorkerResources]:
    """Divide the machine into a share for each worker: NeuronCores, or processors and threads, of its own.

    `threads` is the number for all workers together, 0: as many as there are processors; `cpus` are the processors
    this process may use, those of one core and socket next to each other.
    Raises InvalidOption when there are too few NeuronCores.
    """
    if target.name == "neuron":
        return [
            WorkerResources(environment=neuron.environment_for_cores(environment, cores))
            for cores in neuron.partition_cores(environment, target.tp, workers)
        ]
    if len(cpus) < workers:
        return [WorkerResources(environment=environment, threads=1)] * workers
    bounds = [len(cpus) * i // workers for i in range(workers + 1)]
    shares = [tuple(cpus[a:b]) for a, b in pairwise(bounds)]
    return [
        WorkerResources(
            environment=environment, cpus=share, threads=max(1, threads // workers) if threads else len(share)
        )
        for share in shares
    ]


def list_usable_cpus() -> list[int]:
    """The processors this process may run on, ordered by socket and core: hardware threads of a core are adjacent."""
    if sys.platform != "linux":
        return list(range(os.cpu_count() or 1))
    places = {
        cpu: (_read_topology_id(cpu, "physical_package_id"), _read_topology_id(cpu, "core_id"))
        for cpu in os.sched_getaffinity(0)
    }
    return sorted(places, key=lambda cpu: (*places[cpu], cpu))


def _read_topology_id(cpu: int, name: str) -> int:
    try:
        return int((CPU_TOPOLOGY_DIRECTORY / f"cpu{cpu}" / "topology" / name).read_text(encoding="ascii"))
    except (OSError, ValueError):
        return 0
