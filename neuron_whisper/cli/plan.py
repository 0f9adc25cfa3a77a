"""`plan`: computes what a model costs on Neuron instances and how best to place it there; measures nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import rich_click as click

from neuron_whisper.cli.completion import complete_models, complete_profiles
from neuron_whisper.cli.context import CliContext, with_context
from neuron_whisper.cli.output.tables import echo_json, echo_record, echo_table, format_bytes
from neuron_whisper.cli.profiles import parse_overrides, resolve_profile

if TYPE_CHECKING:
    from neuron_whisper.planning.cost_model import GraphCost
    from neuron_whisper.planning.placement import Assumptions, Placement
    from neuron_whisper.profile import CompileProfile
    from neuron_whisper.target.interfaces import ProgramSpec

COMPUTED = "computed, not measured: times and costs are lower bounds, memory to compile is an estimate"
NOT_COUNTED = (
    "collectives between cores",
    "the start of a graph",
    "the host's work",
    "activations that leave the chip",
)
GIB = 1 << 30
# flag -> key of the profile; instance, tp and replicas choose what is compared
PROFILE_KEYS = {
    "slots": "shapes.slots",
    "beams": "shapes.beams",
    "dtype": "target.dtype",
    "weights_dtype": "weights.dtype",
}


@click.command()
@click.option(
    "-m",
    "--model",
    panel="Model and profile",
    shell_complete=complete_models,
    required=True,
    metavar="NAME",
    help="Short name, or path of a checkpoint or of its config.json; nothing is downloaded.",
)
@click.option(
    "--instance",
    "instances",
    panel="Instances",
    multiple=True,
    metavar="TYPE",
    help="Instance type; may be repeated.  [default: all known]",
)
@click.option(
    "--profile",
    panel="Model and profile",
    shell_complete=complete_profiles,
    metavar="NAME|FILE",
    help="Compile profile: its sizes, types, instance, tp and replicas.",
)
@click.option(
    "--tp",
    panel="Instances",
    metavar="N",
    type=click.IntRange(min=1),
    help="Only this many cores per replica.  [default: all that fit]",
)
@click.option(
    "--replicas",
    panel="Instances",
    metavar="N",
    type=click.IntRange(min=1),
    help="Only this many groups of cores.  [default: all cores]",
)
@click.option(
    "--slots",
    panel="Model and profile",
    metavar="N",
    type=click.IntRange(min=1),
    help="Windows decoded at the same time, in each replica.",
)
@click.option("--beams", panel="Model and profile", metavar="N", type=click.IntRange(min=1), help="Beams per slot.")
@click.option(
    "--dtype",
    panel="Model and profile",
    metavar="TYPE",
    help="Data type of activations, caches and weights: bfloat16, float16, float32.",
)
@click.option("--weights-dtype", panel="Model and profile", metavar="TYPE", help="Data type of weights, if different.")
@click.option(
    "--set",
    "assignments",
    panel="Model and profile",
    multiple=True,
    metavar="TABLE.KEY=VALUE",
    help="Override one key of the profile.",
)
@click.option(
    "--tokens",
    panel="Assumptions",
    metavar="N",
    type=click.IntRange(min=1),
    default=120,
    show_default=True,
    help="Text tokens per 30 s window.",
)
@click.option(
    "--reserve",
    panel="Assumptions",
    type=click.FloatRange(min=0),
    default=2.0,
    show_default=True,
    metavar="GIB",
    help="Memory of each core reserved for graphs, scratch and runtime.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@with_context
def plan(
    context: CliContext,
    model: str,
    instances: tuple[str, ...],
    profile: str | None,
    tp: int | None,
    replicas: int | None,
    assignments: tuple[str, ...],
    tokens: int,
    reserve: float,
    as_json: bool,
    **flags: Any,
) -> None:
    """Compute what a model takes on Neuron instances: memory, least times, cost, best split of the cores.

    Nothing is measured and no device is needed: no real run is faster or cheaper than these bounds.
    """
    from neuron_whisper.model.known_dims import find_dims
    from neuron_whisper.planning.instances import INSTANCE_TYPES, get_instance_type
    from neuron_whisper.planning.placement import Assumptions, parallelism_options, place
    from neuron_whisper.target.interfaces import spec_from_profile

    compile_profile = resolve_profile(
        profile, "neuron", _collect_overrides(assignments, flags, has_profile=profile is not None)
    )
    if profile is not None:
        tp, replicas = tp or compile_profile.target.tp, replicas or compile_profile.target.replicas
    names = instances or ((compile_profile.target.instance,) if compile_profile.target.instance else ())
    machines = [get_instance_type(name) for name in dict.fromkeys(names)]
    spec = spec_from_profile(find_dims(model), compile_profile)
    assumptions = Assumptions(tokens=tokens, reserve_bytes=int(reserve * GIB))
    if not machines:  # all known instances with enough cores
        every = list(INSTANCE_TYPES.values())
        machines = [it for it in every if it.cores >= (tp or 1) * (replicas or 1)] or every
    placements = [
        place(
            spec,
            machine,
            tp=size,
            replicas=count,
            dtypes=(compile_profile.target.dtype, compile_profile.weights.dtype),
            assumptions=assumptions,
        )
        for machine in machines
        for size, count in parallelism_options(spec.dims, machine, tp=tp, replicas=replicas)
    ]
    marks = _mark_best(placements)
    if as_json:
        echo_json(_to_document(model, compile_profile, spec, assumptions, placements, marks))
    else:
        _echo_plan(model, compile_profile, spec, assumptions, placements, marks)


def _collect_overrides(assignments: Sequence[str], flags: dict[str, Any], *, has_profile: bool) -> dict[str, object]:
    """--dtype applies to the weights too, unless --weights-dtype or a profile sets them."""
    overrides = parse_overrides(assignments)
    overrides |= {PROFILE_KEYS[flag]: value for flag, value in flags.items() if value is not None}
    if flags["dtype"] is not None and not has_profile:
        overrides.setdefault("weights.dtype", flags["dtype"])
    return overrides


def _mark_best(placements: Sequence[Placement]) -> list[list[str]]:
    """What each placement is best at: latency and throughput among those of its instance, cost among all."""
    from neuron_whisper.planning.placement import choose_best, choose_cheapest

    marks: list[list[str]] = [[] for _ in placements]

    def mark(placement: Placement | None, goal: str) -> None:
        for at, other in enumerate(placements):
            if other is placement:
                marks[at].append(goal)

    for instance in dict.fromkeys(placement.instance.name for placement in placements):
        here = [placement for placement in placements if placement.instance.name == instance]
        if len(here) > 1:  # the only one is no choice
            mark(choose_best(here, "latency"), "latency")
            mark(choose_best(here, "throughput"), "throughput")
    if len({placement.instance.name for placement in placements}) > 1:
        mark(choose_cheapest(placements), "cost")
    return marks


# --- JSON -----------------------------------------------------------------------------------------


def _to_document(
    model: str,
    profile: CompileProfile,
    spec: ProgramSpec,
    assumptions: Assumptions,
    placements: Sequence[Placement],
    marks: Sequence[Sequence[str]],
) -> dict[str, Any]:
    from neuron_whisper.audio.clip import WINDOW_S
    from neuron_whisper.planning.instances import PRICE_SOURCE

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
            "prices": PRICE_SOURCE,
        },
        "placements": [
            _placement_to_document(placement, best_for) for placement, best_for in zip(placements, marks, strict=True)
        ],
    }


def _placement_to_document(placement: Placement, best_for: Sequence[str]) -> dict[str, Any]:
    instance, memory, compiling = placement.instance, placement.compile_memory, placement.compile_jobs
    return {
        "instance": instance.name,
        "tp": placement.tp,
        "replicas": placement.replicas,
        "cores_idle": placement.cores_idle,
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
            _graph_to_document(cost, seconds, is_memory_bound)
            for cost, seconds, is_memory_bound in zip(
                placement.graphs, placement.graph_s, placement.memory_bound, strict=True
            )
        ],
        "bounds": {
            "encode_s": placement.encode_s,
            "prefill_s": placement.prefill_s,
            "step_s": placement.step_s,
            "latency_s": placement.latency_s,
            "audio_per_s": placement.audio_per_s,
            "rtf": placement.rtf,
            "usd_per_hour": instance.usd_per_hour,
            "usd_per_audio_hour": placement.usd_per_audio_hour,
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


def _graph_to_document(cost: GraphCost, seconds: float, is_memory_bound: bool) -> dict[str, Any]:
    return {
        **asdict(cost),
        "bytes": cost.bytes,
        "min_s": seconds,
        "bound_by": "memory" if is_memory_bound else "arithmetic",
    }


# --- text -----------------------------------------------------------------------------------------


def _echo_plan(
    model: str,
    profile: CompileProfile,
    spec: ProgramSpec,
    assumptions: Assumptions,
    placements: Sequence[Placement],
    marks: Sequence[Sequence[str]],
) -> None:
    from neuron_whisper.planning.instances import PRICE_SOURCE

    echo_record(
        [
            (
                "model",
                f"{model}: {spec.dims.n_audio_layer} + {spec.dims.n_text_layer} layers of "
                f"{spec.dims.n_audio_state}, {spec.dims.n_audio_head} heads, vocabulary {spec.dims.n_vocab:,}",
            ),
            (
                "program",
                f"slots {spec.slots} per replica, beams {spec.beams}, text context {spec.text_context}, "
                f"{profile.target.dtype}, weights {profile.weights.dtype}",
            ),
            (
                "assumed",
                f"{assumptions.tokens} tokens per 30 s window, a prompt of {spec.prompt_buckets[0]}, "
                f"{assumptions.reserve_bytes / GIB:g} GiB of each core held back",
            ),
            ("figures", COMPUTED),
            ("left out", ", ".join(NOT_COUNTED)),
            ("prices", PRICE_SOURCE),
        ]
    )
    click.echo("")
    echo_table(
        ("INSTANCE", "TP x REPL", "CORE MEM", "FIT", "ENCODE", "STEP", "LATENCY", "RTF", "$/AUDIO H", "BEST FOR"),
        [_format_row(placement, best_for) for placement, best_for in zip(placements, marks, strict=True)],
    )
    click.echo(
        "\nCORE MEM: weights, slots and reserve of a core. FIT: slots a core could hold. LATENCY: of a window "
        "alone.\nRTF: all replicas, every slot full."
    )
    marked = [placement for placement, best_for in zip(placements, marks, strict=True) if best_for]
    for placement in _first_of_each_tp(marked or placements):
        _echo_graphs(placement)


def _format_row(placement: Placement, best_for: Sequence[str]) -> tuple[str, ...]:
    cost = placement.usd_per_audio_hour
    fits = "" if placement.fits else ": too few"
    return (
        placement.instance.name,
        f"{placement.tp} x {placement.replicas}" + (f" ({placement.cores_idle} idle)" if placement.cores_idle else ""),
        format_bytes(placement.used_bytes),
        f"{placement.max_slots}{fits}",
        _format_seconds(placement.encode_s),
        _format_seconds(placement.step_s),
        _format_seconds(placement.latency_s),
        f"{placement.rtf:.2g}",
        "unknown" if cost is None else f"{cost:.2g}",
        ", ".join(best_for) or "-",
    )


def _first_of_each_tp(placements: Sequence[Placement]) -> list[Placement]:
    """One placement of each tp: the chips are the same, so a rank's graphs depend on tp alone."""
    return list({placement.tp: placement for placement in reversed(placements)}.values())[::-1]


