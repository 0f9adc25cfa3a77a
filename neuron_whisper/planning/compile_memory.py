"""How many graphs a Neuron compile may work on at once, by the host's memory; or that it had better not begin."""

from __future__ import annotations

from dataclasses import dataclass

from neuron_whisper.errors import HostMemoryTooSmall
from neuron_whisper.planning.cost_model import CompileMemory, RankCostModel
from neuron_whisper.profile import CompileProfile
from neuron_whisper.target.interfaces import ProgramSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class CompileJobs:
    """`jobs` graphs at once of `graphs`; `needed_bytes` of host memory, an estimate, and what there is."""

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
    """Raises InvalidOption for types that no NeuronCore is lowered for."""
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
    most = min(jobs or graphs, graphs)
    least = most if jobs else 1

    def chosen(count: int) -> CompileJobs:
        return CompileJobs(
            jobs=count, graphs=graphs, needed_bytes=memory.peak_bytes(count), available_bytes=available_bytes
        )

    for count in range(most, least - 1, -1):
        if chosen(count).fits:
            return chosen(count)
    if ignore_memory:
        return chosen(least)
    assert available_bytes is not None  # else anything fits
    raise HostMemoryTooSmall(
        memory.peak_bytes(least), available_bytes, jobs=least, largest=max(memory.graph_bytes, key=lambda it: it[1])
    )
