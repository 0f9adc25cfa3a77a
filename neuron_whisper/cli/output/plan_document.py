"""What `plan` computes, as a JSON document."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from neuron_whisper.audio.clip import WINDOW_S
from neuron_whisper.planning.cost_model import GraphCost
from neuron_whisper.planning.graph_time import GraphTime
from neuron_whisper.planning.instances import MEASURED_SOURCE
from neuron_whisper.planning.placement import Assumptions, Placement, choose_best
from neuron_whisper.planning.published_runs import RunBound
from neuron_whisper.profile import CompileProfile
from neuron_whisper.target.interfaces import ProgramSpec

COMPUTED = "computed, not measured: times and costs are lower bounds, memory to compile is an estimate"
NOT_COUNTED = (
    "the host's work",
    "activations that leave the chip",
    "vector work outside of attention",
    "transfers packet by packet",
)
GIB = 1 << 30


def make_plan_document(
    model: str,
    profile: CompileProfile,
    spec: ProgramSpec,
    assumptions: Assumptions,
    placements: Sequence[Placement],
    marks: Sequence[Sequence[str]],
) -> dict[str, Any]:
    """`marks` are what each placement is best for."""
    return {
        "kind": COMPUTED,
        "model": model,
        "dims": asdict(spec.dims),
        "program": {
            "slots": spec.slots,
            "beams": spec.beams,
            "encode_batch": spec.encode_batch,
            "prompt_buckets": spec.prompt_buckets,
            "text_context": spec.text_context,
            "align_buckets": spec.align_buckets,
            "dtype": profile.target.dtype,
            "weights_dtype": profile.weights.dtype,
        },
        "assumptions": {
            "window_s": WINDOW_S,
            "tokens_per_window": assumptions.tokens,
            "prompt_tokens": spec.prompt_buckets[0],
            "reserve_bytes": assumptions.reserve_bytes,
            "not_counted": NOT_COUNTED,
            "starts_and_collectives": MEASURED_SOURCE,
        },
        "instances": {placement.instance.name: _describe_instance(placement) for placement in placements},
        "recommended": {
            "audio_per_usd": _name_placement(choose_best(placements, "cost")),
            "latency": _name_placement(choose_best(placements, "latency")),
        },
        "placements": [
            _describe_placement(placement, best_for) for placement, best_for in zip(placements, marks, strict=True)
        ],
    }


def make_published_document(bounds: Sequence[RunBound]) -> dict[str, Any]:
    """Published runs with their bounds; `tokens_assumed` are of those that do not say how many there were."""
    return {
        "kind": "published by others; bounds are computed for this program, not measured",
        "runs": [
            {
                **asdict(bound.run),
                "tokens_assumed": None if bound.run.tokens else bound.run.tokens_per_clip,
                "bound_s": bound.bound_s,
                "encode_s": bound.encode_s,
                "prefill_s": bound.prefill_s,
                "steps_s": bound.steps_s,
                "steps": bound.steps,
                "bound_parts_s": dict(bound.parts),
                "bound_share": bound.bound_share,
                "unexplained_s": bound.unexplained_s,
            }
            for bound in bounds
        ],
    }


def _describe_instance(placement: Placement) -> dict[str, Any]:
    instance = placement.instance
    return {
        "chips": instance.chips,
        "cores_per_chip": instance.cores_per_chip,
        "lnc": instance.lnc,
        "core": asdict(instance.core),
        "link_bytes_per_s": instance.link_bytes_per_s,
        "host_memory_bytes": instance.host_memory_bytes,
        "price": None if instance.price is None else asdict(instance.price),
    }


def _name_placement(placement: Placement | None) -> dict[str, Any] | None:
    if placement is None:
        return None
    return {
        "instance": placement.instance.name,
        "tp": placement.tp,
        "replicas": placement.replicas,
        "latency_s": placement.latency_s,
        "audio_hours_per_usd": placement.audio_hours_per_usd,
    }


def _describe_placement(placement: Placement, best_for: Sequence[str]) -> dict[str, Any]:
    instance, memory, compiling = placement.instance, placement.compile_memory, placement.compile_jobs
    return {
        "instance": instance.name,
        "tp": placement.tp,
        "replicas": placement.replicas,
        "cores_idle": placement.cores_idle,
        "core_groups": placement.core_groups,
        "crosses_chips": instance.crosses_chips(placement.tp),
        "tp_listed": placement.is_tp_listed,
        "best_for": best_for,
        "core_memory": {
            "total_bytes": instance.core.memory_bytes,
            "weights_bytes": placement.weight_bytes,
            "cross_bytes_per_slot": placement.cross_bytes_per_slot,
            "self_bytes_per_slot": placement.self_bytes_per_slot,
            "slot_bytes": placement.slot_bytes,
            "used_bytes": placement.used_bytes,
            "slots": placement.slots,
            "slots_that_fit": placement.max_slots,
            "fits": placement.fits,
        },
        "graphs": [
            _describe_graph(cost, time) for cost, time in zip(placement.graphs, placement.graph_times, strict=True)
        ],
        "bounds": {
            "encode_s": placement.encode.total_s,
            "prefill_s": placement.prefill.total_s,
            "step_s": placement.step.total_s,
            "latency_s": placement.latency_s,
            "latency_parts_s": placement.latency_parts,
            "audio_per_s": placement.audio_per_s,
            "rtf": placement.rtf,
            "usd_per_hour": instance.usd_per_hour,
            "usd_per_audio_hour": placement.usd_per_audio_hour,
            "audio_hours_per_usd": placement.audio_hours_per_usd,
        },
        "compile_estimate": {
            **asdict(memory),
            "one_at_a_time_bytes": memory.one_at_a_time_bytes,
            "all_at_once_bytes": memory.all_at_once_bytes,
            "host_bytes": instance.host_memory_bytes,
            "fits_here": compiling.fits,
            "jobs": compiling.jobs,
            "warning": compiling.warning,
        },
    }


def _describe_graph(cost: GraphCost, time: GraphTime) -> dict[str, Any]:
    return {**asdict(cost), "bytes": cost.bytes, **asdict(time), "min_s": time.total_s, "bound_by": time.bound_by}
