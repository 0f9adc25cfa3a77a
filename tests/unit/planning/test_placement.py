"""Placements: bounds that add up, the best of those that fit."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuron_whisper.errors import InvalidOption
from neuron_whisper.model.published_dims import PUBLISHED_DIMS
from neuron_whisper.planning.instances import INSTANCE_TYPES
from neuron_whisper.planning.placement import Assumptions, Goal, Placement, choose_best, parallelism_options, place
from neuron_whisper.profile import parse_profile
from neuron_whisper.target.interfaces import spec_from_profile
from tests.support.tiny_program import spec as tiny_spec

BF16 = ("bfloat16", "bfloat16")


def test_a_window_alone_pays_every_step_and_full_slots_share_them() -> None:
    spec = spec_from_profile(PUBLISHED_DIMS["kotoba-v2.2"], parse_profile('format = 1\n[target]\nname = "neuron"\n'))
    it = place(spec, INSTANCE_TYPES["inf2.xlarge"], tp=1, replicas=2, dtypes=BF16, assumptions=Assumptions(tokens=101))
    encode, prefill, step = it.encode.total_s, it.prefill.total_s, it.step.total_s
    assert it.latency_s == pytest.approx(encode + prefill + 100 * step)
    assert it.latency_s == pytest.approx(sum(it.latency_parts.values()))
    assert it.latency_parts["launch"] == pytest.approx(102 * 0.14e-3)
    assert it.window_s == pytest.approx(encode + prefill + 100 * step / 8)
    assert it.audio_per_s == pytest.approx(2 * 30 / it.window_s)
    assert it.usd_per_audio_hour == pytest.approx(0.7582 / it.audio_per_s)
    assert it.audio_hours_per_usd == pytest.approx(it.audio_per_s / 0.7582)
    assert it.core_groups == [(0,), (1,)]


def test_latency_is_best_on_all_cores_of_a_chip_and_of_equal_throughputs_the_smaller_tp_wins() -> None:
    spec = spec_from_profile(PUBLISHED_DIMS["large-v3"], parse_profile('format = 1\n[target]\nname = "neuron"\n'))
    inf2 = INSTANCE_TYPES["inf2.xlarge"]
    found = [place(spec, inf2, tp=tp, replicas=n, dtypes=BF16) for tp, n in parallelism_options(spec.dims, inf2)]
    assert [(it.tp, it.replicas) for it in found] == [(1, 2), (2, 1)]
    latency, throughput = choose_best(found, "latency"), choose_best(found, "throughput")
    assert latency is found[1]
    assert throughput is found[0]


def test_what_does_not_fit_is_never_the_best() -> None:
    shapes = 'format = 1\n[target]\nname = "neuron"\n[shapes]\nslots = 60\n'
    spec = spec_from_profile(PUBLISHED_DIMS["large-v3"], parse_profile(shapes))
    inf2 = INSTANCE_TYPES["inf2.xlarge"]
    found = [place(spec, inf2, tp=tp, replicas=n, dtypes=BF16) for tp, n in parallelism_options(spec.dims, inf2)]
    assert [it.fits for it in found] == [False, True]
    assert choose_best(found, "throughput") is found[1]
    assert choose_best(found[:1], "latency") is None
    assert choose_best(found[:1], "cost") is None


def test_where_no_price_is_known_there_is_no_cost() -> None:
    spec = tiny_spec()
    unknown = replace(INSTANCE_TYPES["trn1.2xlarge"], price=None)
    unpriced = place(spec, unknown, tp=1, replicas=1, dtypes=BF16)
    assert (unpriced.usd_per_audio_hour, unpriced.audio_hours_per_usd) == (None, None)
    assert choose_best([unpriced], "cost") is None
    priced = place(spec, INSTANCE_TYPES["inf2.8xlarge"], tp=1, replicas=1, dtypes=BF16)
    assert choose_best([unpriced, priced], "cost") is priced


def place_model(model: str, instance: str, tp: int, slots: int = 8) -> Placement:
    text = f'format = 1\n[target]\nname = "neuron"\n[shapes]\nslots = {slots}\n'
    spec, it = spec_from_profile(PUBLISHED_DIMS[model], parse_profile(text)), INSTANCE_TYPES[instance]
    return place(spec, it, tp=tp, replicas=it.cores // tp, dtypes=BF16)


def test_data_parallel_gives_the_most_audio_per_dollar_at_every_published_size() -> None:
    for model in ("base", "kotoba-v2.2", "large-v3-turbo", "large-v3"):
        for instance, sizes in (("inf2.xlarge", (1, 2)), ("trn2.3xlarge", (1, 2, 4)), ("inf2.24xlarge", (1, 2, 4))):
            found = [place_model(model, instance, tp) for tp in sizes]
            best = choose_best(found, "cost")
            assert best is found[0], (model, instance)
            assert best is choose_best(found, "throughput")


@pytest.mark.parametrize(
    ("model", "instance", "tp"),
    [
        ("base", "inf2.xlarge", 1),  # collectives cost more than half of the weights
        ("kotoba-v2.2", "inf2.xlarge", 2),
        ("large-v3-turbo", "inf2.24xlarge", 2),  # not 4, which crosses chips
        ("large-v3-turbo", "trn2.3xlarge", 2),  # not 4, whose collectives cost 0.9 ms a graph
        ("large-v3", "trn2.3xlarge", 4),  # 97 collectives a step
    ],
)
def test_latency_is_least_where_a_step_gains_more_than_its_collectives_cost(model: str, instance: str, tp: int) -> None:
    best = choose_best(
        [place_model(model, instance, size) for size in (1, 2, 4) if size <= INSTANCE_TYPES[instance].cores], "latency"
    )
    assert best is not None
    assert best.tp == tp


def test_four_cores_across_chips_pay_for_every_graph_and_within_a_chip_less() -> None:
    across, within = place_model("base", "inf2.24xlarge", 4), place_model("base", "trn2.3xlarge", 4)
    assert [time.collectives_s for time in across.graph_times] == [2.5e-3] * len(across.graph_times)
    assert [time.collectives_s for time in within.graph_times] == [0.9e-3] * len(within.graph_times)


@given(
    model=st.sampled_from(("tiny", "base", "kotoba-v2.2", "large-v3")),
    instance=st.sampled_from(sorted(INSTANCE_TYPES)),
    tp=st.sampled_from((1, 2)),
    slots=st.integers(1, 63),
    more=st.integers(1, 64),
)
def test_more_slots_never_make_the_bound_of_throughput_smaller(
    model: str, instance: str, tp: int, slots: int, more: int
) -> None:
    fewer, many = place_model(model, instance, tp, slots), place_model(model, instance, tp, slots + more)
    assert many.audio_per_s >= fewer.audio_per_s * (1 - 1e-9)
    assert many.latency_s >= fewer.latency_s * (1 - 1e-9)


@given(
    model=st.sampled_from(("tiny", "base", "kotoba-v2.2", "large-v3")),
    instance=st.sampled_from(sorted(INSTANCE_TYPES)),
    tokens=st.integers(1, 400),
)
def test_one_core_pays_no_collectives_and_a_group_does(model: str, instance: str, tokens: int) -> None:
    alone, pair = place_model(model, instance, 1), place_model(model, instance, 2)
    assert [alone.latency_parts[part] for part in ("collectives", "link")] == [0, 0]
    assert replace(pair, tokens=tokens).latency_parts["collectives"] > 0
    assert all(time.total_s >= time.launch_s > 0 for time in (*alone.graph_times, *pair.graph_times))


@given(usd=st.floats(0.01, 100), times=st.floats(1.1, 10))
def test_a_dearer_hour_gives_less_audio_for_a_dollar_and_the_same_latency(usd: float, times: float) -> None:
    it = place_model("base", "inf2.xlarge", 1)
    assert it.instance.price is not None
    cheap, dear = (
        replace(it, instance=replace(it.instance, price=replace(it.instance.price, usd_per_hour=price)))
        for price in (usd, usd * times)
    )
    assert cheap.audio_hours_per_usd is not None
    assert dear.audio_hours_per_usd == pytest.approx(cheap.audio_hours_per_usd / times)
    assert cheap.latency_s == dear.latency_s


def test_groups_are_as_many_as_there_are_cores_for() -> None:
    large, base = PUBLISHED_DIMS["large-v3"], PUBLISHED_DIMS["base"]
    assert parallelism_options(large, INSTANCE_TYPES["inf2.24xlarge"]) == ((1, 12), (2, 6), (4, 3), (8, 1))
    assert parallelism_options(base, INSTANCE_TYPES["inf2.24xlarge"]) == ((1, 12), (2, 6), (4, 3), (8, 1))
    assert parallelism_options(large, INSTANCE_TYPES["inf2.24xlarge"], tp=5) == ((5, 2),)
    assert parallelism_options(large, INSTANCE_TYPES["inf2.24xlarge"], replicas=3) == ((1, 3), (2, 3), (4, 3))
    with pytest.raises(InvalidOption, match=r"tp: 4 is not allowed; at most 2, the NeuronCores of inf2\.xlarge"):
        parallelism_options(large, INSTANCE_TYPES["inf2.xlarge"], tp=4)
    with pytest.raises(InvalidOption, match="tp: 3 is not allowed; a divisor"):
        parallelism_options(large, INSTANCE_TYPES["inf2.24xlarge"], tp=3)
    with pytest.raises(InvalidOption, match="replicas: 9"):
        parallelism_options(large, INSTANCE_TYPES["inf2.xlarge"], replicas=9)
    with pytest.raises(InvalidOption, match=r"replicas: 2 is not allowed; from 1 to 1 \(inf2.xlarge has 2"):
        place(tiny_spec(), INSTANCE_TYPES["inf2.xlarge"], tp=2, replicas=2, dtypes=BF16)


def test_groups_that_the_runtime_does_not_take_are_planned_when_asked_for_and_never_best() -> None:
    large = PUBLISHED_DIMS["large-v3"]
    assert parallelism_options(large, INSTANCE_TYPES["trn1.32xlarge"]) == ((1, 32), (2, 16), (8, 4), (16, 2))
    assert parallelism_options(large, INSTANCE_TYPES["trn1.32xlarge"], tp=10) == ((10, 3),)
    spec = spec_from_profile(large, parse_profile('format = 1\n[target]\nname = "neuron"\n'))
    trn1 = INSTANCE_TYPES["trn1.32xlarge"]
    four, two = (place(spec, trn1, tp=tp, replicas=1, dtypes=BF16) for tp in (4, 2))
    assert (four.is_tp_listed, two.is_tp_listed) == (False, True)
    for goal in get_args(Goal):
        assert choose_best([four], goal) is None
        assert choose_best([four, two], goal) is two
