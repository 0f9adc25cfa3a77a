"""AWS instances with NeuronCores-v2: cores, memory, bandwidth, peak rates and price.

Sources: the AWS Neuron SDK documentation (about-neuron/arch/neuron-hardware, of SDK 2.32) for the hardware;
aws-samples/foundation-model-benchmarking-tool (fmbench/configs/pricing_fallback.yml, 39ce6b9) for on-demand prices,
which differ between regions and change.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from neuron_whisper.errors import InvalidOption

GIB = 1 << 30
PRICE_SOURCE = "on-demand, aws-samples/foundation-model-benchmarking-tool@39ce6b9; check your region"


@dataclass(frozen=True, slots=True, kw_only=True)
class NeuronCoreSpec:
    """One NeuronCore's share of its chip. `peak_flops` is FLOP/s by type of the factors."""

    memory_bytes: int
    bytes_per_s: float
    peak_flops: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceType:
    """`usd_per_hour` is None where no official on-demand price was found."""

    name: str
    cores: int
    host_memory_bytes: int
    usd_per_hour: float | None
    core: NeuronCoreSpec


# Inferentia2 and Trainium are the same here: two cores share 32 GiB, 820 GiB/s, 190 TFLOPS in 16 bit and 47.5 in
# float32.
NEURON_CORE_V2 = NeuronCoreSpec(
    memory_bytes=16 * GIB,
    bytes_per_s=410.0 * GIB,
    peak_flops={"bfloat16": 95e12, "float16": 95e12, "float32": 23.75e12},
)


def _make_instance_type(name: str, chips: int, host_gib: int, usd_per_hour: float | None) -> InstanceType:
    return InstanceType(
        name=name, cores=2 * chips, host_memory_bytes=host_gib * GIB, usd_per_hour=usd_per_hour, core=NEURON_CORE_V2
    )


INSTANCE_TYPES: Mapping[str, InstanceType] = {
    instance.name: instance
    for instance in (
        _make_instance_type("inf2.xlarge", 1, 16, 0.7582),
        _make_instance_type("inf2.8xlarge", 1, 128, 1.96786),
        _make_instance_type("inf2.24xlarge", 6, 384, 6.49063),
        _make_instance_type("inf2.48xlarge", 12, 768, 12.98127),
        _make_instance_type("trn1.2xlarge", 1, 32, None),
        _make_instance_type("trn1.32xlarge", 16, 512, 21.50),
    )
}


def get_instance_type(name: str) -> InstanceType:
    """Raises InvalidOption, with the names that are known."""
    if name not in INSTANCE_TYPES:
        raise InvalidOption("instance", name, f"one of {', '.join(INSTANCE_TYPES)}")
    return INSTANCE_TYPES[name]
