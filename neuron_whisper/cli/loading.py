"""From --model or --artifact to an open Transcriber."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import rich_click as click

from neuron_whisper.cli.building import DEFAULT_MODEL, built, planned
from neuron_whisper.cli.context import Settings
from neuron_whisper.cli.profiles import DEFAULT_PROFILE, asked_profile

if TYPE_CHECKING:
    from neuron_whisper.artifact.loader import Artifact
    from neuron_whisper.errors import DeviceFault
    from neuron_whisper.server.models.registry import ModelSource
    from neuron_whisper.transcriber import Transcriber

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What to open, as the flags say it. Raises UsageError when they contradict each other.

    `replicas` None: as many as the profile says. `verify` None: golden tokens are checked on a Neuron device alone.
    """

    model: str | None
    artifact: str | None
    profile: str | None
    threads: int
    replicas: int | None = 1
    verify: bool | None = False

    def __post_init__(self) -> None:
        if self.artifact is not None:
            for flag, value in (("--model", self.model), ("--profile", self.profile)):
                if value is not None:
                    raise click.UsageError(f"--artifact names all of it: leave {flag} out, or --artifact.")


def opening_options(command: F, *, several: bool = False) -> F:
    """--model, --artifact, --profile and --threads. `several`: the first two again and again, as models, artifacts."""
    again = "  May be given again." if several else ""
    for option in reversed(
        (
            click.option(
                "-m",
                "--model",
                *(["models"] if several else []),
                metavar="NAME",
                multiple=several,
                help=f"Short name, Hugging Face id or path; compiled on first use.{again}  [default: {DEFAULT_MODEL}]",
            ),
            click.option(
                "-a",
                "--artifact",
                *(["artifacts"] if several else []),
                metavar="REF",
                multiple=several,
                help=f"A compiled artifact, by name, label, key or path; never compiles.{again}",
            ),
            click.option(
                "--profile",
                metavar="NAME|FILE",
                help=f"Compile profile that --model is compiled with.  [default: {DEFAULT_PROFILE}]",
            ),
            click.option("--threads", type=click.IntRange(min=0), default=0, show_default=True, help="0: all cores."),
        )
    ):
        command = option(command)
    return command


def found_artifact(settings: Settings, wanted: Wanted) -> Artifact:
    """The stored artifact; of a model, compiled now when there is none. Raises any error of building or storing."""
    if wanted.artifact is not None:
        return settings.store().resolve(wanted.artifact)
    plan = planned(settings, wanted.model or DEFAULT_MODEL, asked_profile(wanted.profile))
    return built(settings, plan)


def found_sources(settings: Settings, wanted: Sequence[Wanted]) -> list[ModelSource]:
    """Models for a server to open, in this order; what must be compiled is compiled now. Raises as found_artifact."""
    from neuron_whisper.server.models.names import served_names
    from neuron_whisper.server.models.registry import ModelSource

    sources = []
    for each in wanted:
        artifact = found_artifact(settings, each)
        # the artifact's own name tells two artifacts of one model apart
        names = (*served_names(artifact.manifest.model), artifact.name)
        sources.append(ModelSource(names=names, open=functools.partial(_open, settings, each, artifact)))
    return sources


@contextmanager
def opened(
    settings: Settings, wanted: Wanted, *, on_fault: Callable[[DeviceFault], None] = lambda fault: None
) -> Iterator[tuple[Transcriber, Artifact]]:
    """The transcriber on what is wanted, closed when the block ends. Raises any error of the tree."""
    artifact = found_artifact(settings, wanted)
    transcriber = _open(settings, wanted, artifact, on_fault)
    try:
        yield transcriber, artifact
    finally:
        transcriber.close()


def _open(
    settings: Settings, wanted: Wanted, artifact: Artifact, on_fault: Callable[[DeviceFault], None] = lambda fault: None
) -> Transcriber:
    from neuron_whisper.transcriber import Transcriber

    verify = artifact.manifest.target == "neuron" if wanted.verify is None else wanted.verify
    return Transcriber.open(
        settings.store(), artifact, threads=wanted.threads, replicas=wanted.replicas, verify=verify, on_fault=on_fault
    )
