"""`fetch`: download a model's checkpoint, verify it and print where it is."""

from __future__ import annotations

from dataclasses import asdict

import rich_click as click

from neuron_whisper.cli.building import fetch_model
from neuron_whisper.cli.completion import complete_models
from neuron_whisper.cli.context import CliContext, with_context
from neuron_whisper.cli.output.tables import echo_json


@click.command()
@click.argument("name", shell_complete=complete_models)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@with_context
def fetch(context: CliContext, name: str, as_json: bool) -> None:
    """Download a model, verify it and print its directory.

    NAME is a short name (tiny.en, base, large-v3, turbo, kotoba-v2.2 ...) or a Hugging Face id (org/name,
    org/name@revision). A path is verified and printed.
    """
    from neuron_whisper.model.checkpoint import open_checkpoint

    path = fetch_model(context, name)
    checkpoint = open_checkpoint(path)  # every tensor's name, shape and size
    if as_json:
        echo_json(
            {
                "model": name,
                "path": str(path),
                "format": checkpoint.format,
                "dtype": checkpoint.dtype,
                "size_bytes": sum(file.stat().st_size for file in checkpoint.files),
                "dims": asdict(checkpoint.dims),
            }
        )
    else:
        click.echo(str(path))
