"""Placements of a program on an instance: tp x replicas, the minimum time and cost of each, and the best one.

Computed, never measured: every time is a lower bound, so every throughput and cost is a bound as well. Left out, as
no figure is known: collectives between cores, the start of a graph, the host's work (audio, text), activations that do
not fit on the chip, and the compiler's skill.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from neuron_whisper.audio.clip import WINDOW_S
from neuron_whisper.errors import InvalidOption
from neuron_whisper.model.dims import WhisperDims
from neuron_whisper.model.sharding import check_tp
from neuron_whisper.planning.compile_memory import CompileJobs, choose_jobs
from neuron_whisper.planning.cost_model import CompileMemory, GraphCost, RankCostModel
from neuron_whisper.planning.instances import GIB, InstanceType
from neuron_whisper.target.interfaces import ProgramSpec

Goal = Literal["latency", "throughput"]

TOKENS_PER_WINDOW = 120  # of dense speech: about 75 words of English, with timestamps and the end
RESERVE_BYTES = 2 * GIB  # per core, for compiled graphs, scratch and the runtime; an assumption
# Bounds this close are a tie: then the smaller tp is better, for it has fewer collectives, which no bound counts.
TIE_TOLERANCE = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Assumptions:
    """Inputs of the bounds that are assumed. `tokens` is the length of a window's output, its end token included."""

    tokens: int = TOKENS_PER_WINDOW
    reserve_bytes: int = RESERVE_BYTES

    def __post_init__(self) -> None:
        if self.tokens < 1:
            raise InvalidOption("tokens", self.tokens, "a whole number of at least 1")
        if self.reserve_bytes < 0:
            raise InvalidOption("reserve", self.reserve_bytes, "at least 0 bytes")


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """A program in `replicas` groups of `tp` cores. Bytes are per core; times are lower bounds in seconds."""

    instance: InstanceType
    tp: int
    replicas: int
    slots: int
    weight_bytes: int
    cross_bytes_per_slot: int
    self_bytes_per_slot: int
    slot_bytes: int
    reserve_bytes: int
    max_slots: int
    compile_memory: CompileMemory
    graphs: tuple[GraphCost, ...]
    graph_s: tuple[float, ...]
    memory_bound: tuple[bool, ...]
    encode_s: float
    prefill_s: float
    step_s: float
    latency_s: float
    window_s: float

    @property
    def cores_idle(self) -> int:
        return self.instance.cores - self.tp * self.replicas

    @property
    def used_bytes(self) -> int:
        """Of a core's memory: weights, slots and the reserve."""
        return self.weight_bytes + self.slots * self.slot_bytes + self.reserve_bytes

    @property
    def fits(self) -> bool:
        return self.slots <= self.max_slots

    @property
    def compile_jobs(self) -> CompileJobs:
        """What `compile` does on this instance, if nothing else takes its memory."""
        return choose_jobs(self.compile_memory, self.instance.host_memory_bytes)

    @property
    def audio_per_s(self) -> float:
        """Seconds of audio in a second, at most: all replicas, every slot full. 1 / rtf"""
        return self.replicas * WINDOW_S / self.window_s

    @property
    def rtf(self) -> float:
        return 1 / self.audio_per_s

    @property
    def usd_per_audio_hour(self) -> float | None:
        """At least; None where the instance's price is not known."""
        price = self.instance.usd_per_hour
        return None if price is None else price * self.rtf


