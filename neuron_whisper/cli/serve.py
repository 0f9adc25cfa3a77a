"""`serve`: an OpenAI-compatible server on one model."""

from __future__ import annotations

import logging
import re

import rich_click as click

from neuron_whisper.cli.opening import Wanted, opened, opening_options
from neuron_whisper.cli.settings import Settings, set_up_logging, with_settings, write_error_line

LISTENING = "listening on "  # and the URL; `demo` waits for this line
UNITS = {"": 1, "B": 1, "KB": 1024, "KIB": 1024, "MB": 1024**2, "MIB": 1024**2, "GB": 1024**3, "GIB": 1024**3}


def _size(ctx: click.Context, param: click.Parameter, value: str) -> int:
    """ "25MB" -> 26_214_400: units of 1024, as OpenAI's limit of 25 MB is counted."""
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)\s*([a-zA-Z]*)", value.strip())
    if match is None or match[2].upper() not in UNITS:
        raise click.BadParameter(f"{value!r} is not a size such as 25MB")
    return int(float(match[1]) * UNITS[match[2].upper()])


@click.command()
@opening_options
@click.option("--replicas", type=click.IntRange(min=1), metavar="N",
              help="Worker processes, each with a share of the cores and all slots.  [default: as the profile says]")
@click.option("--verify/--no-verify", default=None,
              help="Check the artifact's golden tokens before serving.  [default: on a Neuron device]")
@click.option("--host", default="127.0.0.1", show_default=True, help="0.0.0.0 listens on every address.")
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="0: any free one.")
@click.option("--max-upload", callback=_size, default="25MB", show_default=True, metavar="SIZE",
              help="Largest request taken; 25MB, 1GB.")
@click.option("--vad/--no-vad", "vad_filter", default=True, show_default=True,
              help="Text only where the voice detector hears speech.")
@with_settings
def serve(
    settings: Settings, model: str | None, artifact: str | None, profile: str | None, threads: int,
    replicas: int | None, verify: bool | None, host: str, port: int, max_upload: int, vad_filter: bool,
) -> None:  # fmt: skip
    """Serve OpenAI's transcription API over HTTP until SIGTERM or Ctrl-C, then finish what is in flight."""
    from neuron_whisper.server.run import serve as serve_until_stopped
    from neuron_whisper.server.settings import ServerSettings

    if not settings.quiet and not settings.verbose:
        set_up_logging(logging.INFO, with_times=True)
    server_settings = ServerSettings(host=host, port=port, max_upload_bytes=max_upload, vad_filter=vad_filter)
    wanted = Wanted(model=model, artifact=artifact, profile=profile, threads=threads, replicas=replicas, verify=verify)
    with opened(settings, wanted) as (transcriber, _):
        serve_until_stopped(
            transcriber, server_settings, on_listening=lambda url: write_error_line(f"{LISTENING}{url}")
        )
