"""AWS instances with NeuronCores: chips, cores, memory, bandwidth, peak rates, measured constants and price.

Sources of the hardware: the AWS Neuron SDK documentation of SDK 2.32 (aws-neuron/aws-neuron-sdk@81ce03a:
about-neuron/arch/neuron-hardware; nki/guides/architecture for the engines). It does not list trn2.3xlarge: one
Trainium2 chip by AWS's samples, 12 vCPUs and 128 GiB (alpharomercoma/torchneuronx@d40da72:docs/runbook/
12-trainium2.md).

Sources of what was measured, of the start of a graph and of collectives: foxl-ai/kiln@fc21e10:docs/neuron-notes.md
(2026-10-03, SDK 2.32, trn1.2xlarge, trn1.32xlarge and trn2.48xlarge at LNC 2, all-reduces of 32 KB). Of Inf2 no such
figures were found: its cores are Trainium's, so are these.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from neuron_whisper.errors import InvalidOption
from neuron_whisper.planning.prices import TRN2_3XLARGE, Price, make_on_demand_price

GIB = 1 << 30
# Cores of a group that the Neuron runtime takes, by family: aws-neuron/aws-neuron-sdk@0348aef:libraries/nxd-inference/
# developer_guides/feature-guide.rst. On Trn1 others fail when a graph is loaded (huggingface/optimum-neuron#619).
TP_DEGREES = {"inf2": (1, 2, 4, 8, 24), "trn1": (1, 2, 8, 16, 32), "trn2": (1, 2, 4, 8, 16, 32, 64)}
MEASURED_SOURCE = "foxl-ai/kiln@fc21e10:docs/neuron-notes.md, 2026-10-03, SDK 2.32"


def describe_unlisted_tp(family: str, tp: int) -> str:
    """A sentence where the runtime of this family is not known to take groups of `tp` cores, else ""."""
    listed = TP_DEGREES.get(family, (tp,))
    if tp in listed:
        return ""
    return f"target.tp is {tp}, and AWS lists {', '.join(map(str, listed))} for {family}: the runtime may refuse it"


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectiveCost:
    """What collectives of a group of `ranks` cost beside the bytes that they move, measured.

    Across chips it is a fixed time for each run of a graph that has any; further ones are almost free.
    """

    ranks: int
    per_graph_s: float = 0.0
    per_collective_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class NeuronCoreSpec:
    """One NeuronCore's share of its chip; on Trainium2 a logical core, which is two physical ones.

    `peak_flops` is FLOP/s by type of the factors, `vector_per_s` the float32 numbers that pass the vector engine.
    `launch_s` is the start of a graph and the way back to the host. `collectives` ascend in ranks.
    """

    memory_bytes: int
    bytes_per_s: float
    peak_flops: Mapping[str, float]
    vector_per_s: float
    launch_s: float
    collectives: tuple[CollectiveCost, ...]

    def find_collective_cost(self, ranks: int, cores_per_chip: int) -> CollectiveCost:
        """Of the largest measured group that is no larger; of a small group across chips, of the smallest such."""
        measured = [it for it in self.collectives if (it.ranks > cores_per_chip) == (ranks > cores_per_chip)]
        smaller = [it for it in measured if it.ranks <= ranks]
        return smaller[-1] if smaller else measured[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceType:
    """`cores_per_chip` are logical cores of `lnc` physical ones. `link_bytes_per_s` is a chip's to other chips.

    `price` is None where none was found.
    """

    name: str
    chips: int
    cores_per_chip: int
    lnc: int
    host_memory_bytes: int
    link_bytes_per_s: float | None
    core: NeuronCoreSpec
    price: Price | None

    @property
    def cores(self) -> int:
        return self.chips * self.cores_per_chip

    @property
    def tp_degrees(self) -> tuple[int, ...]:
        """The sizes of a group that the runtime takes and that there are cores for."""
        return tuple(size for size in TP_DEGREES[self.name.partition(".")[0]] if size <= self.cores)

    @property
    def usd_per_hour(self) -> float | None:
        return None if self.price is None else self.price.usd_per_hour

    def crosses_chips(self, tp: int) -> bool:
        """Whether the ranks of a group lie on several chips; groups take cores in order."""
        return tp > self.cores_per_chip


# Inferentia2 and Trainium are the same here: two cores share 32 GiB, 820 GiB/s, 190 TFLOPS in 16 bit and 47.5 in
# float32; the vector engine takes 128 numbers a cycle at 1.12 GHz. Groups of 4 failed to start where this was measured.
NEURON_CORE_V2 = NeuronCoreSpec(
    memory_bytes=16 * GIB,
    bytes_per_s=410.0 * GIB,
    peak_flops={"bfloat16": 95e12, "float16": 95e12, "float32": 23.75e12},
    vector_per_s=128 * 1.12e9,
    launch_s=0.14e-3,
    collectives=(
        CollectiveCost(ranks=2, per_collective_s=26e-6),
        CollectiveCost(ranks=8, per_graph_s=2.5e-3),
        CollectiveCost(ranks=16, per_graph_s=3.7e-3),
        CollectiveCost(ranks=32, per_graph_s=5.0e-3),
    ),
)
# A logical core at LNC 2, a quarter of Trainium2: 96 GiB, 2.9 TB/s, 667 TFLOPS in 16 bit, 181 in float32; each of the
# two vector engines takes 256 numbers of float32 a cycle at 0.96 GHz. Collectives are those measured less a graph that
# has none.
NEURON_CORE_V3_LNC2 = NeuronCoreSpec(
    memory_bytes=24 * GIB,
    bytes_per_s=725e9,
    peak_flops={"bfloat16": 166.75e12, "float16": 166.75e12, "float32": 45.25e12},
    vector_per_s=2 * 256 * 0.96e9,
    launch_s=0.14e-3,
    collectives=(CollectiveCost(ranks=2, per_collective_s=20e-6), CollectiveCost(ranks=4, per_graph_s=0.9e-3)),
)


def _make_instance_type(
    name: str, chips: int, host_gib: int, *, link_gib: int | None = None, price: Price | None
) -> InstanceType:
    return InstanceType(
        name=name,
        chips=chips,
        cores_per_chip=2,
        lnc=1,
        host_memory_bytes=host_gib * GIB,
        link_bytes_per_s=None if link_gib is None else float(link_gib * GIB),
        core=NEURON_CORE_V2,
        price=price,
    )


INSTANCE_TYPES: Mapping[str, InstanceType] = {
    instance.name: instance
    for instance in (
        _make_instance_type("inf2.xlarge", 1, 16, price=make_on_demand_price(0.7582)),
        _make_instance_type("inf2.8xlarge", 1, 128, price=make_on_demand_price(1.96786)),
        _make_instance_type("inf2.24xlarge", 6, 384, link_gib=192, price=make_on_demand_price(6.49063)),
        _make_instance_type("inf2.48xlarge", 12, 768, link_gib=192, price=make_on_demand_price(12.98127)),
        _make_instance_type("trn1.2xlarge", 1, 32, price=make_on_demand_price(1.34375)),
        _make_instance_type("trn1.32xlarge", 16, 512, link_gib=384, price=make_on_demand_price(21.50)),
        InstanceType(
            name="trn2.3xlarge",
            chips=1,
            cores_per_chip=4,
            lnc=2,
            host_memory_bytes=128 * GIB,
            link_bytes_per_s=None,
            core=NEURON_CORE_V3_LNC2,
            price=TRN2_3XLARGE,
        ),
    )
}


def get_instance_type(name: str) -> InstanceType:
    """Raises InvalidOption, with the names that are known."""
    check_instance_type("instance", name)
    return INSTANCE_TYPES[name]


def check_instance_type(field: str, name: str) -> None:
    """Raises InvalidOption about `field` for a name that is not known."""
    if name not in INSTANCE_TYPES:
        raise InvalidOption(field, name, f"one of {', '.join(INSTANCE_TYPES)}")


def with_prices(instance: InstanceType, prices: Mapping[str, Price]) -> InstanceType:
    """The instance at the price that is given for it, if any is."""
    return replace(instance, price=prices.get(instance.name, instance.price))
