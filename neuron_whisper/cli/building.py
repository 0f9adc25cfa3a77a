"""From a model's name and a profile to a plan and to its artifact, telling on stderr how far it is."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from neuron_whisper.cli.context import Settings
from neuron_whisper.cli.output import in_bytes
from neuron_whisper.cli.profiles import profile_for_here
from neuron_whisper.cli.progress import reporting

if TYPE_CHECKING:
    from pathlib import Path

    from neuron_whisper.artifact.loader import Artifact
    from neuron_whisper.build import BuildPlan
    from neuron_whisper.profile import CompileProfile

DEFAULT_MODEL = "base"


def fetched(settings: Settings, model: str) -> Path:
    """The model's checkpoint on this machine, downloaded now if it must be. Raises UnknownModel, FetchFailed."""
    from neuron_whisper.model.sources import resolve_model

    settings.made_store()
    with reporting(settings, "bytes") as report:
        return resolve_model(model, cache=settings.cache, progress=report)


def planned(settings: Settings, model: str, profile: CompileProfile) -> BuildPlan:
    """What decides the artifact. Whether the target works here is asked before anything is downloaded.

    Raises TargetUnavailable, InputError, BuildError.
    """
    from neuron_whisper.build import plan_build
    from neuron_whisper.model.checkpoint import open_checkpoint
    from neuron_whisper.target.registry import load_target

    checked = profile_for_here(profile)
    load_target(checked.target.name).toolchain()
    checkpoint = open_checkpoint(fetched(settings, model))
    return plan_build(model, checkpoint, checked, digest_cache=settings.digests)


def built(settings: Settings, plan: BuildPlan, *, jobs: int | None = None, ignore_memory: bool = False) -> Artifact:
    """The plan's artifact, compiled now unless it is stored: `jobs` graphs at once, or as many as memory holds.

    Raises BuildError (of which HostMemoryTooSmall is one, unless `ignore_memory`), ArtifactUnsafe.
    """
    from neuron_whisper.build import build

    store = settings.made_store()
    if (stored := store.find(plan.key)) is not None:
        return stored
    at_once = _at_once(settings, plan, jobs, ignore_memory) if plan.profile.target.name == "neuron" else 0
    settings.tell(f"compiling {plan.name} (it is not in {settings.cache})")
    started = time.perf_counter()
    with reporting(settings, "steps") as report:
        artifact = build(
            store,
            plan,
            progress=report,
            jobs=at_once,
            waiting=lambda: settings.tell("another process compiles the same; waiting for it"),
        )
    settings.tell(f"compiled in {time.perf_counter() - started:.1f} s")
    return artifact


def _at_once(settings: Settings, plan: BuildPlan, jobs: int | None, ignore_memory: bool) -> int:
    """Graphs that neuronx-cc compiles at once; says so where it is not all of them, or may be too much."""
    from neuron_whisper.host.hardware import memory_bytes
    from neuron_whisper.planning.compile_memory import choose_jobs, compile_memory

    _, available = memory_bytes()
    chosen = choose_jobs(compile_memory(plan.spec, plan.profile), available, jobs=jobs, ignore_memory=ignore_memory)
    has = "unknown" if available is None else in_bytes(available)
    takes = f"about {in_bytes(chosen.needed_bytes)} of host memory by the estimate, {has} is available"
    if not chosen.fits:
        settings.tell(f"going on without enough memory: {chosen.jobs} of {chosen.graphs} graphs at once take {takes}")
    elif chosen.is_limited:
        settings.tell(f"compiling {chosen.jobs} of {chosen.graphs} graphs at once: {takes}")
    return chosen.jobs
