"""`plan`: computes what a model costs on Neuron instances and how best to place it there; measures nothing."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from neuron_whisper.cli.completion import complete_models, complete_profiles
from neuron_whisper.cli.context import CliContext, with_context
from neuron_whisper.cli.output.tables import echo_json
from neuron_whisper.cli.profiles import parse_overrides, resolve_profile

if TYPE_CHECKING:
    from neuron_whisper.planning.instances import InstanceType
    from neuron_whisper.planning.placement import Placement
    from neuron_whisper.planning.prices import Price
    from neuron_whisper.profile import CompileProfile
    from neuron_whisper.target.interfaces import ProgramSpec

# flag -> key of the profile; instance, tp and replicas choose what is compared
PROFILE_KEYS = {
    "slots": "shapes.slots",
    "beams": "shapes.beams",
    "dtype": "target.dtype",
    "weights_dtype": "weights.dtype",
}
MAX_RESERVE_GIB = 1024.0  # more than any core has
# parameters that have a meaning beside --published
WITH_PUBLISHED = ("published", "model", "instances", "as_json", "cache", "quiet", "verbose")


@click.command()
@click.option(
    "-m",
    "--model",
    panel="Model and profile",
    shell_complete=complete_models,
    metavar="NAME",
    help="Short name, or path of a checkpoint or of its config.json; nothing is downloaded. Required, but for "
    "--published.",
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
    type=click.FloatRange(min=0, max=MAX_RESERVE_GIB),
    default=2.0,
    show_default=True,
    metavar="GIB",
    help="Memory of each core reserved for graphs, scratch and runtime.",
)
@click.option(
    "--hourly",
    panel="Assumptions",
    multiple=True,
    metavar="TYPE=USD",
    help="Price of an hour of an instance type, instead of the one known here; may be repeated.",
)
@click.option(
    "--price",
    "price_file",
    panel="Assumptions",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help='TOML file of such prices: "inf2.xlarge" = 0.35.',
)
@click.option(
    "--published",
    panel="Instances",
    is_flag=True,
    help="Compare published runs with their bounds instead; --model and --instance choose among them.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@with_context
def plan(
    context: CliContext,
    model: str | None,
    instances: tuple[str, ...],
    profile: str | None,
    tp: int | None,
    replicas: int | None,
    assignments: tuple[str, ...],
    tokens: int,
    reserve: float,
    hourly: tuple[str, ...],
    price_file: Path | None,
    published: bool,
    as_json: bool,
    **flags: Any,
) -> None:
    """Compute what a model takes on Neuron instances: memory, least times, cost, best split of the cores.

    Nothing is measured and no device is needed: no real run is faster or cheaper than these bounds.
    """
    if published:
        _check_published_alone()
        _echo_published(model, instances, as_json=as_json)
        return
    if model is None:
        raise click.UsageError("Missing option '-m' / '--model'.")
    from neuron_whisper.cli.output.plan_document import GIB, make_plan_document
    from neuron_whisper.cli.output.plan_text import echo_plan
    from neuron_whisper.model.known_dims import find_dims
    from neuron_whisper.planning.placement import Assumptions, parallelism_options, place
    from neuron_whisper.target.interfaces import spec_from_profile

    compile_profile = resolve_profile(
        profile, "neuron", _collect_overrides(assignments, flags, has_profile=profile is not None)
    )
    if profile is not None:
        tp, replicas = tp or compile_profile.target.tp, replicas or compile_profile.target.replicas
    names = instances or ((compile_profile.target.instance,) if compile_profile.target.instance else ())
    machines = _find_machines(names, (tp or 1) * (replicas or 1), _collect_prices(hourly, price_file))
    _check_logical_cores(compile_profile, machines)
    spec = spec_from_profile(find_dims(model), compile_profile)
    _check_assumptions(tokens, reserve, spec)
    assumptions = Assumptions(tokens=tokens, reserve_bytes=int(reserve * GIB))
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
        echo_json(make_plan_document(model, compile_profile, spec, assumptions, placements, marks))
    else:
        echo_plan(model, compile_profile, spec, assumptions, placements, marks)


def _check_assumptions(tokens: int, reserve: float, spec: ProgramSpec) -> None:
    """Raises InvalidOption for a window of more tokens than its context has, and for a reserve that is no number."""
    from neuron_whisper.errors import InvalidOption

    most = spec.text_context - spec.prompt_buckets[0]
    if tokens > most:
        raise InvalidOption("tokens", tokens, f"at most {most}: the text context, {spec.text_context}, less a prompt")
    if math.isnan(reserve):
        raise InvalidOption("reserve", reserve, f"GiB, 0 to {MAX_RESERVE_GIB:g}")


def _check_published_alone() -> None:
    """Raises UsageError for an option that has no meaning for published runs."""
    context = click.get_current_context()
    assert context is not None
    for param in context.command.get_params(context):
        name = param.name or ""
        source = context.get_parameter_source(name)
        if name not in WITH_PUBLISHED and source is not None and source.name == "COMMANDLINE":
            raise click.UsageError(f"{param.opts[0]} has no meaning with --published; --model and --instance have.")


def _echo_published(model: str | None, instances: Sequence[str], *, as_json: bool) -> None:
    """Published runs beside their bounds, of the model and the instances, if any are named."""
    from neuron_whisper.cli.output.plan_document import make_published_document
    from neuron_whisper.cli.output.plan_text import echo_published
    from neuron_whisper.model.known_dims import find_dims
    from neuron_whisper.model.published_dims import PUBLISHED_DIMS
    from neuron_whisper.planning.instances import check_instance_type
    from neuron_whisper.planning.published_runs import bound_published_runs

    for name in instances:
        check_instance_type("instance", name)
    dims = None if model is None else find_dims(model)
    bounds = [
        bound
        for bound in bound_published_runs()
        if (dims is None or PUBLISHED_DIMS[bound.run.model] == dims)
        and (not instances or bound.run.instance in instances)
    ]
    if as_json:
        echo_json(make_published_document(bounds))
    else:
        echo_published(bounds)


def _collect_prices(hourly: Sequence[str], price_file: Path | None) -> dict[str, Price]:
    """Prices that the user gives, by instance type; --hourly goes before the file. Raises InvalidOption."""
    from neuron_whisper.planning.instances import check_instance_type
    from neuron_whisper.planning.prices import load_prices, parse_hourly

    from_file = {} if price_file is None else load_prices(price_file)
    given = parse_hourly(hourly)
    for field, names in (("price", from_file), ("hourly", given)):
        for name in names:
            check_instance_type(field, name)
    return from_file | given


def _find_machines(names: Sequence[str], cores: int, prices: Mapping[str, Price]) -> list[InstanceType]:
    """The instances of these names; of none, all known that have enough cores, or all."""
    from neuron_whisper.planning.instances import INSTANCE_TYPES, get_instance_type, with_prices

    machines = [get_instance_type(name) for name in dict.fromkeys(names)]
    if not machines:
        every = list(INSTANCE_TYPES.values())
        machines = [machine for machine in every if machine.cores >= cores] or every
    return [with_prices(machine, prices) for machine in machines]


def _check_logical_cores(profile: CompileProfile, machines: Sequence[InstanceType]) -> None:
    """Raises InvalidOption when the profile is compiled for other logical cores than are known of an instance."""
    import msgspec

    from neuron_whisper.errors import InvalidOption
    from neuron_whisper.target.neuron.lowering.compiler_flags import logical_cores

    for machine in machines:
        target = msgspec.structs.replace(profile.target, instance=machine.name)
        lnc = logical_cores(msgspec.structs.replace(profile, target=target))
        if lnc != machine.lnc:
            allowed = f"--lnc={machine.lnc}: what is known of {machine.name} is of that"
            raise InvalidOption("compiler.args", f"--lnc={lnc}", allowed)


def _collect_overrides(assignments: Sequence[str], flags: dict[str, Any], *, has_profile: bool) -> dict[str, object]:
    """--dtype applies to the weights too, unless --weights-dtype or a profile sets them."""
    overrides = parse_overrides(assignments)
    overrides |= {PROFILE_KEYS[flag]: value for flag, value in flags.items() if value is not None}
    if flags["dtype"] is not None and not has_profile:
        overrides.setdefault("weights.dtype", flags["dtype"])
    return overrides


def _mark_best(placements: Sequence[Placement]) -> list[list[str]]:
    """What each placement is best at: latency and throughput among those of its instance, cost among all."""
    from neuron_whisper.planning.placement import choose_best

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
        mark(choose_best(placements, "cost"), "cost")
    return marks
