"""Memory before compiling for Neuron: all graphs at once, or one after another with a warning; refused on request."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuron_whisper.errors import CompilerKilled, HostMemoryTooSmall
from neuron_whisper.model.published_dims import PUBLISHED_DIMS
from neuron_whisper.planning.compile_memory import choose_jobs, estimate_compile_memory
from neuron_whisper.planning.cost_model import COMPILER_BYTES, COMPILER_BYTES_PER_TFLOP, CompileMemory
from neuron_whisper.planning.instances import GIB
from neuron_whisper.profile import load_profile
from neuron_whisper.target.interfaces import spec_from_profile

GB = 1_000_000_000
GRAPHS = (("encode 1", 20 * GB), ("prefill 4", 2 * GB), ("decode 8", 4 * GB))
MEMORY = CompileMemory(weight_bytes=3 * GB, graph_bytes=GRAPHS)


@pytest.mark.parametrize(
    ("available_gb", "jobs", "needed_gb"), [(29, 3, 29), (28.9, 1, 23), (23, 1, 23), (22.9, 1, 23), (None, 3, 29)]
)
def test_all_graphs_at_once_where_memory_holds_them_else_one_at_a_time(
    available_gb: float | None, jobs: int, needed_gb: int
) -> None:
    chosen = choose_jobs(MEMORY, None if available_gb is None else int(available_gb * GB))
    assert (chosen.jobs, chosen.needed_bytes) == (jobs, needed_gb * GB)
    assert (chosen.warning is None) == (jobs == 3)


def test_too_little_for_one_graph_is_tried_with_a_warning_and_refused_when_strict() -> None:
    chosen = choose_jobs(MEMORY, 16 * GB)
    assert (chosen.jobs, chosen.fits) == (1, False)
    assert chosen.warning is not None
    for words in ("one graph at a time takes about 23.0 GB", "20.0 GB of it for encode 1", "--strict-memory"):
        assert words in chosen.warning

    with pytest.raises(HostMemoryTooSmall) as refused:
        choose_jobs(MEMORY, 16 * GB, strict_memory=True)
    assert (refused.value.needed_bytes, refused.value.jobs) == (23 * GB, 1)
    text = str(refused.value)
    for words in ("(an estimate)", "16.0 GB is available", "--instance inf2", "`artifacts export`", "--strict-memory"):
        assert words in text


def test_what_fits_one_at_a_time_is_not_refused_when_strict() -> None:
    chosen = choose_jobs(MEMORY, 23 * GB, strict_memory=True)
    assert (chosen.jobs, chosen.fits) == (1, True)
    assert chosen.warning is not None
    assert "29.0 GB" in chosen.warning
    assert "one at a time, in about 23.0 GB" in chosen.warning


@pytest.mark.parametrize(
    ("asked", "available_gb", "jobs", "is_warned"),
    [(2, 100, 2, False), (99, 100, 3, False), (3, 23, 3, True), (2, 27, 2, False), (2, 26.9, 2, True)],
)
def test_requested_jobs_are_kept_and_warned_of_where_they_do_not_fit(
    asked: int, available_gb: float, jobs: int, is_warned: bool
) -> None:
    chosen = choose_jobs(MEMORY, int(available_gb * GB), jobs=asked)
    assert (chosen.jobs, chosen.warning is not None) == (jobs, is_warned)


def test_requested_jobs_that_do_not_fit_are_refused_when_strict() -> None:
    with pytest.raises(HostMemoryTooSmall, match=r"^compiling 3 graphs at once takes about 29\.0 GB"):
        choose_jobs(MEMORY, 23 * GB, jobs=3, strict_memory=True)


@pytest.mark.parametrize(("jobs", "advice", "not_advised"), [(0, "--jobs 1", "swap"), (1, "swap", "--jobs 1")])
def test_a_kill_is_answered_with_what_is_left_to_do(jobs: int, advice: str, not_advised: str) -> None:
    text = str(CompilerKilled("encode 1", 15 * GB, jobs=jobs))
    assert advice in text
    assert not_advised not in text
    assert "`artifacts export`" in text


def test_the_published_runs_on_16_gib_are_on_their_sides_of_the_estimate() -> None:
    """Kotoba's encoder at tp 2 compiled in what an inf2.xlarge has free; 2.5 TFLOP were killed there."""
    profile = load_profile("neuron-kotoba-v2-inf2.xlarge-tp2")
    memory = estimate_compile_memory(spec_from_profile(PUBLISHED_DIMS["kotoba-v2.2"], profile), profile)
    assert memory.largest_graph[0] == "encode 1"
    assert memory.one_at_a_time_bytes < 15.3 * GB < 16 * GIB < memory.all_at_once_bytes
    assert COMPILER_BYTES + 2.5 * COMPILER_BYTES_PER_TFLOP > 16 * GIB


def test_kotoba_at_tp_1_is_tried_on_an_inf2_xlarge() -> None:
    profile = load_profile("neuron-kotoba-v2-inf2.xlarge-tp1")
    memory = estimate_compile_memory(spec_from_profile(PUBLISHED_DIMS["kotoba-v2.2"], profile), profile)
    chosen = choose_jobs(memory, 16 * GIB)
    assert (chosen.jobs, chosen.fits) == (1, False)


@given(
    sizes=st.lists(st.integers(1, 100), min_size=1, max_size=8),
    weights=st.integers(0, 50),
    available=st.integers(0, 400),
)
def test_every_choice_is_all_or_one_and_only_what_does_not_fit_is_refused(
    sizes: list[int], weights: int, available: int
) -> None:
    memory = CompileMemory(weight_bytes=weights, graph_bytes=tuple((f"graph {i}", it) for i, it in enumerate(sizes)))
    chosen = choose_jobs(memory, available)
    assert chosen.jobs == (len(sizes) if memory.all_at_once_bytes <= available else 1)
    assert (chosen.warning is None) == (memory.all_at_once_bytes <= available)
    assert memory.all_at_once_bytes == weights + sum(sizes)
    assert replace(chosen, available_bytes=None).warning is None
    if chosen.fits:
        assert choose_jobs(memory, available, strict_memory=True) == chosen
        return
    with pytest.raises(HostMemoryTooSmall):
        choose_jobs(memory, available, strict_memory=True)
