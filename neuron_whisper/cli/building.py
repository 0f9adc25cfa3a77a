"""From a model's name and a profile to a plan and to its artifact, telling on stderr how far it is."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from neuron_whisper.cli.progress import reporting
from neuron_whisper.cli.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

    from neuron_whisper.artifact.reading import Artifact
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

    load_target(profile.target.name)
    checkpoint = open_checkpoint(fetched(settings, model))
    return plan_build(model, checkpoint, profile, digest_cache=settings.digests)


def built(settings: Settings, plan: BuildPlan) -> Artifact:
    """The plan's artifact, compiled now unless it is stored. Raises BuildError, ArtifactUnsafe."""
    from neuron_whisper.build import build

    store = settings.made_store()
    if (stored := store.find(plan.key)) is not None:
        return stored
    settings.tell(f"compiling {plan.name} (it is not in {settings.cache})")
    started = time.perf_counter()
    with reporting(settings, "steps") as report:
        artifact = build(
            store, plan, progress=report,
            waiting=lambda: settings.tell("another process compiles the same; waiting for it"),
        )
    settings.tell(f"compiled in {time.perf_counter() - started:.1f} s")
    return artifact
