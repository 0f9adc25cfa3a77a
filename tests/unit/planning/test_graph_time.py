"""The least time of a graph: its start, its collectives, and the slowest of what works at the same time."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuron_whisper.planning.cost_model import GraphCost
from neuron_whisper.planning.graph_time import PARTS, GraphTime, estimate_time, sum_parts
from neuron_whisper.planning.instances import GIB, INSTANCE_TYPES

NOTHING = GraphCost(
    graph="x 1",
    flops=0,
    attention_scores=0,
    weight_bytes=0,
    cache_read_bytes=0,
    cache_write_bytes=0,
    from_host_bytes=0,
    to_host_bytes=0,
    collectives=0,
    collective_bytes=0,
)
INF2, BIG_INF2, TRN2 = (INSTANCE_TYPES[name] for name in ("inf2.xlarge", "inf2.24xlarge", "trn2.3xlarge"))


def test_an_empty_graph_takes_its_start() -> None:
    time = estimate_time(NOTHING, INF2, tp=1, dtype="bfloat16")
    assert (time.total_s, time.bound_by) == (0.14e-3, "launch")


def test_of_arithmetic_and_memory_the_slower_counts() -> None:
    cost = replace(NOTHING, flops=int(95e12), weight_bytes=410 * GIB, cache_read_bytes=410 * GIB)
    time = estimate_time(cost, INF2, tp=1, dtype="bfloat16")
    assert (time.slowest, time.bound_by) == (("memory", 2.0), "memory")
    assert time.total_s == pytest.approx(2.0 + 0.14e-3)
    in_float32 = estimate_time(cost, INF2, tp=1, dtype="float32")
    assert in_float32.slowest == ("arithmetic", 4.0)


def test_the_vector_engine_passes_twice_over_the_scores() -> None:
    scores = 128 * 1_120_000
    cost = replace(NOTHING, attention_scores=scores)
    assert estimate_time(cost, INF2, tp=1, dtype="bfloat16").vector_s == pytest.approx(2e-3)
    assert estimate_time(cost, TRN2, tp=1, dtype="bfloat16").vector_s == pytest.approx(2 * scores / (512 * 0.96e9))
    assert estimate_time(cost, INF2, tp=1, dtype="bfloat16").bound_by == "vector"


@pytest.mark.parametrize(
    ("instance", "tp", "seconds"),
    [("inf2.24xlarge", 2, 10 * 26e-6), ("inf2.24xlarge", 4, 2.5e-3), ("trn2.3xlarge", 2, 10 * 20e-6)],
)
def test_collectives_cost_each_within_a_chip_and_once_a_graph_across_chips(
    instance: str, tp: int, seconds: float
) -> None:
    cost = replace(NOTHING, collectives=10, collective_bytes=4_000_000)
    time = estimate_time(cost, INSTANCE_TYPES[instance], tp=tp, dtype="bfloat16")
    assert time.collectives_s == pytest.approx(seconds)


def test_what_is_exchanged_goes_through_the_links_between_chips_or_the_memory_of_one() -> None:
    cost = replace(NOTHING, collectives=1, collective_bytes=GIB)
    assert estimate_time(cost, BIG_INF2, tp=4, dtype="bfloat16").link_s == pytest.approx(0.75 / 192)
    assert estimate_time(cost, BIG_INF2, tp=2, dtype="bfloat16").link_s == pytest.approx(0.5 / 410)


seconds = st.floats(0, 10)
times = st.builds(
    GraphTime,
    launch_s=seconds,
    collectives_s=seconds,
    arithmetic_s=seconds,
    memory_s=seconds,
    vector_s=seconds,
    link_s=seconds,
)


@given(time=times)
def test_the_parts_of_a_time_add_up_to_it_and_the_largest_bounds_it(time: GraphTime) -> None:
    assert sum(time.parts.values()) == pytest.approx(time.total_s)
    assert time.parts[time.bound_by] == max(time.parts.values())
    assert time.total_s >= max(time.arithmetic_s, time.memory_s, time.vector_s, time.link_s)


@given(runs=st.lists(st.tuples(st.integers(0, 100), times), max_size=5))
def test_the_parts_of_many_runs_add_up_to_all_of_their_time(runs: list[tuple[int, GraphTime]]) -> None:
    total = sum_parts(runs)
    assert tuple(total) == PARTS
    assert sum(total.values()) == pytest.approx(sum(count * time.total_s for count, time in runs))