def place(
    spec: ProgramSpec,
    instance: InstanceType,
    *,
    tp: int,
    replicas: int,
    dtypes: tuple[str, str],
    assumptions: Assumptions | None = None,
) -> Placement:
    """One placement; `dtypes` are of activations and of weights. Raises InvalidOption when it cannot be.

    `latency_s` is of a window alone: encode, the shortest prompt, and a step for every further token, in which the
    empty slots cost as much as full ones. `window_s` is the time a replica spends on each window when all its slots
    are full: their encodes and prompts one after another, and steps which they share.
    """
    assumptions = assumptions or Assumptions()
    if replicas < 1 or tp * replicas > instance.cores:
        max_replicas = instance.cores // tp
        allowed = f"from 1 to {max_replicas}" if max_replicas else f"none: tp {tp} is more than its cores"
        raise InvalidOption("replicas", replicas, f"{allowed} ({instance.name} has {instance.cores} NeuronCores)")
    dtype, weights_dtype = dtypes
    costs, core = RankCostModel(spec, tp=tp, dtype=dtype, weights_dtype=weights_dtype), instance.core
    graphs = costs.estimate_graphs()
    batch = spec.encode_batches[-1]
    one, batched, prompt, step = (
        cost.min_seconds(core, dtype)
        for cost in (
            costs.estimate_encode(1),
            costs.estimate_encode(batch),
            costs.estimate_prefill(spec.prompt_buckets[0]),
            costs.estimate_decode(),
        )
    )
    further = assumptions.tokens - 1  # the prompt answers the first
    return Placement(
        instance=instance,
        tp=tp,
        replicas=replicas,
        slots=spec.slots,
        weight_bytes=costs.weight_bytes,
        slot_bytes=costs.slot_bytes,
        reserve_bytes=assumptions.reserve_bytes,
        cross_bytes_per_slot=costs.cross_bytes_per_slot,
        self_bytes_per_slot=costs.self_bytes_per_slot,
        max_slots=costs.max_slots(core, assumptions.reserve_bytes),
        compile_memory=costs.estimate_compile_memory(),
        graphs=graphs,
        graph_s=tuple(cost.min_seconds(core, dtype) for cost in graphs),
        memory_bound=tuple(cost.is_memory_bound(core, dtype) for cost in graphs),
        encode_s=one,
        prefill_s=prompt,
        step_s=step,
        latency_s=one + prompt + further * step,
        window_s=min(one, batched / batch) + prompt + further * step / spec.slots,
    )


def parallelism_options(
    dims: WhisperDims, instance: InstanceType, *, tp: int | None = None, replicas: int | None = None
) -> tuple[tuple[int, int], ...]:
    """(tp, replicas) to compare: every tp that fits the model, with as many replicas as there are cores for.

    `tp` and `replicas` fix either. Whether the runtime joins groups of that size is not known here.
    Raises InvalidOption when nothing is left.
    """
    sizes = [tp] if tp is not None else [size for size in range(1, instance.cores + 1) if _fits_model(dims, size)]
    if tp is not None:
        check_tp(dims, tp)
        if tp > instance.cores:
            raise InvalidOption("tp", tp, f"at most {instance.cores}, the NeuronCores of {instance.name}")
    found = tuple((size, replicas or instance.cores // size) for size in sizes)
    if replicas is not None:
        found = tuple((size, count) for size, count in found if size * count <= instance.cores)
        if not found:
            allowed = f"{instance.name} has {instance.cores} NeuronCores for tp x replicas"
            raise InvalidOption("replicas", replicas, allowed)
    return found


def _fits_model(dims: WhisperDims, tp: int) -> bool:
    try:
        check_tp(dims, tp)
    except InvalidOption:
        return False
    return True


def choose_best(placements: Iterable[Placement], goal: Goal) -> Placement | None:
    """The least latency of a window alone, or the most audio per second, of those that fit; None when none fits."""

    def badness(placement: Placement) -> float:
        return placement.latency_s if goal == "latency" else placement.rtf

    fitting = [placement for placement in placements if placement.fits]
    if not fitting:
        return None
    least = min(badness(placement) for placement in fitting)
    return min(
        (placement for placement in fitting if badness(placement) <= least * (1 + TIE_TOLERANCE)),
        key=lambda placement: (placement.tp, badness(placement)),
    )


def choose_cheapest(placements: Sequence[Placement]) -> Placement | None:
    """The least cost of an audio hour, of those that fit on instances with a known price."""
    priced = [(cost, p) for p in placements if p.fits and (cost := p.usd_per_audio_hour) is not None]
    return min(priced, key=lambda pair: pair[0])[1] if priced else None
