"""Instances: the hardware tables of AWS, and profiles that fit them."""

from __future__ import annotations

import pytest

from neuron_whisper.errors import InvalidOption
from neuron_whisper.model.published_dims import PUBLISHED_DIMS
from neuron_whisper.planning.instances import (
    GIB,
    INSTANCE_TYPES,
    CollectiveCost,
    describe_unlisted_tp,
    get_instance_type,
    with_prices,
)
from neuron_whisper.planning.placement import choose_best, parallelism_options, place
from neuron_whisper.planning.prices import make_given_price
from neuron_whisper.profile import CompileProfile, list_profiles, load_profile
from neuron_whisper.target.interfaces import spec_from_profile
from neuron_whisper.target.neuron.lowering.compiler_flags import logical_cores

MODELS = {"large-v3": "large-v3", "large-v3-turbo": "large-v3-turbo", "kotoba-v2": "kotoba-v2.2", "base": "base"}
PLACES = {
    "inf2.xlarge": {1: 2, 2: 1},
    "inf2.8xlarge": {1: 2, 2: 1},
    "inf2.24xlarge": {1: 12, 2: 6, 4: 3},
    "trn1.2xlarge": {1: 2, 2: 1},
    "trn2.3xlarge": {1: 4, 2: 2},
}
NEURON_PROFILES = sorted(name for name in list_profiles() if name.startswith("neuron-"))


def test_an_unknown_instance_is_refused_with_those_that_are_known() -> None:
    with pytest.raises(InvalidOption, match=r"instance: 'inf3' is not allowed; one of inf2.xlarge, .*trn2.3xlarge"):
        get_instance_type("inf3")


def test_the_instances_are_those_of_the_hardware_tables() -> None:
    big = INSTANCE_TYPES["inf2.48xlarge"]
    assert (big.cores, big.cores * big.core.memory_bytes, big.host_memory_bytes) == (24, 384 * GIB, 768 * GIB)
    assert big.cores * big.core.bytes_per_s == 9840 * GIB
    assert big.cores * big.core.peak_flops["bfloat16"] == 2280e12
    assert INSTANCE_TYPES["trn1.32xlarge"].cores == 32


def test_a_trn2_3xlarge_is_a_chip_of_four_logical_cores() -> None:
    it = INSTANCE_TYPES["trn2.3xlarge"]
    assert (it.chips, it.cores_per_chip, it.lnc, it.cores) == (1, 4, 2, 4)
    assert it.cores * it.core.memory_bytes == 96 * GIB
    assert it.cores * it.core.bytes_per_s == 2.9e12
    assert it.cores * it.core.peak_flops["bfloat16"] == 667e12
    assert it.cores * it.core.peak_flops["float32"] == 181e12
    assert it.host_memory_bytes == 128 * GIB


@pytest.mark.parametrize(
    ("instance", "tp", "crosses"),
    [("inf2.48xlarge", 2, False), ("inf2.48xlarge", 4, True), ("trn2.3xlarge", 4, False), ("trn1.32xlarge", 1, False)],
)
def test_a_group_of_more_cores_than_a_chip_has_lies_on_several(instance: str, tp: int, crosses: bool) -> None:
    assert get_instance_type(instance).crosses_chips(tp) is crosses


@pytest.mark.parametrize(
    ("instance", "tp", "ranks"),
    [
        ("inf2.24xlarge", 2, 2),
        ("inf2.24xlarge", 4, 8),  # of fewer ranks across chips there is no figure
        ("inf2.24xlarge", 8, 8),
        ("inf2.24xlarge", 10, 8),
        ("trn1.32xlarge", 16, 16),
        ("trn1.32xlarge", 20, 16),
        ("trn1.32xlarge", 32, 32),
        ("trn2.3xlarge", 2, 2),
        ("trn2.3xlarge", 4, 4),
    ],
)
def test_collectives_cost_what_was_measured_of_the_largest_group_that_is_no_larger(
    instance: str, tp: int, ranks: int
) -> None:
    it = get_instance_type(instance)
    assert it.core.find_collective_cost(tp, it.cores_per_chip).ranks == ranks


