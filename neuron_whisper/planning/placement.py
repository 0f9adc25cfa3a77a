"""Placements of a program on an instance: tp x replicas, the minimum time and cost of each, and the best one.

Computed, never measured here: every time is a lower bound, so every throughput and cost is a bound as well. Left out:
the host's work (audio, text), activations that do not fit on the chip, vector work outside of attention, transfers
that the compiler cuts into packets.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from neuron_whisper.audio.clip import WINDOW_S
from neuron_whisper.errors import InvalidOption
from neuron_whisper.model.dims import WhisperDims
from neuron_whisper.model.sharding import check_tp
from neuron_whisper.planning.compile_memory import CompileJobs, choose_jobs
from neuron_whisper.planning.cost_model import CompileMemory, GraphCost, RankCostModel
from neuron_whisper.planning.graph_time import GraphTime, Part, estimate_time, sum_parts
from neuron_whisper.planning.instances import GIB, InstanceType
from neuron_whisper.target.interfaces import ProgramSpec
from neuron_whisper.target.neuron.runtime.cores import partition_cores

Goal = Literal["latency", "throughput", "cost"]

TOKENS_PER_WINDOW = 120  # of dense speech: about 75 words of English, with timestamps and the end
RESERVE_BYTES = 2 * GIB  # per core, for compiled graphs, scratch and the runtime; an assumption
# Bounds this close are a tie: then the smaller tp is better, for it depends on fewer measured figures.
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
    """A program in `replicas` groups of `tp` cores. Bytes are per core; times are lower bounds in seconds.

    `graph_times` are of `graphs`; `encode` is of one window, `encode_share` of one in the batch that is fastest.
    """

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
    graph_times: tuple[GraphTime, ...]
    encode: GraphTime
    encode_share_s: float
    prefill: GraphTime
    step: GraphTime
    tokens: int

    @property
    def latency_s(self) -> float:
        """Of a window alone: encode, the shortest prompt, and a step for every further token.

        In a step the empty slots cost as much as full ones.
        """
        return self.encode.total_s + self.prefill.total_s + self._further_tokens * self.step.total_s

    @property
    def latency_parts(self) -> dict[Part, float]:
        """What `latency_s` consists of."""
        return sum_parts(((1, self.encode), (1, self.prefill), (self._further_tokens, self.step)))

    @property
    def window_s(self) -> float:
        """The time a replica spends on each window when all its slots are full.

        Their encodes and prompts run one after another, and they share the steps.
        """
        steps_s = self._further_tokens * self.step.total_s / self.slots
        return self.encode_share_s + self.prefill.total_s + steps_s

    @property
    def _further_tokens(self) -> int:
        return self.tokens - 1  # the prompt answers the first

    @property
    def core_groups(self) -> list[tuple[int, ...]]:
        """The cores of each replica, in the order of its ranks, where the environment chooses none."""
        return partition_cores({}, self.tp, self.replicas)

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
    def is_tp_listed(self) -> bool:
        """Whether the runtime is known to take groups of this size."""
        return self.tp in self.instance.tp_degrees

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

    @property
    def audio_hours_per_usd(self) -> float | None:
        """At most; None where the instance's price is not known."""
        cost = self.usd_per_audio_hour
        return None if cost is None else 1 / cost


def place(
    spec: ProgramSpec,
    instance: InstanceType,
    *,
    tp: int,
    replicas: int,
    dtypes: tuple[str, str],
    assumptions: Assumptions | None = None,
) -> Placement:
    """One placement; `dtypes` are of activations and of weights. Raises InvalidOption when it cannot be."""
    assumptions = assumptions or Assumptions()
    if replicas < 1 or tp * replicas > instance.cores:
        max_replicas = instance.cores // tp
        allowed = f"from 1 to {max_replicas}" if max_replicas else f"none: tp {tp} is more than its cores"
        raise InvalidOption("replicas", replicas, f"{allowed} ({instance.name} has {instance.cores} NeuronCores)")
    dtype, weights_dtype = dtypes
    costs = RankCostModel(spec, tp=tp, dtype=dtype, weights_dtype=weights_dtype)
    graphs = costs.estimate_graphs()

    def time(cost: GraphCost) -> GraphTime:
        return estimate_time(cost, instance, tp=tp, dtype=dtype)

    batch = spec.encode_batches[-1]
    encode = time(costs.estimate_encode(1))
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
        max_slots=costs.max_slots(instance.core, assumptions.reserve_bytes),
        compile_memory=costs.estimate_compile_memory(),
        graphs=graphs,
        graph_times=tuple(time(cost) for cost in graphs),
        encode=encode,
        encode_share_s=min(encode.total_s, time(costs.estimate_encode(batch)).total_s / batch),
        prefill=time(costs.estimate_prefill(spec.prompt_buckets[0])),
        step=time(costs.estimate_decode()),
        tokens=assumptions.tokens,
    )


def parallelism_options(
    dims: WhisperDims, instance: InstanceType, *, tp: int | None = None, replicas: int | None = None
) -> tuple[tuple[int, int], ...]:
    """(tp, replicas) to compare: every tp that fits model and runtime, with as many replicas as there are cores for.

    `tp` and `replicas` fix either, `tp` also to a size that the runtime is not known to take.
    Raises InvalidOption when nothing is left.
    """
    sizes = [tp] if tp is not None else [size for size in instance.tp_degrees if _fits_model(dims, size)]
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
    """The best of those that fit, of a tp that the runtime takes; None when none does.

    `latency` is that of a window alone, `throughput` audio per second, `cost` the price of an hour of audio, of which
    only those with a known price are. Of ties the smaller tp is better.
    """

    def badness(placement: Placement) -> float | None:
        if goal == "latency":
            return placement.latency_s
        return placement.rtf if goal == "throughput" else placement.usd_per_audio_hour

    fitting = [(bad, it) for it in placements if it.fits and it.is_tp_listed and (bad := badness(it)) is not None]
    if not fitting:
        return None
    limit = min(bad for bad, _ in fitting) * (1 + TIE_TOLERANCE)
    return min((pair for pair in fitting if pair[0] <= limit), key=lambda pair: (pair[1].tp, pair[0]))[1]
