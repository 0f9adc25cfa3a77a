"""Fetches a model, plans its artifact and compiles it, with progress on stderr."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from neuron_whisper.cli.context import CliContext
from neuron_whisper.cli.output.tables import format_bytes
from neuron_whisper.cli.progress import show_progress

if TYPE_CHECKING:
    from pathlib import Path

    from neuron_whisper.artifact.loader import Artifact
    from neuron_whisper.build import BuildSpec
    from neuron_whisper.profile import CompileProfile

DEFAULT_MODEL = "base"


def fetch_model(context: CliContext, model: str) -> Path:
    """The model's checkpoint on this machine, downloaded if it is not here. Raises UnknownModel, FetchFailed."""
    from neuron_whisper.model.sources import resolve_model

    context.create_store()
    with show_progress(context, "bytes") as report:
        return resolve_model(model, cache=context.cache, progress=report)


def plan_artifact(
    context: CliContext, model: str, profile: CompileProfile, *, profile_name: str | None = None
) -> BuildSpec:
    """The build specification, which decides the artifact's key.

    The target, and the packages that compiling needs, are checked before anything is downloaded. Raises
    TargetUnavailable, InputError, BuildError.
    """
    from neuron_whisper.build import plan_build

    def fetch() -> Path:
        return fetch_model(context, model)

    return plan_build(model, profile, context.store(), fetch, cache=context.cache, profile_name=profile_name)


def build_artifact(
    context: CliContext, plan: BuildSpec, *, jobs: int | None = None, ignore_memory: bool = False
) -> Artifact:
    """The plan's artifact, compiled unless it is stored: `jobs` graphs at once, or as many as host memory holds.

    Raises BuildError (of which HostMemoryTooSmall is one, unless `ignore_memory`), ArtifactUnsafe.
    """
    from neuron_whisper.build import build

    store = context.create_store()
    if (stored := store.find(plan.key)) is not None:
        return stored
    at_once = _resolve_jobs(context, plan, jobs, ignore_memory) if plan.profile.target.name == "neuron" else 0
    context.info(f"compiling {plan.name} (it is not in {context.cache})")
    started = time.perf_counter()
    with show_progress(context, "steps") as report:
        artifact = build(
            store,
            plan,
            progress=report,
            jobs=at_once,
            on_wait=lambda: context.info("another process is compiling this artifact; waiting"),
        )
    context.info(f"compiled in {time.perf_counter() - started:.1f} s")
    return artifact


def _resolve_jobs(context: CliContext, plan: BuildSpec, jobs: int | None, ignore_memory: bool) -> int:
    """Number of graphs that neuronx-cc compiles at once; printed when it is not all of them or may exceed memory."""
    from neuron_whisper.host.hardware import read_memory_bytes
    from neuron_whisper.planning.compile_memory import choose_jobs, estimate_compile_memory

    _, available = read_memory_bytes()
    chosen = choose_jobs(
        estimate_compile_memory(plan.spec, plan.profile), available, jobs=jobs, ignore_memory=ignore_memory
    )
    has = "unknown" if available is None else format_bytes(available)
    takes = f"about {format_bytes(chosen.needed_bytes)} of host memory by the estimate, {has} is available"
    if not chosen.fits:
        context.info(
            f"host memory is insufficient by the estimate, continuing: {chosen.jobs} of {chosen.graphs} graphs at "
            f"once take {takes}"
        )
    elif chosen.is_limited:
        context.info(f"compiling {chosen.jobs} of {chosen.graphs} graphs at once: {takes}")
    return chosen.jobs
