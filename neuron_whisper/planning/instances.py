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
PRICES_FROM = "on-demand, aws-samples/foundation-model-benchmarking-tool@39ce6b9; check your region"


@dataclass(frozen=True, slots=True, kw_only=True)
class Core:
    """One NeuronCore's share of its chip. `peak_flops` is FLOP/s by type of the factors."""

    memory_bytes: int
    bytes_per_s: float
    peak_flops: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """`usd_per_hour` is None where no official on-demand price was found."""

    name: str
    cores: int
    host_bytes: int
    usd_per_hour: float | None
    core: Core


# Inferentia2 and Trainium alike: two cores share 32 GiB, 820 GiB/s, 190 TFLOPS in 16 bit and 47.5 in float32.
CORE_V2 = Core(
    memory_bytes=16 * GIB,
    bytes_per_s=410.0 * GIB,
    peak_flops={"bfloat16": 95e12, "float16": 95e12, "float32": 23.75e12},
)


def _instance(name: str, chips: int, host_gib: int, usd_per_hour: float | None) -> Instance:
    return Instance(name=name, cores=2 * chips, host_bytes=host_gib * GIB, usd_per_hour=usd_per_hour, core=CORE_V2)


INSTANCES: Mapping[str, Instance] = {
    instance.name: instance
    for instance in (
        _instance("inf2.xlarge", 1, 16, 0.7582),
        _instance("inf2.8xlarge", 1, 128, 1.96786),
        _instance("inf2.24xlarge", 6, 384, 6.49063),
        _instance("inf2.48xlarge", 12, 768, 12.98127),
        _instance("trn1.2xlarge", 1, 32, None),
        _instance("trn1.32xlarge", 16, 512, 21.50),
    )
}


def instance_named(name: str) -> Instance:
    """Raises InvalidOption, with the names that are known."""
    if name not in INSTANCES:
        raise InvalidOption("instance", name, f"one of {', '.join(INSTANCES)}")
    return INSTANCES[name]
