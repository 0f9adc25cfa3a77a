"""Settings to try, and the note on the engine."""

from __future__ import annotations

import pytest

from benchmarks.goals.measure import format_engine_note, list_thread_counts, list_worker_settings, take_turns


def test_workers_and_threads_are_tried_from_one_that_has_all_cores_to_two_for_each() -> None:
    assert list_worker_settings(2) == [(1, 2), (2, 1), (2, 2), (4, 1)]
    assert list_worker_settings(1) == [(1, 1), (2, 1)]


@pytest.mark.parametrize(
    ("cores", "counts"), [(1, [1]), (2, [1, 2]), (6, [1, 2, 4, 6]), (64, [1, 2, 4, 8, 16, 32, 64])]
)
def test_one_stream_is_tried_with_powers_of_two_and_all_cores(cores: int, counts: list[int]) -> None:
    assert list_thread_counts(cores) == counts


@pytest.mark.parametrize(("runs", "systems"), [(3, 3), (4, 2), (2, 5), (1, 1)])
def test_systems_take_turns_so_that_each_is_first_as_often(runs: int, systems: int) -> None:
    turns = list(take_turns(runs, systems))
    for run in range(runs):
        measured = [system for of, system in turns if of == run]
        assert sorted(measured) == list(range(systems))
        assert measured[0] == run % systems


def test_rows_per_step_and_device_time_are_read_from_the_servers_metrics() -> None:
    metrics = """# TYPE neuron_whisper_step_rows histogram
neuron_whisper_step_rows_bucket{le="1.0",model="base"} 1.0
neuron_whisper_step_rows_count{model="base"} 4.0
neuron_whisper_step_rows_sum{model="base"} 24.0
neuron_whisper_step_seconds_sum{model="base"} 3.0
neuron_whisper_encode_seconds_sum{model="base"} 6.0
neuron_whisper_prefill_seconds_sum{model="base"} 1.0
neuron_whisper_align_seconds_sum{model="base"} 0.0
"""
    assert format_engine_note(metrics) == (
        "6.0 rows in a step on average; of the device's time encode 60 %, prefill 10 %, step 30 %"
    )
    assert format_engine_note("") == "0.0 rows in a step on average"
