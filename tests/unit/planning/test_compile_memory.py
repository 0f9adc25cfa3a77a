"""Memory before compiling for Neuron: how many graphs at once, and when it is better not to begin."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuron_whisper.errors import HostMemoryTooSmall
from neuron_whisper.planning.compile_memory import choose_jobs
from neuron_whisper.planning.cost_model import CompileMemory

GB = 1_000_000_000
GRAPHS = (("encode 1", 20 * GB), ("prefill 4", 2 * GB), ("decode 8", 4 * GB))
MEMORY = CompileMemory(weight_bytes=3 * GB, graph_bytes=GRAPHS)


@pytest.mark.parametrize(
    ("available_gb", "jobs", "needed_gb"), [(29, 3, 29), (28.9, 2, 27), (26, 1, 23), (23, 1, 23), (None, 3, 29)]
)
def test_as_many_graphs_at_once_as_memory_holds(available_gb: float | None, jobs: int, needed_gb: int) -> None:
    chosen = choose_jobs(MEMORY, None if available_gb is None else int(available_gb * GB))
    assert (chosen.jobs, chosen.needed_bytes) == (jobs, needed_gb * GB)
    assert chosen.is_limited == (jobs < 3)


def test_too_little_for_one_graph_is_refused_with_the_largest_and_what_to_do() -> None:
    with pytest.raises(HostMemoryTooSmall) as refused:
        choose_jobs(MEMORY, 16 * GB)
    text = str(refused.value)
    assert text.startswith("compiling one graph at a time takes about 23.0 GB of host memory, 20.0 GB of it for encode")
    for words in ("(an estimate)", "16.0 GB is available", "--instance inf2", "`artifacts export`", "--ignore-memory"):
        assert words in text


def test_requested_jobs_are_not_reduced() -> None:
    assert choose_jobs(MEMORY, 100 * GB, jobs=2).jobs == 2
    assert choose_jobs(MEMORY, 100 * GB, jobs=99).jobs == 3
    with pytest.raises(HostMemoryTooSmall, match=r"^compiling 3 graphs at once takes about 29\.0 GB"):
        choose_jobs(MEMORY, 23 * GB, jobs=3)


def test_ignore_memory_gives_the_requested_jobs_or_one_at_a_time() -> None:
    for asked, jobs in ((None, 1), (3, 3)):
        chosen = choose_jobs(MEMORY, GB, jobs=asked, ignore_memory=True)
        assert (chosen.jobs, chosen.fits) == (jobs, False)


@given(
    sizes=st.lists(st.integers(1, 100), min_size=1, max_size=8),
    weights=st.integers(0, 50),
    available=st.integers(0, 400),
)
def test_the_choice_fits_and_one_more_would_not(sizes: list[int], weights: int, available: int) -> None:
    memory = CompileMemory(weight_bytes=weights, graph_bytes=tuple((f"graph {i}", it) for i, it in enumerate(sizes)))
    if memory.one_at_a_time_bytes > available:
        with pytest.raises(HostMemoryTooSmall):
            choose_jobs(memory, available)
        return
    chosen = choose_jobs(memory, available)
    assert chosen.fits
    assert chosen.jobs == len(sizes) or memory.peak_bytes(chosen.jobs + 1) > available
    assert memory.all_at_once_bytes == weights + sum(sizes)
