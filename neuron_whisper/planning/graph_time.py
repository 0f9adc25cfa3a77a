"""The least time of one run of a graph: its start, its collectives, and its slowest engine.

The start and the collectives were measured elsewhere (planning/instances); the rest is arithmetic at the rates of the
hardware. Engines, memory and links work at the same time, so of these the slowest counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from neuron_whisper.planning.cost_model import GraphCost
from neuron_whisper.planning.instances import InstanceType

Part = Literal["launch", "collectives", "arithmetic", "memory", "vector", "link"]
PARTS: tuple[Part, ...] = ("launch", "collectives", "arithmetic", "memory", "vector", "link")

# Softmax normalises before the product with the values, so the vector engine takes every score twice: for the maximum
# of its row, and to divide. The exponential passes the scalar engine, which is no slower, at the same time.
SOFTMAX_PASSES = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphTime:
    """Seconds. `collectives_s` is what collectives cost beside their bytes, which `link_s` has."""

    launch_s: float
    collectives_s: float
    arithmetic_s: float
    memory_s: float
    vector_s: float
    link_s: float

    @property
    def slowest(self) -> tuple[Part, float]:
        """Which of what works at the same time is the slowest."""
        engines: dict[Part, float] = {
            "arithmetic": self.arithmetic_s,
            "memory": self.memory_s,
            "vector": self.vector_s,
            "link": self.link_s,
        }
        name = max(engines, key=lambda part: engines[part])
        return name, engines[name]

    @property
    def parts(self) -> Mapping[Part, float]:
        """What the time consists of: of what works at the same time, the slowest alone. Adds up to `total_s`."""
        name, seconds = self.slowest
        return {"launch": self.launch_s, "collectives": self.collectives_s, name: seconds}

    @property
    def total_s(self) -> float:
        return self.launch_s + self.collectives_s + self.slowest[1]

    @property
    def bound_by(self) -> Part:
        """The largest part."""
        return max(self.parts, key=lambda part: self.parts[part])


def estimate_time(cost: GraphCost, instance: InstanceType, *, tp: int, dtype: str) -> GraphTime:
    """Of one run on each of the `tp` ranks."""
    core = instance.core
    collectives_s = link_s = 0.0
    if cost.collectives:
        measured = core.find_collective_cost(tp, instance.cores_per_chip)
        collectives_s = measured.per_graph_s + cost.collectives * measured.per_collective_s
        link_s = _received_bytes(cost, tp) / _rate_between_ranks(instance, tp)
    return GraphTime(
        launch_s=core.launch_s,
        collectives_s=collectives_s,
        arithmetic_s=cost.flops / core.peak_flops[dtype],
        memory_s=cost.bytes / core.bytes_per_s,
        vector_s=SOFTMAX_PASSES * cost.attention_scores / core.vector_per_s,
        link_s=link_s,
    )


def _received_bytes(cost: GraphCost, tp: int) -> float:
    """A rank has one part in `tp` of every result and must receive the others."""
    return cost.collective_bytes * (tp - 1) / tp


def _rate_between_ranks(instance: InstanceType, tp: int) -> float:
    """Bytes a second: of the links between chips, or of the memory that the cores of a chip share."""
    if instance.crosses_chips(tp) and instance.link_bytes_per_s is not None:
        return instance.link_bytes_per_s
    return instance.core.bytes_per_s


def sum_parts(times: Iterable[tuple[float, GraphTime]]) -> dict[Part, float]:
    """What many runs consist of, each with the number of its runs."""
    total = dict.fromkeys(PARTS, 0.0)
    for runs, time in times:
        for part, seconds in time.parts.items():
            total[part] += runs * seconds
    return total
