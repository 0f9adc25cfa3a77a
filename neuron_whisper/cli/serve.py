"""`serve`: an OpenAI-compatible server on one model or several."""

from __future__ import annotations

import functools
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from neuron_whisper.cli.context import CliContext, set_up_logging, with_context, write_stderr
from neuron_whisper.cli.loading import ModelSelection, model_options, resolve_model_sources

if TYPE_CHECKING:
    from neuron_whisper.server.config.schema import SettingSpec

log = logging.getLogger(__name__)

LISTENING = "listening on "  # then the URL; bench.process.server waits for this line


class ServeCommand(click.RichCommand):
    """A command that has a flag for each server setting; their module is imported only when the flags are needed."""

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        from neuron_whisper.server.config.schema import list_setting_specs
        from neuron_whisper.server.config.settings import ServerSettings

        own = super().get_params(ctx)
        return [
            *own[:-1],
            *(_create_option(spec) for spec in list_setting_specs(ServerSettings).values()),
            own[-1],
        ]  # --help is last


def _create_option(spec: SettingSpec) -> click.Parameter:
    """A flag whose value stays text: flags, file and environment are parsed by the same rules."""
    default = spec.default if spec.default not in (None, ()) else "none"
    if spec.is_size and isinstance(default, int):
        default = f"{default / 1024**2:g}MB"
    about = f"{spec.info.description}  [default: {str(default).lower() if isinstance(default, bool) else default}]"
    if spec.value_type is bool:
        return click.Option([f"{spec.flag}/--no-{spec.flag[2:]}", spec.name], default=None, help=about)
    metavars = {int: "SIZE" if spec.is_size else "N", float: "SECONDS" if spec.name.endswith("_s") else "NUMBER"}
    metavars |= {Path: "PATH", tuple: "TEXT,..."}
    metavar = "|".join(spec.info.choices) or metavars.get(spec.value_type, "TEXT")
    return click.Option([spec.flag, spec.name], default=None, metavar=metavar, help=about)


@click.command(cls=ServeCommand)
@functools.partial(model_options, multiple=True)
@click.option(
    "--replicas",
    type=click.IntRange(min=1),
    metavar="N",
    help="Worker processes, each with a share of the cores and all slots.  [default: as the profile says]",
)
@click.option(
    "--verify/--no-verify",
    default=None,
    help="Check the artifact's golden tokens before serving.  [default: on a Neuron device]",
)
@click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    envvar="NEURON_WHISPER_CONFIG",
    show_envvar=True,
    metavar="FILE",
    help="TOML settings file; flags and environment variables override it.",
)
@click.option("--print-config", is_flag=True, help="Print the settings and where each comes from, and exit.")
@with_context
def serve(
    context: CliContext,
    models: tuple[str, ...],
    artifacts: tuple[str, ...],
    profile: str | None,
    threads: int,
    replicas: int | None,
    verify: bool | None,
    config: Path | None,
    print_config: bool,
    **flags: Any,
) -> None:
    """Serve OpenAI's transcription API over HTTP until SIGTERM or Ctrl-C, then finish requests in flight.

    Each setting is also an environment variable, NEURON_WHISPER_ and its name as --print-config shows it, and a key
    of the TOML file. Flags override variables, variables override the file.
    """
    from neuron_whisper.errors import InvalidOption
    from neuron_whisper.server.config.loader import load_settings
    from neuron_whisper.server.config.settings import ServerSettings

    flag_values = {name: str(value) for name, value in flags.items() if value is not None}
    try:
        resolved = load_settings(ServerSettings, flags=flag_values, environment=os.environ, file=config)
    except InvalidOption as error:
        raise click.UsageError(str(error)) from error
    if print_config:
        click.echo(resolved.to_toml(), nl=False)
        return
    selections = [
        ModelSelection(
            model=model,
            artifact=artifact,
            threads=threads,
            replicas=replicas,
            verify=verify,
            profile=None if artifact and models else profile,
        )
        for model, artifact in _list_selections(models, artifacts)
    ]

    from neuron_whisper.host.malloc import configure_malloc

    configure_malloc()  # before anything starts a thread
    from neuron_whisper.server.http.signals import exit_on_sigterm
    from neuron_whisper.server.models.registry import ModelRegistry
    from neuron_whisper.server.run import serve as serve_until_stopped

    as_json = resolved.settings.log_format == "json"
    level = logging.DEBUG if context.verbose else logging.ERROR if context.quiet else logging.INFO
    set_up_logging(level, with_times=True, as_json=as_json)

    def announce(url: str) -> None:
        if as_json:
            log.info("listening url=%s", url)
        else:
            write_stderr(f"{LISTENING}{url}")

    registry = ModelRegistry.from_settings(resolve_model_sources(context, selections), resolved.settings)
    try:
        with exit_on_sigterm():
            registry.preload(resolved.settings.preload)
        serve_until_stopped(registry, resolved.settings, on_listening=announce)
    finally:
        registry.close()


def _list_selections(models: tuple[str, ...], artifacts: tuple[str, ...]) -> list[tuple[str | None, str | None]]:
    """(model, artifact) of each selection, artifacts first; (None, None), the default model, without any."""
    selected: list[tuple[str | None, str | None]] = [(None, artifact) for artifact in artifacts]
    return [*selected, *((model, None) for model in models)] or [(None, None)]
