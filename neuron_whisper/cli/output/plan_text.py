"""What `plan` computes, as text."""

from __future__ import annotations

from collections.abc import Sequence

import rich_click as click

from neuron_whisper.cli.output.plan_document import COMPUTED, GIB, NOT_COUNTED
from neuron_whisper.cli.output.tables import echo_record, echo_table, format_bytes
from neuron_whisper.planning.cost_model import GraphCost
from neuron_whisper.planning.graph_time import GraphTime
from neuron_whisper.planning.instances import MEASURED_SOURCE
from neuron_whisper.planning.placement import Assumptions, Placement, choose_best
from neuron_whisper.planning.published_runs import RunBound
from neuron_whisper.profile import CompileProfile
from neuron_whisper.target.interfaces import ProgramSpec

PUBLISHED_HEADERS = (
    "MODEL",
    "INSTANCE",
    "TP x REPL",
    "AUDIO",
    "TOOK",
    "BOUND",
    "SHARE",
    "ENCODE",
    "STEPS",
    "STARTS",
    "COLLECTIVES",
    "REST",
)


def echo_plan(
    model: str,
    profile: CompileProfile,
    spec: ProgramSpec,
    assumptions: Assumptions,
    placements: Sequence[Placement],
    marks: Sequence[Sequence[str]],
) -> None:
    """`marks` are what each placement is best for."""
    _echo_program(model, profile, spec, assumptions)
    click.echo("")
    _echo_instances(placements)
    click.echo("")
    echo_table(
        ("INSTANCE", "TP x REPL", "CORE MEM", "FIT", "ENCODE", "STEP", "LATENCY", "RTF", "$/AUDIO H", "BEST FOR"),
        [_format_row(placement, best_for) for placement, best_for in zip(placements, marks, strict=True)],
    )
    click.echo(
        "\nCORE MEM: weights, slots and reserve of a core. FIT: slots a core could hold. LATENCY: of a window "
        "alone.\nRTF: all replicas, every slot full. BEST FOR: latency and throughput among the splits of an instance, "
        "cost\namong all rows."
    )
    _echo_unlisted(placements)
    if len(placements) > 1:
        click.echo("")
        _echo_recommended(placements)
    marked = [placement for placement, best_for in zip(placements, marks, strict=True) if best_for]
    for placement in _first_of_each_kind(marked or placements):
        _echo_graphs(placement)
    start = format_seconds(placements[0].instance.core.launch_s)
    click.echo(
        f"\nAT LEAST: the start of a graph ({start}), collectives, and the slowest of arithmetic, memory, vector "
        "engine and links."
    )


def echo_published(bounds: Sequence[RunBound]) -> None:
    """Published runs with their bounds, and where they were published."""
    if not bounds:
        click.echo("no published run of these is known")
        return
    sources = list(dict.fromkeys(bound.run.citation for bound in bounds))
    echo_table(
        (*PUBLISHED_HEADERS, "OF"),
        [(*format_published(bound), sources.index(bound.run.citation) + 1) for bound in bounds],
    )
    click.echo(
        "\nBOUND: the least time of this program for the same, computed, not measured: ENCODE, prompts and STEPS;\n"
        "STARTS of graphs and COLLECTIVES are of it. SHARE: of the published time. REST: what took the published\n"
        "run longer. Where tokens were not counted, 3 a second are assumed."
    )
    for number, source in enumerate(sources, 1):
        click.echo(f"{number}: {source}")


def format_published(bound: RunBound) -> tuple[str, ...]:
    """A row of the table of published runs, without its source."""
    run = bound.run
    return (
        run.model,
        run.instance,
        f"{run.tp} x {run.replicas}",
        (f"{run.clips * run.replicas} of " if run.clips * run.replicas > 1 else "") + f"{run.audio_s:g} s",
        format_seconds(run.took_s),
        format_seconds(bound.bound_s),
        f"{bound.bound_share:.0%}",
        *(
            format_seconds(seconds) if seconds else "-"
            for seconds in (
                bound.encode_s,
                bound.steps_s,
                bound.parts["launch"],
                bound.parts["collectives"],
                bound.unexplained_s,
            )
        ),
    )


def format_seconds(seconds: float) -> str:
    """0.0004567 -> "457 us", 0.0234 -> "23.4 ms", 1.5 -> "1.50 s": three digits."""
    for unit, factor in (("us", 1e6), ("ms", 1e3)):
        if seconds * factor < 999.5:
            value = seconds * factor
            return f"{value:.{2 if value < 9.995 else 1 if value < 99.95 else 0}f} {unit}"
    return f"{seconds:.2f} s"