def test_collectives_across_chips_cost_a_fixed_time_and_within_a_chip_a_time_each() -> None:
    v2, v3 = INSTANCE_TYPES["inf2.xlarge"].core, INSTANCE_TYPES["trn2.3xlarge"].core
    assert v2.find_collective_cost(2, 2) == CollectiveCost(ranks=2, per_collective_s=26e-6)
    assert v2.find_collective_cost(8, 2) == CollectiveCost(ranks=8, per_graph_s=2.5e-3)
    assert v3.find_collective_cost(2, 4) == CollectiveCost(ranks=2, per_collective_s=20e-6)
    assert v3.find_collective_cost(4, 4) == CollectiveCost(ranks=4, per_graph_s=0.9e-3)
    assert (v2.launch_s, v3.launch_s) == (0.14e-3, 0.14e-3)


@pytest.mark.parametrize("name", INSTANCE_TYPES)
def test_every_price_has_a_basis_a_region_a_date_and_a_source(name: str) -> None:
    price = INSTANCE_TYPES[name].price
    assert price is not None
    assert 0.1 < price.usd_per_hour / INSTANCE_TYPES[name].chips < 3
    assert price.basis == ("capacity block of 24 h" if name == "trn2.3xlarge" else "on-demand")
    assert price.region
    assert "2026-01-01" < price.date < "2027-01-01"
    assert "@" in price.source


def test_a_price_that_is_given_replaces_the_known_one_of_its_instance_alone() -> None:
    prices = {"inf2.xlarge": make_given_price(0.35, field="hourly", source="--hourly")}
    assert with_prices(INSTANCE_TYPES["inf2.xlarge"], prices).usd_per_hour == 0.35
    assert with_prices(INSTANCE_TYPES["inf2.8xlarge"], prices) == INSTANCE_TYPES["inf2.8xlarge"]


def test_there_is_a_profile_of_every_model_for_every_place() -> None:
    expected = {f"neuron-{model}-{name}-tp{tp}" for model in MODELS for name, sizes in PLACES.items() for tp in sizes}
    assert set(NEURON_PROFILES) == expected


@pytest.mark.parametrize("name", NEURON_PROFILES)
def test_a_neuron_profile_fits_its_model_and_takes_every_core_of_its_instance(name: str) -> None:
    profile = load_profile(name)
    target = profile.target
    assert name == f"neuron-{_model_of(name, profile)}-{target.instance}-tp{target.tp}"
    assert target.replicas == PLACES[target.instance][target.tp]
    assert logical_cores(profile) == get_instance_type(target.instance).lnc
    spec = spec_from_profile(PUBLISHED_DIMS[MODELS[_model_of(name, profile)]], profile)
    dtypes = (target.dtype, profile.weights.dtype)
    placed = place(spec, get_instance_type(target.instance), tp=target.tp, replicas=target.replicas, dtypes=dtypes)
    assert (placed.fits, placed.cores_idle) == (True, 0)


@pytest.mark.parametrize("name", NEURON_PROFILES)
def test_what_a_profile_says_it_is_best_at_follows_from_its_bounds(name: str) -> None:
    profile = load_profile(name)
    spec = spec_from_profile(PUBLISHED_DIMS[MODELS[_model_of(name, profile)]], profile)
    instance, dtypes = get_instance_type(profile.target.instance), (profile.target.dtype, profile.weights.dtype)
    options = parallelism_options(spec.dims, instance)
    placements = [place(spec, instance, tp=tp, replicas=count, dtypes=dtypes) for tp, count in options]
    first_line = list_profiles()[name].read_text(encoding="utf-8").splitlines()[0]
    throughput, latency = choose_best(placements, "throughput"), choose_best(placements, "latency")
    assert throughput is not None
    assert latency is not None
    assert ("the most audio per second" in first_line) == (throughput.tp == profile.target.tp)
    assert ("the least latency" in first_line) == (latency.tp == profile.target.tp)


def _model_of(name: str, profile: CompileProfile) -> str:
    return name.removeprefix("neuron-").removesuffix(f"-{profile.target.instance}-tp{profile.target.tp}")


@pytest.mark.parametrize(
    ("family", "tp", "is_listed"),
    [("trn1", 4, False), ("inf2", 4, True), ("inf2", 10, False), ("trn2", 64, True), ("trn3", 3, True)],
)
def test_a_tp_that_aws_does_not_list_is_described(family: str, tp: int, is_listed: bool) -> None:
    sentence = describe_unlisted_tp(family, tp)
    assert (sentence == "") is is_listed
    assert is_listed or (f"is {tp}," in sentence and family in sentence)
