"""Instances: the hardware tables of AWS, and profiles that fit them."""

from __future__ import annotations

import pytest

from neuron_whisper.errors import InvalidOption
from neuron_whisper.model.published_dims import PUBLISHED_DIMS
from neuron_whisper.planning.instances import GIB, INSTANCE_TYPES, get_instance_type
from neuron_whisper.planning.placement import place
from neuron_whisper.profile import list_profiles, load_profile
from neuron_whisper.target.interfaces import spec_from_profile


def test_an_unknown_instance_is_refused_with_those_that_are_known() -> None:
    with pytest.raises(InvalidOption, match=r"instance: 'inf3' is not allowed; one of inf2.xlarge, .*trn1.32xlarge"):
        get_instance_type("inf3")


def test_the_instances_are_those_of_the_hardware_tables() -> None:
    big = INSTANCE_TYPES["inf2.48xlarge"]
    assert (big.cores, big.cores * big.core.memory_bytes, big.host_memory_bytes) == (24, 384 * GIB, 768 * GIB)
    assert big.cores * big.core.bytes_per_s == 9840 * GIB
    assert big.cores * big.core.peak_flops["bfloat16"] == 2280e12
    assert INSTANCE_TYPES["trn1.32xlarge"].cores == 32


def test_every_neuron_profile_fits_its_model_and_instance() -> None:
    names = [name for name in list_profiles() if name.startswith("neuron-")]
    models = {"large-v3": "large-v3", "large-v3-turbo": "large-v3-turbo", "kotoba-v2": "kotoba-v2.2", "base": "base"}
    seen = set()
    for name in names:
        target = (profile := load_profile(name)).target
        model = name.removeprefix("neuron-").removesuffix(f"-{target.instance}-tp{target.tp}")
        seen.add((model, target.instance, target.tp))
        instance, dtypes = get_instance_type(target.instance), (target.dtype, profile.weights.dtype)
        spec = spec_from_profile(PUBLISHED_DIMS[models[model]], profile)
        placed = place(spec, instance, tp=target.tp, replicas=target.replicas, dtypes=dtypes)
        assert placed.fits, name
        assert placed.cores_idle == 0, name
    places = {("inf2.xlarge", 1), ("inf2.xlarge", 2), ("inf2.8xlarge", 2), ("inf2.24xlarge", 4), ("trn1.2xlarge", 2)}
    assert seen == {(model, *where) for model in models for where in places}
