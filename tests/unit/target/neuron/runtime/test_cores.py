"""NeuronCores that the environment allows, divided among processes."""

from __future__ import annotations

import pytest

from neuron_whisper.errors import InvalidOption
from neuron_whisper.target.neuron.runtime.cores import environment_for_cores, partition_cores, read_allowed_cores


@pytest.mark.parametrize(
    ("environment", "allowed"),
    [
        ({}, None),
        ({"NEURON_RT_NUM_CORES": "3"}, ("NEURON_RT_NUM_CORES", [0, 1, 2])),
        ({"NEURON_RT_NUM_CORES": "0"}, ("NEURON_RT_NUM_CORES", [0, 1])),
        ({"NEURON_RT_NUM_CORES": "many"}, ("NEURON_RT_NUM_CORES", [])),
        ({"NEURON_RT_VISIBLE_CORES": "0-3,6"}, ("NEURON_RT_VISIBLE_CORES", [0, 1, 2, 3, 6])),
        ({"NEURON_RT_VISIBLE_CORES": "0,x"}, ("NEURON_RT_VISIBLE_CORES", [])),
        ({"NEURON_RT_VISIBLE_CORES": "4", "NEURON_RT_NUM_CORES": "8"}, ("NEURON_RT_VISIBLE_CORES", [4])),
    ],
)
def test_allowed_cores_are_those_of_the_runtimes_variables(
    environment: dict[str, str], allowed: tuple[str, list[int]] | None
) -> None:
    assert read_allowed_cores(environment, needed=2) == allowed


def test_groups_are_cut_in_order_from_the_allowed_cores() -> None:
    assert partition_cores({"NEURON_RT_VISIBLE_CORES": "2-5"}, 2, 2) == [(2, 3), (4, 5)]
    assert partition_cores({}, 2, 2) == [(0, 1), (2, 3)]


def test_too_few_cores_are_refused_by_the_variable_that_allows_them() -> None:
    with pytest.raises(InvalidOption) as refused:
        partition_cores({"NEURON_RT_VISIBLE_CORES": "2-4"}, 2, 2)
    assert refused.value.field == "NEURON_RT_VISIBLE_CORES"


def test_a_process_gets_its_cores_by_number() -> None:
    environment = {"PATH": "/bin", "NEURON_RT_NUM_CORES": "8"}
    assert environment_for_cores(environment, (2, 3)) == {"PATH": "/bin", "NEURON_RT_VISIBLE_CORES": "2,3"}
