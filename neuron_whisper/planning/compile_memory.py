"""Number of graphs that a Neuron compile may work on at once, limited by the host's memory."""

from __future__ import annotations

from dataclasses import dataclass

from neuron_whisper.errors import HostMemoryTooSmall
from neuron_whisper.planning.cost_model import CompileMemory, RankCostModel
from neuron_whisper.profile import CompileProfile
from neuron_whisper.target.interfaces import ProgramSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class CompileJobs:
    """`jobs` of `graphs` graphs compiled at once: the estimated host memory, and the available memory if known."""

    jobs: int
    graphs: int
    needed_bytes: int
    available_bytes: int | None

    @property
    def is_limited(self) -> bool:
        return self.jobs < self.graphs

    @property
    def fits(self) -> bool:
        return self.available_bytes is None or self.needed_bytes <= self.available_bytes


def estimate_compile_memory(spec: ProgramSpec, profile: CompileProfile) -> CompileMemory:
    """Host memory to compile the program. Raises InvalidOption for types that NeuronCores are not lowered for."""
    target = profile.target
    return RankCostModel(
        spec, tp=target.tp, dtype=target.dtype, weights_dtype=profile.weights.dtype
    ).estimate_compile_memory()


def choose_jobs(
    memory: CompileMemory, available_bytes: int | None, *, jobs: int | None = None, ignore_memory: bool = False
) -> CompileJobs:
    """As many graphs at once as fit, or `jobs` of them.

    With `ignore_memory`, or where the memory is not known: `jobs`, or one at a time when not even that fits.
    Raises HostMemoryTooSmall.
    """
    graphs = len(memory.graph_bytes)
    max_jobs = min(jobs or graphs, graphs)
    min_jobs = max_jobs if jobs else 1

    def with_jobs(count: int) -> CompileJobs:
        return CompileJobs(
            jobs=count, graphs=graphs, needed_bytes=memory.peak_bytes(count), available_bytes=available_bytes
        )

    for count in range(max_jobs, min_jobs - 1, -1):
        if with_jobs(count).fits:
            return with_jobs(count)
    if ignore_memory:
        return with_jobs(min_jobs)
    assert available_bytes is not None  # else anything fits
    largest = max(memory.graph_bytes, key=lambda it: it[1])
    raise HostMemoryTooSmall(memory.peak_bytes(min_jobs), available_bytes, jobs=min_jobs, largest=largest)
