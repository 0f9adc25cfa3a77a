"""Number of graphs that a Neuron compile works on at once, by the host's memory, and what to say about it."""

from __future__ import annotations

from dataclasses import dataclass

from neuron_whisper.errors import HostMemoryTooSmall
from neuron_whisper.planning.cost_model import CompileMemory, RankCostModel
from neuron_whisper.profile import CompileProfile
from neuron_whisper.target.interfaces import ProgramSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class CompileJobs:
    """`jobs` graphs compiled at once: the estimated host memory of all, and the available memory if known."""

    jobs: int
    memory: CompileMemory
    available_bytes: int | None

    @property
    def needed_bytes(self) -> int:
        return self.memory.peak_bytes(self.jobs)

    @property
    def fits(self) -> bool:
        return self.available_bytes is None or self.needed_bytes <= self.available_bytes

    @property
    def warning(self) -> str | None:
        """What the estimate makes doubtful, and what is done about it. None when the host holds all graphs at once.

        None too for fewer graphs at once that fit, if they are more than one: the user asked for that number.
        """
        if self.available_bytes is None or self.memory.all_at_once_bytes <= self.available_bytes:
            return None
        graphs, available = len(self.memory.graph_bytes), f"{self.available_bytes / 1e9:.1f} GB is available"
        needed = f"{self.needed_bytes / 1e9:.1f} GB"
        if not self.fits:
            graph, size = self.memory.largest_graph
            count = "one graph at a time" if self.jobs == 1 else f"{self.jobs} of {graphs} graphs at once"
            return (
                f"compiling {count} takes about {needed} of host memory, {size / 1e9:.1f} GB of it for {graph} alone, "
                f"and {available}; the estimate is rough, so it is tried (--strict-memory refuses)"
            )
        if self.jobs > 1:
            return None
        return (
            f"compiling all {graphs} graphs at once takes about {self.memory.all_at_once_bytes / 1e9:.1f} GB of host "
            f"memory by the estimate, and {available}; they are compiled one at a time, in about {needed}"
        )


def estimate_compile_memory(spec: ProgramSpec, profile: CompileProfile) -> CompileMemory:
    """Host memory to compile the program. Raises InvalidOption for types that NeuronCores are not lowered for."""
    target = profile.target
    return RankCostModel(
        spec, tp=target.tp, dtype=target.dtype, weights_dtype=profile.weights.dtype
    ).estimate_compile_memory()


def choose_jobs(
    memory: CompileMemory, available_bytes: int | None, *, jobs: int | None = None, strict_memory: bool = False
) -> CompileJobs:
    """`jobs` graphs at once; by default all of them, or one at a time where all do not fit.

    The estimate is rough, so what does not fit is refused only with `strict_memory`. Raises HostMemoryTooSmall.
    """
    graphs = len(memory.graph_bytes)
    chosen = CompileJobs(jobs=min(jobs or graphs, graphs), memory=memory, available_bytes=available_bytes)
    if jobs is None and not chosen.fits:
        chosen = CompileJobs(jobs=1, memory=memory, available_bytes=available_bytes)
    if strict_memory and not chosen.fits:
        assert available_bytes is not None  # else anything fits
        raise HostMemoryTooSmall(chosen.needed_bytes, available_bytes, jobs=chosen.jobs, largest=memory.largest_graph)
    return chosen
