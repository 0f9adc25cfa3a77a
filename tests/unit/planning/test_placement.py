"""Placements: bounds that add up, the best of those that fit."""

from __future__ import annotations

import pytest

from neuron_whisper.errors import InvalidOption
from neuron_whisper.model.published_dims import PUBLISHED_DIMS
from neuron_whisper.planning.instances import INSTANCE_TYPES
from neuron_whisper.planning.placement import Assumptions, choose_best, choose_cheapest, parallelism_options, place
from neuron_whisper.profile import parse_profile
from neuron_whisper.target.interfaces import spec_from_profile
from tests.support.tiny_program import spec as tiny_spec

BF16 = ("bfloat16", "bfloat16")


def test_a_window_alone_pays_every_step_and_full_slots_share_them() -> None:
    spec = spec_from_profile(PUBLISHED_DIMS["kotoba-v2.2"], parse_profile('format = 1\n[target]\nname = "neuron"\n'))
    it = place(spec, INSTANCE_TYPES["inf2.xlarge"], tp=1, replicas=2, dtypes=BF16, assumptions=Assumptions(tokens=101))
    assert it.latency_s == pytest.approx(it.encode_s + it.prefill_s + 100 * it.step_s)
    assert it.window_s == pytest.approx(it.encode_s + it.prefill_s + 100 * it.step_s / 8)
    assert it.audio_per_s == pytest.approx(2 * 30 / it.window_s)
    assert it.usd_per_audio_hour == pytest.approx(0.7582 / it.audio_per_s)


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
    assert choose_cheapest(found[:1]) is None


def test_where_no_price_is_known_there_is_no_cost() -> None:
    spec = tiny_spec()
    unpriced = place(spec, INSTANCE_TYPES["trn1.2xlarge"], tp=1, replicas=1, dtypes=BF16)
    assert unpriced.usd_per_audio_hour is None
    assert choose_cheapest([unpriced]) is None
    priced = place(spec, INSTANCE_TYPES["inf2.8xlarge"], tp=1, replicas=1, dtypes=BF16)
    assert choose_cheapest([unpriced, priced]) is priced


def test_groups_are_as_many_as_there_are_cores_for() -> None:
    large, base = PUBLISHED_DIMS["large-v3"], PUBLISHED_DIMS["base"]
    assert parallelism_options(large, INSTANCE_TYPES["inf2.24xlarge"]) == (
        (1, 12),
        (2, 6),
        (4, 3),
        (5, 2),
        (8, 1),
        (10, 1),
    )
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