def _echo_program(model: str, profile: CompileProfile, spec: ProgramSpec, assumptions: Assumptions) -> None:
    dims = spec.dims
    echo_record(
        [
            (
                "model",
                f"{model}: {dims.n_audio_layer} + {dims.n_text_layer} layers of {dims.n_audio_state}, "
                f"{dims.n_audio_head} heads, vocabulary {dims.n_vocab:,}",
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
            ("but for", f"starts of graphs and collectives, as others measured them: {MEASURED_SOURCE}"),
            ("left out", ", ".join(NOT_COUNTED)),
        ]
    )


def _echo_instances(placements: Sequence[Placement]) -> None:
    instances = list({placement.instance.name: placement.instance for placement in placements}.values())
    echo_table(
        ("INSTANCE", "CHIPS x CORES", "LNC", "MEMORY OF A CORE", "$/H", "PRICE"),
        [
            (
                it.name,
                f"{it.chips} x {it.cores_per_chip}",
                it.lnc,
                f"{it.core.memory_bytes / GIB:g} GiB, {it.core.bytes_per_s / 1e9:.0f} GB/s",
                "unknown" if it.price is None else f"{it.price.usd_per_hour:.7g}",
                "-" if it.price is None else it.price.description,
            )
            for it in instances
        ],
    )


def _echo_recommended(placements: Sequence[Placement]) -> None:
    cheap, quick = choose_best(placements, "cost"), choose_best(placements, "latency")
    pairs = []
    if cheap is not None:
        price = "" if cheap.instance.price is None else f", price: {cheap.instance.price.basis}"
        most = f"at most {cheap.audio_hours_per_usd:,.0f} h of audio per dollar{price}"
        pairs.append(("most audio per dollar", f"{_name(cheap)}: {most}"))
    if quick is not None:
        pairs.append(("least latency", f"{_name(quick)}: at least {format_seconds(quick.latency_s)} for a window"))
    echo_record(pairs or [("recommended", "nothing: no placement fits, of a tp that the runtime takes")])


def _echo_unlisted(placements: Sequence[Placement]) -> None:
    """A line for each instance whose runtime is not known to take the tp that was asked for."""
    for placement in placements:
        if not placement.is_tp_listed:
            listed = ", ".join(map(str, placement.instance.tp_degrees))
            click.echo(f"{_name(placement)}: AWS lists tp {listed} there; the runtime may refuse this one.")


def _name(placement: Placement) -> str:
    return f"{placement.instance.name}, tp {placement.tp} x {placement.replicas}"


def _format_row(placement: Placement, best_for: Sequence[str]) -> tuple[str, ...]:
    cost = placement.usd_per_audio_hour
    fits = "" if placement.fits else ": too few"
    return (
        placement.instance.name,
        f"{placement.tp} x {placement.replicas}" + (f" ({placement.cores_idle} idle)" if placement.cores_idle else ""),
        format_bytes(placement.used_bytes),
        f"{placement.max_slots}{fits}",
        format_seconds(placement.encode.total_s),
        format_seconds(placement.step.total_s),
        format_seconds(placement.latency_s),
        f"{placement.rtf:.2g}",
        "unknown" if cost is None else f"{cost:.2g}",
        ", ".join(best_for) or "-",
    )


def _first_of_each_kind(placements: Sequence[Placement]) -> list[Placement]:
    """One placement of each tp and core: on these a rank's graphs depend."""
    kinds = {(placement.tp, placement.instance.core.bytes_per_s): placement for placement in reversed(placements)}
    return list(kinds.values())[::-1]


def _echo_graphs(placement: Placement) -> None:
    memory = placement.compile_memory
    click.echo(
        f"\nper core of {placement.instance.name} at tp {placement.tp}: weights "
        f"{format_bytes(placement.weight_bytes)}; a slot's cross-K/V "
        f"{format_bytes(placement.cross_bytes_per_slot)}, self-K/V {format_bytes(placement.self_bytes_per_slot)}"
    )
    groups = "; ".join(f"replica {at}: {_format_cores(cores)}" for at, cores in enumerate(placement.core_groups[:2]))
    click.echo(f"cores, in the order of ranks: {groups}" + ("; ..." if placement.replicas > 2 else ""))
    click.echo(
        f"host memory to compile (estimate): {format_bytes(memory.one_at_a_time_bytes)} one graph at a time, "
        f"{format_bytes(memory.all_at_once_bytes)} all at once"
    )
    if warning := placement.compile_jobs.warning:
        click.echo(f"on {placement.instance.name}: {warning}")
    click.echo("")
    echo_table(
        ("GRAPH", "GFLOP", "WEIGHTS", "CACHES", "EXCHANGED", "COLLECTIVES", "SLOWEST", "AT LEAST", "BOUND BY"),
        [_format_graph(cost, time) for cost, time in zip(placement.graphs, placement.graph_times, strict=True)],
    )


def _format_cores(cores: Sequence[int]) -> str:
    """(2, 3) -> "2-3"; cores of a replica follow each other."""
    return f"{cores[0]}" if len(cores) == 1 else f"{cores[0]}-{cores[-1]}"


def _format_graph(cost: GraphCost, time: GraphTime) -> tuple[str, ...]:
    name, seconds = time.slowest
    return (
        cost.graph,
        f"{cost.flops / 1e9:.3g}",
        format_bytes(cost.weight_bytes),
        format_bytes(cost.cache_read_bytes + cost.cache_write_bytes),
        format_bytes(cost.collective_bytes),
        f"{cost.collectives}: {format_seconds(time.collectives_s)}" if cost.collectives else "-",
        f"{name} {format_seconds(seconds)}",
        format_seconds(time.total_s),
        time.bound_by,
    )
