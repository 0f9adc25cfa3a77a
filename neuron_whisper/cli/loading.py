"""Resolves --model and --artifact, and opens a Transcriber on them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import rich_click as click

from neuron_whisper.cli.building import DEFAULT_MODEL, build_artifact, plan_artifact
from neuron_whisper.cli.completion import complete_artifacts, complete_models, complete_profiles
from neuron_whisper.cli.context import CliContext
from neuron_whisper.cli.profiles import DEFAULT_PROFILE, PROFILE_CHOICES, resolve_profile

if TYPE_CHECKING:
    from neuron_whisper.artifact.loader import Artifact
    from neuron_whisper.errors import DeviceError
    from neuron_whisper.server.models.registry import ModelSource
    from neuron_whisper.transcriber import Transcriber

F = TypeVar("F", bound=Callable[..., Any])
MODEL_PANEL = "Model"  # of the help


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSelection:
    """The model or artifact to open, as the flags have it. Raises UsageError when they contradict each other.

    `replicas` None: as many as the profile has. `verify` None: golden tokens are checked on a Neuron device only.
    """

    model: str | None
    artifact: str | None
    profile: str | None
    threads: int
    replicas: int | None = 1
    verify: bool | None = False
    hang_s: float = 120.0  # of a worker process

    def __post_init__(self) -> None:
        if self.artifact is not None and self.model is not None:
            raise click.UsageError("--model cannot be combined with --artifact; give one of them.")


def model_options(command: F, *, multiple: bool = False) -> F:
    """--model, --artifact, --profile and --threads. `multiple`: the first two repeat, as `models` and `artifacts`."""
    again = "  May be repeated." if multiple else ""
    for option in reversed(
        (
            click.option(
                "-m",
                "--model",
                *(["models"] if multiple else []),
                metavar="NAME",
                multiple=multiple,
                shell_complete=complete_models,
                panel=MODEL_PANEL,
                help=f"Short name, Hugging Face id or path; compiled on first use.{again}  [default: {DEFAULT_MODEL}]",
            ),
            click.option(
                "-a",
                "--artifact",
                *(["artifacts"] if multiple else []),
                metavar="REF",
                multiple=multiple,
                shell_complete=complete_artifacts,
                panel=MODEL_PANEL,
                help=f"Compiled artifact, by name, model label, key or path; never compiles. Of several with one "
                f"label: the newest of --profile.{again}",
            ),
            click.option(
                "--profile",
                metavar="NAME|FILE",
                shell_complete=complete_profiles,
                panel=MODEL_PANEL,
                help=f"Compile profile of the model or artifact: {PROFILE_CHOICES}.  [default: {DEFAULT_PROFILE}]",
            ),
            click.option(
                "--threads",
                metavar="N",
                type=click.IntRange(min=0),
                default=0,
                show_default=True,
                help="CPU threads; 0 = all cores.",
                panel=MODEL_PANEL,
            ),
        )
    ):
        command = option(command)
    return command


def resolve_artifact(context: CliContext, selection: ModelSelection) -> Artifact:
    """The stored artifact; a model is compiled when it has none. Raises any error of building or storing."""
    from neuron_whisper.profile import strip_profile_path, to_profile_name

    if selection.artifact is not None:
        label = strip_profile_path(selection.profile) if selection.profile else None
        return context.store().resolve(selection.artifact, profile=label)
    profile_name = to_profile_name(selection.profile) if selection.profile else None
    profile = resolve_profile(selection.profile)
    plan = plan_artifact(context, selection.model or DEFAULT_MODEL, profile, profile_name=profile_name)
    return build_artifact(context, plan)


def resolve_model_sources(context: CliContext, selections: Sequence[ModelSelection]) -> list[ModelSource]:
    """Models for a server to open, in this order; what has no artifact is compiled. Raises as resolve_artifact."""
    from neuron_whisper.server.models.names import list_served_names
    from neuron_whisper.server.models.registry import ModelSource

    sources = []
    for each in selections:
        artifact = resolve_artifact(context, each)
        # the artifact's own name distinguishes two artifacts of one model
        names = (*list_served_names(artifact.manifest.model), artifact.name)
        opener = functools.partial(_open_artifact, context, each, artifact)
        only_language = None if artifact.spec.special.is_multilingual else "en"
        sources.append(ModelSource(names=names, open=opener, only_language=only_language))
    return sources


@contextmanager
def open_transcriber(
    context: CliContext,
    selection: ModelSelection,
    *,
    on_device_error: Callable[[DeviceError], None] = lambda error: None,
) -> Iterator[tuple[Transcriber, Artifact]]:
    """The transcriber of the selection, closed when the block ends. Raises any error of the tree."""
    artifact = resolve_artifact(context, selection)
    with open_artifact(context, selection, artifact, on_device_error=on_device_error) as transcriber:
        yield transcriber, artifact


@contextmanager
def open_artifact(
    context: CliContext,
    selection: ModelSelection,
    artifact: Artifact,
    *,
    on_device_error: Callable[[DeviceError], None] = lambda error: None,
) -> Iterator[Transcriber]:
    """As open_transcriber, of the artifact that resolve_artifact gave."""
    transcriber = _open_artifact(context, selection, artifact, on_device_error)
    try:
        yield transcriber
    finally:
        transcriber.close()


def _open_artifact(
    context: CliContext,
    selection: ModelSelection,
    artifact: Artifact,
    on_device_error: Callable[[DeviceError], None] = lambda error: None,
) -> Transcriber:
    from neuron_whisper.transcriber import Transcriber

    verify = artifact.manifest.target == "neuron" if selection.verify is None else selection.verify
    return Transcriber.open(
        context.store(),
        artifact,
        threads=selection.threads,
        replicas=selection.replicas,
        verify=verify,
        hang_s=selection.hang_s,
        on_device_error=on_device_error,
    )
