"""`compile`: compiles a model into an artifact, or explains the flags without compiling."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from neuron_whisper.cli.building import DEFAULT_MODEL, build_artifact, plan_artifact
from neuron_whisper.cli.completion import complete_models, complete_profiles
from neuron_whisper.cli.context import CliContext, with_context
from neuron_whisper.cli.output.tables import echo_json, echo_record, format_bytes, format_program
from neuron_whisper.cli.profiles import PROFILE_CHOICES, parse_overrides, resolve_profile

if TYPE_CHECKING:
    from neuron_whisper.artifact.loader import Artifact
    from neuron_whisper.build import BuildSpec

# flag -> key of the profile
PROFILE_KEYS = {
    "tp": "target.tp",
    "dtype": "target.dtype",
    "instance": "target.instance",
    "slots": "shapes.slots",
    "beams": "shapes.beams",
    "encode_batch": "shapes.encode_batch",
    "prompt_buckets": "shapes.prompt_buckets",
    "weights_dtype": "weights.dtype",
}


def _parse_lengths(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[int, ...] | None:
    """ "4,32,256" -> (4, 32, 256)"""
    try:
        return None if value is None else tuple(int(part) for part in value.split(","))
    except ValueError:
        raise click.BadParameter(f"{value!r} is not a list of whole numbers such as 4,32,256") from None


def _refuse_removed_flag(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    """For `--ignore-memory`, whose meaning is the default now. Raises UsageError."""
    if value:
        raise click.UsageError(
            "--ignore-memory was removed: too little host memory is a warning now; leave the flag out, or give "
            "--strict-memory to be refused",
            ctx,
        )


@click.command("compile")
@click.option(
    "-m",
    "--model",
    panel="Model and profile",
    shell_complete=complete_models,
    default=DEFAULT_MODEL,
    show_default=True,
    metavar="NAME",
    help="Short name, Hugging Face id or path of a checkpoint.",
)
@click.option(
    "--profile",
    panel="Model and profile",
    shell_complete=complete_profiles,
    metavar="NAME|FILE",
    help=f"Compile profile: {PROFILE_CHOICES}.  [default: cpu]",
)
@click.option(
    "--target",
    panel="Model and profile",
    type=click.Choice(["cpu", "reference", "neuron"]),
    help="Compile target; overrides the profile.",
)
@click.option(
    "--tp",
    panel="Model and profile",
    metavar="N",
    type=click.IntRange(min=1),
    help="Tensor-parallel ranks; above 1 means the Neuron target.",
)
@click.option(
    "--slots",
    panel="Model and profile",
    metavar="N",
    type=click.IntRange(min=1),
    help="Windows decoded at the same time.",
)
@click.option("--beams", panel="Model and profile", metavar="N", type=click.IntRange(min=1), help="Beams per slot.")
@click.option(
    "--encode-batch",
    panel="Model and profile",
    metavar="N",
    type=click.IntRange(min=1),
    help="Windows encoded at once.",
)
@click.option(
    "--dtype",
    panel="Model and profile",
    metavar="TYPE",
    help="Data type of activations and caches: float32, bfloat16, float16.",
)
@click.option(
    "--weights-dtype",
    panel="Model and profile",
    metavar="TYPE",
    help="Data type of weights: float32, bfloat16, float16, or int8 for the decoder's matrices.",
)
@click.option(
    "--prompt-buckets",
    panel="Model and profile",
    callback=_parse_lengths,
    metavar="N,N...",
    help="Lengths that prompts are padded to.",
)
@click.option(
    "--instance",
    panel="Model and profile",
    metavar="TYPE",
    help="Family (inf2, trn1, trn2) or machine that a Neuron artifact is for.  [default: this one, or inf2]",
)
@click.option(
    "--set",
    "assignments",
    panel="Model and profile",
    multiple=True,
    metavar="TABLE.KEY=VALUE",
    help="Override one key of the profile.",
)
@click.option(
    "--encoder-scales",
    panel="Model and profile",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Scales of an 8-bit encoder, as calibrate --out wrote them.  [default: those in the cache directory, else "
    "the package's]",
)
@click.option(
    "--explain",
    panel="Compiling",
    is_flag=True,
    help="Print what differs from the nearest stored artifact; compile nothing.",
)
@click.option(
    "--dry-run",
    panel="Compiling",
    is_flag=True,
    help="Print what would be compiled, its key and its memory; compile nothing.",
)
@click.option(
    "--jobs",
    panel="Compiling",
    metavar="N",
    type=click.IntRange(min=1),
    help="Graphs that neuronx-cc compiles at once.  [default: all, or 1 where host memory may not hold them]",
)
@click.option(
    "--strict-memory",
    panel="Compiling",
    is_flag=True,
    help="Refuse to compile if the estimate says host memory is insufficient (Neuron), instead of a warning.",
)
@click.option("--ignore-memory", is_flag=True, hidden=True, expose_value=False, callback=_refuse_removed_flag)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@with_context
def compile_command(
    context: CliContext,
    model: str,
    profile: str | None,
    target: str | None,
    assignments: tuple[str, ...],
    encoder_scales: Path | None,
    explain: bool,
    dry_run: bool,
    jobs: int | None,
    strict_memory: bool,
    as_json: bool,
    **flags: Any,
) -> None:
    """Compile a model into an artifact and print its directory.

    A stored artifact with the same key is returned without compiling.
    """
    overrides = parse_overrides(assignments)
    overrides |= {PROFILE_KEYS[flag]: value for flag, value in flags.items() if value is not None}
    started = time.perf_counter()
    from neuron_whisper.profile import to_profile_name

    is_changed = target is not None or bool(overrides)  # then it is not the profile of that name any more
    profile_name = None if is_changed or profile is None else to_profile_name(profile)
    selected = resolve_profile(profile, target, overrides)
    plan = plan_artifact(context, model, selected, profile_name=profile_name, encoder_scales=encoder_scales)
    stored = context.store().find(plan.key)
    if plan.warning and (stored or dry_run or explain):  # building says it itself
        context.info(f"warning: {plan.warning}")
    if dry_run or explain:
        answer: dict[str, Any] = {"name": plan.name, "key": plan.key}
        if dry_run:
            answer = _describe_plan(plan, stored, jobs=jobs, strict_memory=strict_memory)
        answer["status"] = "hit" if stored else "miss"
        if explain:
            answer["explain"] = _explain_difference(context, plan)
        if as_json:
            echo_json(answer)
        else:
            _echo_plan(answer)
        return
    artifact = stored or build_artifact(context, plan, jobs=jobs, strict_memory=strict_memory)
    if stored:
        context.info(f"{artifact.name} is already compiled")
    if as_json:
        echo_json(
            {
                "status": "hit" if stored else "compiled",
                "name": artifact.name,
                "key": artifact.key,
                "path": str(artifact.path),
                "model": artifact.manifest.model,
                "target": artifact.manifest.target,
                "tp": artifact.manifest.tp,
                "size_bytes": artifact.size_bytes,
                "took_s": round(time.perf_counter() - started, 3),
            }
        )
    else:
        click.echo(str(artifact.path))


def _describe_plan(
    plan: BuildSpec, cached: Artifact | None, *, jobs: int | None, strict_memory: bool
) -> dict[str, Any]:
    """The plan as --dry-run prints it. Cache bytes are in the profile's activation type.

    Raises HostMemoryTooSmall where compiling would.
    """
    from neuron_whisper.artifact.manifest import spec_to_data
    from neuron_whisper.build import WEIGHT_DTYPE_BYTES

    compiling = {}
    if plan.profile.target.name == "neuron":
        compiling["compile_memory"] = _describe_compile_memory(plan, jobs, strict_memory=strict_memory and not cached)
    spec, width = plan.spec, WEIGHT_DTYPE_BYTES[plan.profile.target.dtype] / 2  # the spec counts in 16 bit
    return {
        "name": plan.name,
        "key": plan.key,
        "path": str(cached.path) if cached else None,
        "model": {
            "name": plan.model,
            "format": plan.checkpoint.format,
            "dtype": plan.checkpoint.dtype,
            "path": str(plan.checkpoint.path),
        },
        "bytes_per_slot": {
            "cross": int(spec.cross_bytes_per_slot * width),
            "self": int(spec.self_bytes_per_slot * width),
        },
        "memory": {
            "weights_bytes": plan.weights_bytes,
            "caches_bytes": plan.cache_bytes,
            "total_bytes": plan.weights_bytes + plan.cache_bytes,
        },
        "spec": spec_to_data(spec),
        "profile": plan.profile.to_canonical(),
        "toolchain": plan.facts["toolchain"],
        **compiling,
    }


def _describe_compile_memory(plan: BuildSpec, jobs: int | None, *, strict_memory: bool) -> dict[str, Any]:
    """Estimated host memory that compiling takes, what is available, and what is done with it."""
    from neuron_whisper.host import hardware
    from neuron_whisper.planning.compile_memory import choose_jobs, estimate_compile_memory

    memory = estimate_compile_memory(plan.spec, plan.profile)
    chosen = choose_jobs(memory, hardware.read_memory_bytes()[1], jobs=jobs, strict_memory=strict_memory)
    return {
        "one_at_a_time_bytes": memory.one_at_a_time_bytes,
        "all_at_once_bytes": memory.all_at_once_bytes,
        "available_bytes": chosen.available_bytes,
        "jobs": chosen.jobs,
        "warning": chosen.warning,
    }


def _explain_difference(context: CliContext, plan: BuildSpec) -> dict[str, Any]:
    """The stored artifact with the fewest differing facts, and those facts; nearest None when nothing is stored."""
    from neuron_whisper.artifact.key import explain_difference

    stored = context.store().list_artifacts()
    compared = [
        (explain_difference(artifact.manifest.facts, plan.facts), artifact.name)
        for artifact in (*stored.current, *(outdated.artifact for outdated in stored.outdated))
    ]
    if not compared:
        return {"nearest": None, "differences": []}
    differences, name = min(compared, key=lambda pair: (len(pair[0]), pair[1]))
    return {"nearest": name, "differences": [{"fact": f, "stored": a, "now": b} for f, a, b in differences]}


def _echo_plan(description: dict[str, Any]) -> None:
    pairs: list[tuple[str, object]] = [("artifact", description["name"]), ("key", description["key"])]
    stored = f"hit: {description['path']}" if description.get("path") else description["status"]
    pairs.append(("status", stored if description["status"] == "hit" else "miss: would be compiled"))
    if "spec" in description:
        pairs += _format_sizes(description)
    echo_record(pairs)
    if "profile" in description:
        from neuron_whisper.artifact.manifest import profile_from_data

        click.echo("\n# the profile in full")
        click.echo(profile_from_data(description["profile"]).to_toml().rstrip())
    if "explain" in description:
        _echo_explanation(description["explain"])


def _format_sizes(description: dict[str, Any]) -> list[tuple[str, object]]:
    model, spec, slot, memory = (description[name] for name in ("model", "spec", "bytes_per_slot", "memory"))
    weights, caches, total = (format_bytes(memory[f"{part}_bytes"]) for part in ("weights", "caches", "total"))
    pairs: list[tuple[str, object]] = [
        ("model", f"{model['name']} ({model['format']}, {model['dtype']}) in {model['path']}"),
        ("program", format_program(spec)),
        ("per slot", f"cross-K/V {format_bytes(slot['cross'])}, self-K/V {format_bytes(slot['self'])}"),
        ("memory", f"about {total}: weights {weights}, caches {caches}"),
        ("toolchain", ", ".join(f"{name} {version}" for name, version in description["toolchain"].items())),
    ]
    if compiling := description.get("compile_memory"):
        one, every, available = (
            "unknown" if (size := compiling[f"{name}_bytes"]) is None else format_bytes(size)
            for name in ("one_at_a_time", "all_at_once", "available")
        )
        pairs.append(
            (
                "to compile",
                f"about {one} of host memory one graph at a time, {every} all at once (an "
                f"estimate); {available} is available",
            )
        )
        if compiling["warning"]:
            pairs.append(("warning", compiling["warning"]))
    return pairs


def _echo_explanation(explanation: dict[str, Any]) -> None:
    nearest, differences = explanation["nearest"], explanation["differences"]
    click.echo("")
    if nearest is None:
        click.echo("No stored artifact to compare with.")
    elif not differences:
        click.echo(f"No fact differs from {nearest}.")
    else:
        click.echo(f"Nearest artifact: {nearest}; differences:")
        for difference in differences:
            click.echo(f"  {difference['fact']}: stored {difference['stored']!r}, now {difference['now']!r}")
