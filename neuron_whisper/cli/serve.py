"""`serve`: an OpenAI-compatible server on one model or several."""

from __future__ import annotations

import functools
import gc
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click
from click.core import ParameterSource

from neuron_whisper.cli.context import CliContext, set_up_logging, with_context, write_stderr
from neuron_whisper.cli.loading import ModelSelection, model_options, resolve_model_sources

if TYPE_CHECKING:
    from neuron_whisper.server.config.schema import SettingSpec
    from neuron_whisper.server.config.settings import ServerSettings

log = logging.getLogger(__name__)

LISTENING = "listening on "  # then the URL; bench.process.server waits for this line

# beginning of a setting's name -> panel of the help; the others stand under Settings
SETTING_PANELS = {
    **dict.fromkeys(("max_upload", "max_audio", "max_decoded", "vad_filter"), "Audio"),
    **dict.fromkeys(("realtime_",), "Realtime"),
    **dict.fromkeys(("aliases", "default_model", "preload", "idle_unload", "model_"), "Models"),
    **dict.fromkeys(("jobs_", "webhook_", "private_networks"), "Jobs and webhooks"),
    **dict.fromkeys(
        ("keys_file", "cors_origins", "allowed_hosts", "forwarded_allow_ips", "root_path", "samples_dir"), "Access"
    ),
    **dict.fromkeys(("log_format", "metrics_", "otlp_"), "Observability"),
    **dict.fromkeys(
        ("max_", "request_timeout", "drain_s", "header_timeout", "send_timeout", "upload_", "hang_s"),
        "Requests and connections",
    ),
}


class ServeCommand(click.RichCommand):
    """A command that has a flag for each server setting; their module is imported only when the flags are needed."""

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        from neuron_whisper.server.config.schema import list_setting_specs
        from neuron_whisper.server.config.settings import ServerSettings

        own = super().get_params(ctx)
        own_flags = {flag for param in own for flag in param.opts}
        specs = [spec for spec in list_setting_specs(ServerSettings).values() if spec.flag not in own_flags]
        return [*own[:-1], *map(_create_option, specs), own[-1]]  # --help is last


def _create_option(spec: SettingSpec) -> click.Parameter:
    """A flag whose value stays text: flags, file and environment are parsed by the same rules."""
    default = spec.default if spec.default not in (None, ()) else "none"
    if spec.is_size and isinstance(default, int):
        default = f"{default / 1024**2:g}MB"
    elif isinstance(default, float):
        default = f"{default:g}"
    about = f"{spec.description}  [default: {str(default).lower() if isinstance(default, bool) else default}]"
    panel = next((name for prefix, name in SETTING_PANELS.items() if spec.name.startswith(prefix)), "Settings")
    if spec.value_type is bool:
        names = [f"{spec.flag}/--no-{spec.flag[2:]}", spec.name]
        return click.RichOption(names, default=None, help=about, panel=panel)
    metavars = {
        int: "SIZE" if spec.is_size else "N",
        float: "SECONDS" if spec.name.endswith("_s") and not spec.name.endswith("_bytes_s") else "NUMBER",
    }
    metavars |= {Path: "PATH", tuple: "TEXT,..."}
    metavar = "|".join(spec.choices) or metavars.get(spec.value_type, "TEXT")
    return click.RichOption([spec.flag, spec.name], default=None, metavar=metavar, help=about, panel=panel)


@click.command(cls=ServeCommand)
@functools.partial(model_options, multiple=True)
@click.option(
    "--replicas",
    panel="Model",
    type=click.IntRange(min=1),
    metavar="N",
    help="Worker processes, each with a share of the cores and all slots.  [default: as the profile says]",
)
@click.option(
    "--verify/--no-verify",
    panel="Model",
    default=None,
    help="Check each of the artifact's graphs by its golden tokens before serving.  [default: on a Neuron device]",
)
@click.option(
    "--config",
    panel="Settings",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    envvar="NEURON_WHISPER_CONFIG",
    show_envvar=True,
    metavar="FILE",
    help="TOML settings file; flags and environment variables override it.",
)
@click.option(
    "--print-config", panel="Settings", is_flag=True, help="Print the settings and where each comes from, and exit."
)
@with_context
def serve(
    context: CliContext,
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
    from neuron_whisper.server.config.settings import COMPAT_DEFAULTS, ServerSettings

    try:
        resolved = load_settings(
            ServerSettings,
            flags=_given_flags(flags),
            environment=os.environ,
            file=config,
            defaults_by_compat=COMPAT_DEFAULTS,
        )
    except InvalidOption as error:
        raise click.UsageError(str(error)) from error
    if print_config:
        click.echo(resolved.to_toml(), nl=False)
        return

    from neuron_whisper.host.malloc import configure_malloc

    configure_malloc()  # before anything starts a thread
    from neuron_whisper.server.http.signals import exit_on_sigterm
    from neuron_whisper.server.models.registry import ModelRegistry
    from neuron_whisper.server.run import serve as serve_until_stopped

    as_json = resolved.settings.log_format == "json"
    level = logging.DEBUG if context.verbose else logging.WARNING if context.quiet else logging.INFO
    set_up_logging(level, with_times=True, as_json=as_json)

    def announce(url: str) -> None:
        if as_json:
            log.info("listening url=%s", url)
        else:
            write_stderr(f"{LISTENING}{url}")

    with exit_on_sigterm():  # models may have to be compiled first
        sources = resolve_model_sources(context, _list_selections(resolved.settings))
        registry = ModelRegistry.from_settings(sources, resolved.settings)
    try:
        with exit_on_sigterm():
            registry.preload(resolved.settings.preload)
        serve_until_stopped(registry, resolved.settings, on_listening=announce)
    finally:
        registry.close()
        gc.freeze()  # all ends with the process: to look through it for garbage first would take a second


def _given_flags(flags: Mapping[str, Any]) -> dict[str, Any]:
    """The flags of the command line by setting. --model or --artifact replaces the configured ones of both."""
    context = click.get_current_context()
    assert context is not None
    given = {
        name: value
        for name, value in flags.items()
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE
    }
    models, artifacts = given.pop("models", ()), given.pop("artifacts", ())
    if models or artifacts:
        given |= {"model": models, "artifact": artifacts}
    return given


def _list_selections(settings: ServerSettings) -> list[ModelSelection]:
    """What to serve, artifacts first; the default model where the settings name neither."""
    models, artifacts = settings.model, settings.artifact
    chosen: list[tuple[str | None, str | None]] = [(None, artifact) for artifact in artifacts]
    chosen += [(model, None) for model in models]
    return [
        ModelSelection(
            model=model,
            artifact=artifact,
            threads=settings.threads,
            replicas=settings.replicas,
            verify=settings.verify,
            hang_s=settings.hang_s,
            profile=None if artifact and models else settings.profile,
        )
        for model, artifact in chosen or [(None, None)]
    ]
