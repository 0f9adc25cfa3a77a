"""The share of the machine that each worker gets."""

from __future__ import annotations

import os

import pytest

from neuron_whisper.engine.worker_resources import list_usable_cpus, partition_resources
from neuron_whisper.errors import (
    InvalidOption,
)
from neuron_whisper.profile import TargetTable
from neuron_whisper.target.neuron.runtime.core_allocation import reserve_cores


def visible_cores(environment: dict[str, str], tp: int, workers: int) -> list[str]:
    resources = partition_resources(
        TargetTable(name="neuron", tp=tp), workers, threads=0, environment=environment, cpus=[0, 1, 2, 3]
    )
    assert all("NEURON_RT_NUM_CORES" not in share.environment and not share.cpus for share in resources)
    return [share.environment["NEURON_RT_VISIBLE_CORES"] for share in resources]


def test_each_worker_has_neuron_cores_of_its_own() -> None:
    assert visible_cores({}, tp=2, workers=3) == ["0,1", "2,3", "4,5"]
    assert visible_cores({"NEURON_RT_NUM_CORES": "4"}, tp=1, workers=2) == ["0", "1"]
    assert visible_cores({"NEURON_RT_NUM_CORES": "0"}, tp=1, workers=2) == ["0", "1"]


def test_a_worker_reserves_the_cores_of_its_share() -> None:
    (first, _) = partition_resources(TargetTable(name="neuron", tp=2), 2, threads=0, environment={}, cpus=[])
    assert reserve_cores(dict(first.environment), 2) == "NEURON_RT_VISIBLE_CORES=0,1"


def test_workers_keep_to_the_neuron_cores_that_the_operator_chose() -> None:
    assert visible_cores({"NEURON_RT_VISIBLE_CORES": "4-6,9"}, tp=2, workers=2) == ["4,5", "6,9"]


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("NEURON_RT_VISIBLE_CORES", "0-2"),
        ("NEURON_RT_VISIBLE_CORES", "0,0,1,1"),
        ("NEURON_RT_VISIBLE_CORES", "all"),
        ("NEURON_RT_NUM_CORES", "3"),
        ("NEURON_RT_NUM_CORES", "-4"),
    ],
)
def test_too_few_neuron_cores_are_refused_by_name(variable: str, value: str) -> None:
    with pytest.raises(InvalidOption, match=rf"{variable}: '{value}' .* 4 or more NeuronCores for 2 replicas of 2"):
        visible_cores({variable: value}, tp=2, workers=2)


@pytest.mark.parametrize(
    ("workers", "threads", "shares"),
    [
        (2, 0, [((0, 1), 2), ((2, 3, 4), 3)]),
        (2, 8, [((0, 1), 4), ((2, 3, 4), 4)]),
        (5, 2, [((cpu,), 1) for cpu in range(5)]),
        (6, 0, [((), 1)] * 6),
    ],
)
def test_processors_and_threads_are_divided(
    workers: int, threads: int, shares: list[tuple[tuple[int, ...], int]]
) -> None:
    resources = partition_resources(TargetTable(name="cpu"), workers, threads=threads, environment={}, cpus=range(5))
    assert [(share.cpus, share.threads) for share in resources] == shares


def test_usable_processors_are_those_of_this_process() -> None:
    assert set(list_usable_cpus()) == os.sched_getaffinity(0)
