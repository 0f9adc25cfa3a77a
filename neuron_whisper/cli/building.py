"""Fetches a model, plans its artifact and compiles it, with progress on stderr."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from neuron_whisper.cli.context import CliContext
from neuron_whisper.cli.progress import ProgressCallback, show_progress

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
    context: CliContext,
    model: str,
    profile: CompileProfile,
    *,
    profile_name: str | None = None,
    encoder_scales: Path | None = None,
) -> BuildSpec:
    """The build specification, which decides the artifact's key.

    The target, and the packages that compiling needs, are checked before anything is downloaded. Raises
    TargetUnavailable, InputError, BuildError.
    """
    from neuron_whisper.build import plan_build

    def fetch() -> Path:
        return fetch_model(context, model)

    return plan_build(
        model,
        profile,
        context.store(),
        fetch,
        cache=context.cache,
        profile_name=profile_name,
        encoder_scales=encoder_scales,
    )


def build_artifact(
    context: CliContext,
    plan: BuildSpec,
    *,
    jobs: int | None = None,
    strict_memory: bool = False,
    on_step: ProgressCallback | None = None,
) -> Artifact:
    """The plan's artifact, compiled unless it is stored. `jobs` and `strict_memory` as for `build`.

    `on_step` is called with each step that is shown, too.

    Raises BuildError (of which HostMemoryTooSmall is one, with `strict_memory`), ArtifactUnsafe.
    """
    from neuron_whisper.build import build

    store = context.create_store()
    if (stored := store.find(plan.key)) is not None:
        return stored
    context.info(f"compiling {plan.name} (it is not in {context.cache})")
    started = time.perf_counter()
    with show_progress(context, "steps") as report:

        def show(what: str, done: int, total: int | None) -> None:
            report(what, done, total)
            if on_step is not None:
                on_step(what, done, total)

        artifact = build(
            store,
            plan,
            progress=show,
            jobs=jobs,
            strict_memory=strict_memory,
            on_wait=lambda: context.info("another process is compiling this artifact; waiting"),
        )
    context.info(f"compiled in {time.perf_counter() - started:.1f} s")
    return artifact
