"""Published runs: none is faster than the bound, and what the bound consists of."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuron_whisper.planning.instances import INSTANCE_TYPES
from neuron_whisper.planning.published_runs import (
    PUBLISHED_RUNS,
    PublishedRun,
    bound_published_runs,
    bound_run,
)


def find_run(model: str, audio_s: float) -> PublishedRun:
    [run] = [run for run in PUBLISHED_RUNS if (run.model, run.audio_s, run.clips) == (model, audio_s, 1)]
    return run


@pytest.mark.parametrize(
    "run", PUBLISHED_RUNS, ids=lambda run: f"{run.model} {run.audio_s} s x {run.clips * run.replicas}"
)
def test_no_published_run_is_faster_than_the_bound(run: PublishedRun) -> None:
    bound = bound_run(run)
    assert 0 < bound.bound_s < run.took_s
    assert bound.bound_s + bound.unexplained_s == pytest.approx(run.took_s)
    assert bound.encode_s + bound.prefill_s + bound.steps_s == pytest.approx(bound.bound_s)
    assert sum(bound.parts.values()) == pytest.approx(bound.bound_s)
    assert bound.bound_share == pytest.approx(bound.bound_s / run.took_s)


def test_turbo_and_kotoba_are_among_them_with_their_times() -> None:
    turbo, kotoba = find_run("large-v3-turbo", 30.0), find_run("kotoba-v2.2", 6.62)
    assert (turbo.instance, turbo.tp, turbo.dtype, round(turbo.took_s, 3)) == ("trn2.3xlarge", 1, "bfloat16", 0.463)
    assert (kotoba.instance, kotoba.tp, kotoba.took_s) == ("inf2.xlarge", 2, 0.669)


def test_every_run_says_what_ran_and_where_it_was_published() -> None:
    for run in PUBLISHED_RUNS:
        assert run.instance in INSTANCE_TYPES
        assert run.note in run.citation
        assert run.source in run.citation


def test_two_cores_pay_for_collectives_and_one_does_not() -> None:
    parts = {run.tp: bound_run(run).parts for run in PUBLISHED_RUNS}
    assert parts[1]["collectives"] == 0
    # 64 sums of the encoder, 8 collectives of the prompt and of each of 19 steps
    assert parts[2]["collectives"] == pytest.approx((64 + 8 + 19 * 8) * 26e-6)


def test_a_longer_clip_takes_as_many_windows_as_it_must() -> None:
    one, three = bound_run(find_run("large-v3-turbo", 30.0)), bound_run(find_run("large-v3-turbo", 90.0))
    assert three.encode_s == pytest.approx(3 * one.encode_s)
    assert (one.steps, three.steps) == (89, 267)


def test_where_tokens_were_published_none_are_assumed() -> None:
    assert bound_run(find_run("large-v3", 9.9)).steps == 29
    assert find_run("kotoba-v2.2", 6.62).tokens_per_clip == 20


def test_most_of_turbos_time_depends_on_its_windows_and_not_on_speech() -> None:
    """What docs/planning.md derives from the four lengths."""
    took = {run.audio_s: run.took_s for run in PUBLISHED_RUNS if run.model == "large-v3-turbo" and run.clips == 1}
    per_second = (took[15] - took[5]) / 10
    per_window = took[5] - 5 * per_second
    assert (round(per_second * 1e3, 1), round(per_window * 1e3)) == (4.9, 156)
    assert 2 * per_window + 30 * per_second == pytest.approx(took[30], rel=0.02)
    assert 4 * per_window + 90 * per_second == pytest.approx(took[90], rel=0.04)


@given(
    run=st.sampled_from(PUBLISHED_RUNS), tokens=st.integers(1, 400), more=st.integers(1, 100), clips=st.integers(1, 8)
)
def test_more_tokens_and_more_clips_never_take_less(run: PublishedRun, tokens: int, more: int, clips: int) -> None:
    base = replace(run, tokens=tokens, clips=clips)
    assert bound_run(replace(base, tokens=tokens + more)).bound_s >= bound_run(base).bound_s
    assert bound_run(replace(base, clips=clips + 1)).bound_s >= bound_run(base).bound_s


def test_all_of_them_are_bounded() -> None:
    assert [bound.run for bound in bound_published_runs()] == list(PUBLISHED_RUNS)