def _echo_graphs(placement: Placement) -> None:
    memory = placement.compile_memory
    click.echo(
        f"\nper core at tp {placement.tp}: weights {format_bytes(placement.weight_bytes)}; a slot's cross-K/V "
        f"{format_bytes(placement.cross_bytes_per_slot)}, self-K/V {format_bytes(placement.self_bytes_per_slot)}"
    )
    click.echo(
        f"host memory to compile (estimate): {format_bytes(memory.one_at_a_time_bytes)} one graph at a time, "
        f"{format_bytes(memory.all_at_once_bytes)} all at once"
    )
    if warning := placement.compile_jobs.warning:
        click.echo(f"on {placement.instance.name}: {warning}")
    click.echo("")
    echo_table(
        ("GRAPH", "GFLOP", "WEIGHTS", "CACHES", "ALL-REDUCE", "AT LEAST", "BOUND BY"),
        [
            (
                cost.graph,
                f"{cost.flops / 1e9:.3g}",
                format_bytes(cost.weight_bytes),
                format_bytes(cost.cache_read_bytes + cost.cache_write_bytes),
                format_bytes(cost.collective_bytes),
                _format_seconds(seconds),
                "memory" if is_memory_bound else "arithmetic",
            )
            for cost, seconds, is_memory_bound in zip(
                placement.graphs, placement.graph_s, placement.memory_bound, strict=True
            )
        ],
    )


def _format_seconds(seconds: float) -> str:
    """0.0004567 -> "457 us", 0.0234 -> "23.4 ms", 1.5 -> "1.50 s": three digits."""
    for unit, factor in (("us", 1e6), ("ms", 1e3)):
        if seconds * factor < 999.5:
            value = seconds * factor
            return f"{value:.{2 if value < 9.995 else 1 if value < 99.95 else 0}f} {unit}"
    return f"{seconds:.2f} s"
